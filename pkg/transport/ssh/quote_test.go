package ssh

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"true"}, "true"},
		{[]string{"a b", ""}, "'a b' ''"},
		{[]string{"it's"}, `'it'\''s'`},
		{[]string{"$HOME", "`id`", "a;b", "~", "=x"}, "'$HOME' '`id`' 'a;b' '~' '=x'"},
		{[]string{"sudo", "-n", "--", "/tmp/x.Y/kubectl-ha"}, "sudo -n -- /tmp/x.Y/kubectl-ha"},
	} {
		if got, err := Quote(c.argv); err != nil || got != c.want {
			t.Errorf("Quote(%q) = %q, %v; want %q", c.argv, got, err, c.want)
		}
	}
	for _, bad := range [][]string{nil, {"a", "b\x00c"}} {
		if got, err := Quote(bad); err == nil {
			t.Errorf("Quote(%q) = %q, want an error", bad, got)
		}
	}
}

// FuzzQuote asks a real shell what it makes of the quoted words.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", " ", "'", `"\`, "$(id)\n", "*?[a]", "!#~=", "-n", "ü\xff", "\r\t"} {
		f.Add(seed, "x"+seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		line, err := Quote([]string{"printf", "%s\\0", a, b})
		if strings.Contains(a+b, "\x00") {
			if err == nil {
				t.Fatal("a NUL byte was accepted")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", "-c", line).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := a + "\x00" + b + "\x00"; string(out) != want {
			t.Errorf("%q came out as %q", want, out)
		}
	})
}
