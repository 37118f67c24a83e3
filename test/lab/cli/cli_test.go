package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestParseRemote(t *testing.T) {
	for arg, want := range map[string]remote{"cp1:/etc/x": {"cp1", "/etc/x"}, "w1:": {"w1", ""}, "cp1:/a:b": {"cp1", "/a:b"}} {
		if got, ok := parseRemote(arg); !ok || got != want {
			t.Errorf("%s: %v %v", arg, got, ok)
		}
	}
	for _, local := range []string{"/etc/x", "x", "./a:b", "/tmp/a:b"} {
		if got, ok := parseRemote(local); ok {
			t.Errorf("%s was taken for a host's: %v", local, got)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range [][4]string{
		{"/tmp/", "/a/b", "/tmp/", "b"}, {"/tmp/x", "/a/b", "/tmp", "x"}, {".", "/a/b", ".", "b"}, {"x", "/a/b", ".", "x"},
	} {
		if folder, name := split(c[0], c[1]); folder != c[2] || name != c[3] {
			t.Errorf("%v: %s, %s", c, folder, name)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := quote("a.b,c&d", `\,&`); got != `a.b\,c\&d` {
		t.Errorf("%s", got)
	}
}

// runLab runs the program in an empty cache.
func runLab(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("LAB_CACHE", t.TempDir())
	var o, e bytes.Buffer
	code = Main(context.Background(), Streams{In: strings.NewReader(""), Out: &o, Err: &e}, args)
	return code, o.String(), e.String()
}

func TestHelp(t *testing.T) {
	code, out, _ := runLab(t, "--help")
	if code != 0 {
		t.Errorf("code %d", code)
	}
	for _, verb := range []string{"build", "up", "config", "exec", "kubectl", "stop", "start", "pause", "unpause", "partition", "heal", "shape", "diff", "down", "status", "clean"} {
		if !strings.Contains(out, "\n  "+verb+" ") {
			t.Errorf("no %s in:\n%s", verb, out)
		}
	}
	if strings.Contains(out, "manifest") {
		t.Errorf("an inner verb is shown:\n%s", out)
	}
}

func TestBadUseIsSaid(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"status --name UPPER", "lab name"}, {"frobnicate", "unknown command"}, {"build --kubernetes 1.36", "not of the form"},
		{"build --only kubernets", "kubernetes, containerd"},
		{"exec cp1", "requires at least 2"}, {"shape cp1", "rate"}, {"manifest", "on a host"},
	} {
		code, _, errs := runLab(t, strings.Fields(c.args)...)
		if code != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: code %d, %q", c.args, code, errs)
		}
	}
}
