package release

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
)

const agent = bundle.AgentRepository + ":v1"

// adopted is a host that was adopted and upgraded since.
func adopted(t *testing.T, root string, options ...hosttest.Options) *host.Host {
	t.Helper()
	commands := hosttest.NewCommander(t).OnUnit(upgrade.BackTimer, "LoadState=not-found", "ActiveState=inactive")
	return hosttest.Open(t, root, commands, options...)
}

// use fills the host as adopt, an upgrade and a backup do.
func use(t *testing.T, h *host.Host) {
	t.Helper()
	ctx := t.Context()
	self := filepath.Join(t.TempDir(), "agent")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.WriteFile(self, []byte("the agent"), 0o755))
	_, err := h.InstallAgent(ctx, self)
	check(err)
	check(h.Record(ctx, "image", agent, "the agent's image in containerd"))
	check(h.Record(ctx, "image", "registry.k8s.io/kube-proxy:v1.36.3", "image in containerd"))
	hosttest.Write(t, h, "/usr/bin/kubelet", "the old one", 0o755)
	_, err = h.WriteFile(ctx, host.File{Path: "/usr/bin/kubelet", Mode: 0o755, Content: []byte("the new one"), Note: "the kubelet"})
	check(err)
	hosttest.Write(t, h, backup.Dir+"/one/backup.json", "{}", 0o600)
	hosttest.Write(t, h, prepare.Socket, "", 0o600)
	hosttest.Write(t, h, "/etc/keepalived/keepalived.conf", "others'", 0o600)
}

// images remembers what was removed; kept is why one stays.
func images(removed *[]string, kept string) remover {
	return func(_ context.Context, refs []string) ([]ctrd.Removal, error) {
		*removed = append(*removed, refs...)
		var out []ctrd.Removal
		for _, ref := range refs {
			out = append(out, ctrd.Removal{Ref: ref, Kept: kept})
		}
		return out, nil
	}
}

func there(t *testing.T, h *host.Host, path string) bool {
	t.Helper()
	ok, err := h.Exists(path)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestRelease: what is kubectl-ha's goes, and what the cluster runs on stays as it is now.
func TestRelease(t *testing.T) {
	root := t.TempDir()
	h := adopted(t, root)
	use(t, h)
	var removed []string
	data, err := run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, images(&removed, ""))
	if err != nil {
		t.Fatal(err)
	}
	d, ok := data.(Data)
	if !ok || d.Bare || d.Images != 1 || d.Backups != 1 || !slices.Equal(d.Kept, []string{"/usr/bin/kubelet"}) || !slices.Equal(removed, []string{agent}) {
		t.Errorf("%+v, removed %v", data, removed)
	}
	for _, gone := range []string{host.StateDir, host.ProgramsRoot} {
		if there(t, h, gone) {
			t.Errorf("%s is left", gone)
		}
	}
	if raw, err := h.ReadFile("/usr/bin/kubelet"); err != nil || string(raw) != "the new one" {
		t.Errorf("the kubelet was put back: %q, %v", raw, err)
	}
	if !there(t, h, "/etc/keepalived/keepalived.conf") {
		t.Error("what others made is gone")
	}
	// Nothing is left to be done.
	if data, err = run(t.Context(), node.Env{Host: bare(t, root), Progress: func(string, ...any) {}}, images(&removed, "")); err != nil || !isBare(data) {
		t.Errorf("again: %+v, %v", data, err)
	}
}

// bare opens the host without beginning a ledger on it.
func bare(t *testing.T, root string) *host.Host {
	t.Helper()
	return hosttest.New(t, hosttest.NewCommander(t), func(o *host.Options) { o.Root, o.Ledger = root, nil })
}

func isBare(data any) bool {
	d, ok := data.(Data)
	return ok && d.Bare
}

// TestDryRun: all that would go is told, and nothing does.
func TestDryRun(t *testing.T) {
	root := t.TempDir()
	use(t, adopted(t, root))
	h := adopted(t, root, hosttest.DryRun)
	var removed []string
	data, err := run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, images(&removed, ""))
	if err != nil || len(removed) > 0 || !there(t, h, host.AgentPath) || !there(t, h, backup.Dir) {
		t.Errorf("%+v, %v, removed %v", data, err, removed)
	}
	raw, err := json.Marshal(data)
	if err != nil || !strings.Contains(string(raw), `"backups":1`) || len(h.Changes()) < 3 {
		t.Errorf("%s, %v, %v", raw, err, h.Changes())
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, h *host.Host)
		kept    string
		want    string
	}{
		"bootstrap made it": {func(t *testing.T, h *host.Host) {
			l, err := h.Ledger()
			if err = errors.Join(err, l.Done(tasks.Prepare)); err != nil {
				t.Fatal(err)
			}
		}, "", "bootstrap has made this host"},
		"in the middle of an upgrade": {func(t *testing.T, h *host.Host) {
			if _, err := h.WriteFile(t.Context(), host.File{Path: unitDir + "kubectl-ha-mend.service", Mode: 0o644, Content: []byte("x"), Note: "the guard"}); err != nil {
				t.Fatal(err)
			}
		}, "", "an upgrade of this host is unfinished"},
		"a container holds the image for good": {func(*testing.T, *host.Host) {}, "a container uses it", "a container uses it"},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			h := adopted(t, t.TempDir())
			use(t, h)
			tt.prepare(t, h)
			var removed []string
			_, err := run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, images(&removed, tt.kept))
			if err == nil || !strings.Contains(err.Error(), tt.want) || host.Hint(err) == "" {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if !there(t, h, host.AgentPath) || !there(t, h, backup.Dir) {
				t.Error("something is gone")
			}
		}))
	}
}

// inBubble is a test in which waiting takes no time.
func inBubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

// TestWaitsForContainers: the kubelet removes the containers of pods that are gone a little later.
func TestWaitsForContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := adopted(t, t.TempDir())
		use(t, h)
		began := time.Now()
		data, err := run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, func(ctx context.Context, refs []string) ([]ctrd.Removal, error) {
			var removed []string
			if time.Since(began) < time.Minute {
				return images(&removed, "a pod that is gone uses it")(ctx, refs)
			}
			return images(&removed, "")(ctx, refs)
		})
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := data.(Data); !ok || d.Images != 1 || there(t, h, host.StateDir) {
			t.Errorf("%+v", data)
		}
	})
}
