package etcdmember

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// TestFit: what is missing, or would not come up, is found before anything is changed.
func TestFit(t *testing.T) {
	const release = ReleasesDir + "/v3.6.16/"
	for name, tc := range map[string]struct {
		prepare func(h *host.Host, c *hosttest.Commander)
		says    string // empty: fit
	}{
		"fit": {func(*host.Host, *hosttest.Commander) {}, ""},
		"no member": {func(h *host.Host, _ *hosttest.Commander) {
			if err := os.Remove(h.Path(ConfigPath)); err != nil {
				t.Fatal(err)
			}
		}, "has no etcd member"},
		"the old configuration": {func(h *host.Host, _ *hosttest.Commander) {
			if err := os.Rename(h.Path(ConfigPath), h.Path(YAMLPath)); err != nil {
				t.Fatal(err)
			}
		}, "has no etcd member"},
		"v2 is served": {func(h *host.Host, _ *hosttest.Commander) {
			hosttest.Write(t, h, ConfigPath, "ETCD_NAME=\"a\"\nETCD_ENABLE_V2=\"true\"\n", 0o644)
		}, "serves etcd's version 2"},
		"no program": {func(h *host.Host, _ *hosttest.Commander) {
			if err := os.Remove(h.Path(release + releaseList)); err != nil {
				t.Fatal(err)
			}
		}, "etcd v3.6.16 is not on this host"},
		"a damaged program": {func(h *host.Host, _ *hosttest.Commander) { hosttest.Write(t, h, release+"etcd", "half", 0o755) }, "is not whole"},
		"a setting that is gone": {func(_ *host.Host, c *hosttest.Commander) {
			c.Fail(release+"etcd --enable-v2=false --name=a --version", 2, "flag provided but not defined: -enable-v2\nUsage:")
		}, "flag provided but not defined: -enable-v2"},
		"another version": {func(_ *host.Host, c *hosttest.Commander) {
			c.On(release+"etcd --enable-v2=false --name=a --version", "etcd Version: 3.6.15\n")
		}, "says that it is v3.6.15"},
		"the one in place is none": {func(_ *host.Host, c *hosttest.Commander) { c.On(binary+" --version", "hello") }, "does not tell its version"},
	} {
		c := hosttest.NewCommander(t)
		h := hosttest.New(t, c)
		hosttest.Write(t, h, ConfigPath, "# x\nETCD_NAME=\"a\"\nETCD_ENABLE_V2=\"false\"\n", 0o644)
		hosttest.Write(t, h, release+"etcd", "etcd", 0o755)
		// The SHA-256 of "etcd".
		sum, err := h.SHA256(release + "etcd")
		if err != nil {
			t.Fatal(err)
		}
		hosttest.Write(t, h, release+releaseList, `{"etcd":"`+sum+`"}`, 0o644)
		c.On(binary+" --version", "etcd Version: 3.5.35\n").On(release+"etcd --enable-v2=false --name=a --version", "etcd Version: 3.6.16\nGit SHA: x\n")
		tc.prepare(h, c)
		data, err := Fit(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, FitSpec{Versions: []string{"v3.6.16"}})
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && data.(FitData).Installed != "v3.5.35" {
			t.Errorf("%s: %+v", name, data)
		}
		if len(h.Changes()) > 0 {
			t.Errorf("%s: it changes %v", name, h.Changes())
		}
	}
}

// TestApply: settings reach the member, a restart is asked for only where one is owed, and what
// the member does not come up with is put back.
func TestApply(t *testing.T) {
	m := newMachine(t)
	if _, err := m.run(t, testSpec()); err != nil {
		t.Fatal(err)
	}
	m.On("journalctl --unit etcd.service --lines 30 --no-pager --output cat", "panic")
	spec := SettingsSpec{Name: "a", Address: "10.0.0.1", Members: testSpec().Members, Args: map[string]string{"heartbeat-interval": "200"}}
	var asked []string
	sick := error(nil)
	do := func() (SettingsData, *host.Host, error) {
		h := hosttest.Open(t, m.root, m)
		m.Reset()
		asked = nil
		data, err := apply(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, spec, probes{
			dial:    func(context.Context, string) error { return nil },
			spare:   func(context.Context, node.Env, Spec) error { asked = append(asked, "spare"); return nil },
			healthy: func(context.Context, node.Env, Spec) error { asked = append(asked, "healthy"); return sick },
		})
		got, _ := data.(SettingsData)
		return got, h, err
	}
	data, h, err := do()
	if err != nil || !data.Restarted || strings.Join(asked, " ") != "spare healthy" {
		t.Fatalf("%+v %v %v", data, asked, err)
	}
	config, err := h.ReadFile(ConfigPath)
	if err != nil || Setting(config, "heartbeat-interval") != "200" || Setting(config, "initial-cluster-token") != "t1" || Setting(config, "initial-cluster-state") != "new" {
		t.Errorf("%s, %v", config, err)
	}
	if data, h, err = do(); err != nil || data.Restarted || len(h.Changes()) > 0 || asked != nil {
		t.Errorf("again: %+v %v %v %v", data, h.Changes(), asked, err)
	}
	// One that does not get well has its settings of before again.
	sick = errors.New("b is away")
	spec.Args = nil
	if _, h, err = do(); err == nil || !strings.Contains(err.Error(), "b is away") || !strings.Contains(err.Error(), "of before again") {
		t.Errorf("%v", err)
	}
	if now, err := h.ReadFile(ConfigPath); err != nil || string(now) != string(config) {
		t.Errorf("%s, %v", now, err)
	}
	spec.Name = "b"
	if _, _, err := do(); err == nil || !strings.Contains(err.Error(), "this host's etcd member is a, not b") {
		t.Errorf("another member's: %v", err)
	}
}

// TestUpgradeRefuses: nothing is begun without the programs, on another member's host, or in the
// middle of another way.
func TestUpgradeRefuses(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	env := node.Env{Host: h, Progress: func(string, ...any) {}}
	spec := UpgradeSpec{Version: "v3.6.16", Name: "a", Address: "127.0.0.1", Members: map[string]string{"a": "127.0.0.1"}}
	p := upgradeProbes{connect: func(context.Context, *host.Host, Spec) (*etcd.Client, error) {
		return etcd.Connect(t.Context(), []string{"https://127.0.0.1:1"}, login(t))
	}}
	refused := func(name, want string) {
		t.Helper()
		if _, err := upgrade(t.Context(), env, spec, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("no member", "has no etcd member a")
	if err := (Spec{Name: "a", Token: "t", DataDir: "/d"}).writeMark(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	refused("no program", "etcd v3.6.16 is not on this host")
	hosttest.Write(t, h, ReleasesDir+"/v3.6.16/etcd", "etcd", 0o755)
	sum, err := h.SHA256(ReleasesDir + "/v3.6.16/etcd")
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, h, ReleasesDir+"/v3.6.16/"+releaseList, `{"etcd":"`+sum+`"}`, 0o644)
	hosttest.Write(t, h, unfinishedPath, `{"from":"v3.5.35","to":"v3.6.15"}`, 0o600)
	refused("another way", "in the middle of its way from v3.5.35 to v3.6.15")
	spec.Version = "newest"
	refused("no version", "is not a version of etcd")
	spec.Version, spec.Name = "v3.6.16", "b"
	refused("another's", "has no etcd member b")
}
