package fsdiff

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func file(sum string) Entry { return Entry{Mode: "-rw-r--r--", Owner: "0:0", Size: 3, SHA256: sum} }

func TestCompare(t *testing.T) {
	dir := Entry{Mode: "drwxr-xr-x", Owner: "0:0"}
	before := Manifest{"/a": file("1"), "/b": file("1"), "/c": file("1"), "/d": dir, "/e": {Mode: "Lrwxrwxrwx", Target: "x"}, "/gone": file("1"), "/m": dir}
	after := Manifest{
		"/a": file("1"), "/b": file("2"), "/c": {Mode: "-rw-------", Owner: "7:0", Size: 4}, "/d": dir,
		"/e": {Mode: "Lrwxrwxrwx", Target: "y"}, "/new": file("1"), "/m": {Mount: true},
	}
	want := []Change{
		{Kind: "C", Path: "/b", What: []string{"content"}},
		{Kind: "C", Path: "/c", What: []string{"mode", "owner", "size"}},
		{Kind: "C", Path: "/e", What: []string{"target"}},
		{Kind: "D", Path: "/gone"},
		{Kind: "C", Path: "/m", What: []string{"mount"}},
		{Kind: "A", Path: "/new"},
	}
	if got := Compare(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := Compare(before, before); got == nil || len(got) != 0 {
		t.Errorf("nothing changed, and got %#v (must be an empty list, not null)", got)
	}
}

func TestFold(t *testing.T) {
	changes := []Change{
		{Kind: "C", Path: "/etc/fstab"}, {Kind: "A", Path: "/opt/x"}, {Kind: "A", Path: "/opt/x/y"}, {Kind: "A", Path: "/opt/x/y/z"},
		{Kind: "A", Path: "/opt/xy"}, {Kind: "D", Path: "/srv/a"}, {Kind: "D", Path: "/srv/a/b"}, {Kind: "A", Path: "/srv/c"},
	}
	want := []Change{
		{Kind: "C", Path: "/etc/fstab"}, {Kind: "A", Path: "/opt/x", Entries: 2}, {Kind: "A", Path: "/opt/xy"},
		{Kind: "D", Path: "/srv/a", Entries: 1}, {Kind: "A", Path: "/srv/c"},
	}
	got := Fold(changes)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	var b strings.Builder
	if err := Write(&b, append(got, Change{Kind: "C", Path: "/f", What: []string{"mode", "owner"}})); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); !strings.Contains(out, "A /opt/x/ (2 below it)\n") || !strings.Contains(out, "C /f (mode, owner)\n") {
		t.Errorf("printed:\n%s", out)
	}
}

// "-" sorts before "/", so /a-b stands between /a and /a/x.
func TestFoldWithSiblingBetween(t *testing.T) {
	got := Fold([]Change{{Kind: "A", Path: "/a"}, {Kind: "A", Path: "/a-b"}, {Kind: "A", Path: "/a/x"}})
	want := []Change{{Kind: "A", Path: "/a", Entries: 1}, {Kind: "A", Path: "/a-b"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestTake(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{"etc/a": "abc", "etc/hosts": "docker's", "var/log/journal/x": "noise", "var/lib/y": "abc"} {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(root, "etc/link")); err != nil {
		t.Fatal(err)
	}
	m, err := Take(root, nil, func(path string, size int64) bool { return path == "/etc/a" && size == 3 })
	if err != nil {
		t.Fatal(err)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if e := m["/etc/a"]; e.SHA256 != abc || e.Size != 3 || e.Mode != "-rw-r-----" {
		t.Errorf("/etc/a: %+v", e)
	}
	if e := m["/var/lib/y"]; e.SHA256 != "" || e.Size != 3 {
		t.Errorf("/var/lib/y was not to be hashed: %+v", e)
	}
	if m["/etc/link"].Target != "a" {
		t.Errorf("/etc/link: %+v", m["/etc/link"])
	}
	for _, p := range []string{"/etc/hosts", "/var/log/journal", "/var/log/journal/x", "/"} {
		if _, ok := m[p]; ok {
			t.Errorf("%s was not to be looked at", p)
		}
	}
	if _, err := Take(root, []string{"/nowhere"}, func(string, int64) bool { return false }); err == nil {
		t.Error("a mount that is not there was accepted")
	}
}
