package ssh

import (
	"path/filepath"
	"testing"
)

// With another HOME than the account's, what may have begun with ~ goes by it, and what was
// written out in full stays where it is.
func TestAtHome(t *testing.T) {
	login, home := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(login, "lab/known_hosts"), filepath.Join(login, "both"), filepath.Join(home, "both"), filepath.Join(login, ".ssh/known_hosts")} {
		write(t, path, "")
	}
	o := &openSSH{env: Environment{LoginHome: login, Home: home}}
	for path, want := range map[string]string{
		filepath.Join(login, "lab/known_hosts"):   filepath.Join(login, "lab/known_hosts"),
		filepath.Join(login, "both"):              filepath.Join(home, "both"),
		filepath.Join(login, "neither"):           filepath.Join(home, "neither"),
		filepath.Join(login, ".ssh/known_hosts"):  filepath.Join(home, ".ssh/known_hosts"),
		filepath.Join(login, ".ssh/known_hosts2"): filepath.Join(home, ".ssh/known_hosts2"),
		login + "-of-somebody-else/known_hosts":   login + "-of-somebody-else/known_hosts",
		"/etc/ssh/ssh_known_hosts":                "/etc/ssh/ssh_known_hosts",
		"none":                                    "none",
	} {
		if got := o.atHome(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
