package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzLedger: a ledger that a crash or somebody's editor left is read or refused; what
// is read stays when it is opened for writing, but for the end of a torn line.
func FuzzLedger(f *testing.F) {
	const head = `{"format":1,"cluster":"c"}` + "\n"
	for _, seed := range []string{"", head, head + `{"action":"create","kind":"file","target":"/a"}` + "\n" + `{"action":"rem`, head + "null\n", `{"format":99}` + "\n", "\n", head + "\n", head + `{"action":"done","target":"t","note":"n"}` + "\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		root := t.TempDir()
		file := filepath.Join(root, ledgerFile)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ReadLedger(root)
		if err != nil {
			return
		}
		opened, err := OpenLedger(root, l.head.Cluster)
		if err != nil {
			return // Read by anybody, opened only where the cluster has a name.
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
		now, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(content), string(now)) || len(opened.entries) != len(l.entries) {
			t.Errorf("%q became %q, with %d instead of %d entries: %v", content, now, len(opened.entries), len(l.entries), err)
		}
	})
}

// FuzzUnit: what systemctl says of a unit is understood, or refused.
func FuzzUnit(f *testing.F) {
	for _, seed := range []string{"", "LoadState=loaded\nActiveState=active\nMainPID=1\nActiveEnterTimestampMonotonic=5\n", "LoadState=x\nActiveState=y\nDropInPaths=/a /b\nFragmentPath=/c\n", "MainPID=-", "=\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		u, err := parseUnit(text, func(us uint64) time.Time { return time.UnixMicro(int64(us % 1e15)) })
		if err == nil && (u.LoadState == "" || u.ActiveState == "") {
			t.Errorf("%+v", u)
		}
	})
}

// FuzzMounts: every mount that is found has a path and a type.
func FuzzMounts(f *testing.F) {
	for _, seed := range []string{"", "36 35 98:0 / /mnt rw master:1 - ext3 /dev/root rw\n", "36 35 0:40 / /mnt rw - tmpfs  rw\n", "1 2 3 4 /a\\040b rw - tmpfs a\\134 rw\n", "1 2 3 4 \\ - a b", " - ", "1 2 3 4 \\999 - a \\04"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMounts([]byte(text))
		if err != nil && len(mounts) > 0 {
			t.Errorf("%+v, %v", mounts, err)
		}
		for _, m := range mounts {
			if m.Path == "" || m.Type == "" {
				t.Errorf("%+v", m)
			}
		}
	})
}
