package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func TestInstallAgent(t *testing.T) {
	program := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(program, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, h *host.Host)
	}{
		"a new host": {func(*testing.T, *host.Host) {}},
		"a host that an earlier version has prepared": {func(t *testing.T, h *host.Host) {
			f := host.File{Path: host.FormerAgentPath, Mode: 0o755, UID: os.Getuid(), GID: os.Getgid(), Content: []byte("an old agent")}
			if _, err := h.WriteFile(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t, hosttest.NewCommander(t))
			c.before(t, h)
			if there, err := h.AgentInstalled(program); there || err != nil {
				t.Fatalf("installed before it was: %v", err)
			}
			if changed, err := h.InstallAgent(t.Context(), program); !changed || err != nil {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if there, err := h.AgentInstalled(program); !there || err != nil {
				t.Errorf("it is not installed: %v", err)
			}
			info, err := os.Stat(h.Path(host.AgentPath))
			if err != nil || info.Mode() != 0o755 {
				t.Errorf("%v, %v", info, err)
			}
			if to, err := os.Readlink(h.Path(host.FormerAgentPath)); err != nil || to != host.AgentPath {
				t.Errorf("what went by the former path finds %q, %v", to, err)
			}
			changes := len(h.Changes())
			if changed, err := h.InstallAgent(t.Context(), program); changed || err != nil || len(h.Changes()) != changes {
				t.Errorf("a second time: %v, %v, %v", changed, err, h.Changes()[changes:])
			}
			takeAllBack(t, h)
			for _, path := range []string{"/usr", host.StateDir} {
				if there, err := h.Exists(path); there || err != nil {
					t.Errorf("%s is left by an uninstall: %v", path, err)
				}
			}
		})
	}
}

// takeAllBack follows the ledger backwards, as an uninstall does.
func takeAllBack(t *testing.T, h *host.Host) {
	t.Helper()
	ledger, err := h.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	made := ledger.Made()
	for i := len(made) - 1; i >= 0; i-- {
		m := made[i]
		if strings.HasPrefix(m.Target, host.StateDir) {
			continue
		}
		switch m.Kind {
		case host.KindFile, host.KindLink:
			_, err = h.RestoreFile(t.Context(), m)
		case host.KindDirectory:
			_, _, err = h.RestoreDirectory(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTryPrograms(t *testing.T) {
	const dir = host.ProgramsDir
	try := fmt.Sprintf("%s/.kubectl-ha-try-%d", dir, os.Getpid())
	systemd := "systemd-run --quiet --wait --collect " + try
	for name, c := range map[string]struct {
		before func(t *testing.T, h *host.Host, c *hosttest.Commander)
		want   string
	}{
		"without systemd": {func(_ *testing.T, _ *host.Host, c *hosttest.Commander) { c.On(try, "") }, ""},
		"with systemd": {func(t *testing.T, h *host.Host, c *hosttest.Commander) {
			hosttest.Write(t, h, "/run/systemd/system/x", "", 0o644)
			c.On(try, "").On(systemd, "")
		}, ""},
		"which systemd may not start": {func(t *testing.T, h *host.Host, c *hosttest.Commander) {
			hosttest.Write(t, h, "/run/systemd/system/x", "", 0o644)
			c.On(try, "").Fail(systemd, 203, "")
		}, "systemd can't start a program there"},
		"which nobody may start": {func(_ *testing.T, _ *host.Host, c *hosttest.Commander) { c.Fail(try, 126, "") }, "a program there can't be started"},
		"a file in its place": {func(t *testing.T, h *host.Host, _ *hosttest.Commander) {
			hosttest.Write(t, h, "/usr/local/lib", "", 0o644)
		}, "/usr/local/lib is no directory"},
		"with SELinux": {func(t *testing.T, h *host.Host, c *hosttest.Commander) {
			hosttest.Write(t, h, "/sys/fs/selinux/enforce", "1", 0o644)
			hosttest.Write(t, h, "/usr/sbin/restorecon", "", 0o755)
			for _, p := range []string{"/usr/local", "/usr/local/lib", host.ProgramsRoot, dir, try} {
				c.On("/usr/sbin/restorecon "+p, "")
			}
			c.On(try, "")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			commands := hosttest.NewCommander(t)
			h, err := host.Open(host.Options{Root: t.TempDir(), Commands: commands})
			if err != nil {
				t.Fatal(err)
			}
			c.before(t, h, commands)
			err = h.TryPrograms(t.Context(), dir)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := h.Stat(host.ProgramsRoot); err == nil {
				t.Error("something stays")
			}
		})
	}
}

// With SELinux a new program gets the label of its place, and never shares one with a
// file elsewhere, as a second name of it would.
func TestLabels(t *testing.T) {
	commands := hosttest.NewCommander(t)
	h := hosttest.New(t, commands)
	hosttest.Write(t, h, "/sys/fs/selinux/enforce", "1", 0o644)
	hosttest.Write(t, h, "/usr/sbin/restorecon", "", 0o755)
	for _, p := range []string{"/usr/local", "/usr/local/bin", "/usr/local/bin/kubelet", "/etc"} {
		commands.On("/usr/sbin/restorecon "+p, "")
	}
	own := host.File{UID: os.Getuid(), GID: os.Getgid(), Content: []byte("x"), Mode: 0o755}
	release := own
	release.Path = host.StateDir + "/releases/kubelet"
	if _, err := h.WriteFile(t.Context(), release); err != nil {
		t.Fatal(err)
	}
	sum, err := h.SHA256(release.Path)
	if err != nil {
		t.Fatal(err)
	}
	program := own
	program.Path = "/usr/local/bin/kubelet"
	if _, err := h.LinkFile(t.Context(), program, release.Path, sum); err != nil {
		t.Fatal(err)
	}
	a, errA := h.Stat(release.Path)
	b, errB := h.Stat(program.Path)
	if errA != nil || errB != nil || os.SameFile(a, b) {
		t.Errorf("the program is the release's file: %v, %v", errA, errB)
	}
	settings := own
	settings.Path, settings.Mode = "/etc/settings", 0o644
	if _, err := h.WriteFile(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	want := "/usr/sbin/restorecon /usr/local|/usr/sbin/restorecon /usr/local/bin|/usr/sbin/restorecon /usr/local/bin/kubelet|/usr/sbin/restorecon /etc"
	if got := strings.Join(commands.Lines(), "|"); got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	commands.Fail("/usr/sbin/restorecon /usr/local/bin/kubelet", 255, "no")
	program.Content = []byte("y")
	if _, err := h.WriteFile(t.Context(), program); err == nil || !strings.Contains(err.Error(), "SELinux label") {
		t.Errorf("a label that can't be given: %v", err)
	}
}
