package prepare

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const agentHosts = "/" + bundle.AgentRegistry + "/hosts.toml"

// asked are the hosts that containerd asks for an image of a registry, with the directory
// of mirrors in the bench: its own code reads them.
func (b *bench) asked(registry string, dir string) (out []string) {
	b.t.Helper()
	find := config.HostDirFromRoot(filepath.Join(b.root, dir))
	hosts, err := config.ConfigureHosts(b.t.Context(), config.HostOptions{HostDir: find})(registry)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range hosts {
		if h.Capabilities.Has(docker.HostCapabilityPull) || h.Capabilities.Has(docker.HostCapabilityResolve) {
			out = append(out, h.Host)
		}
	}
	return out
}

// A mirror of all registries is not asked for the agent's image, nor is whoever answers for
// its name; for others it is.
func TestNobodyIsAskedForTheAgent(t *testing.T) {
	b := newBench(t)
	b.spec.RegistryMirrors = map[string][]string{"_default": {"http://mirror:5000"}}
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	if got := b.asked("quay.io", certsDir); len(got) == 0 || got[0] != "mirror:5000" {
		t.Errorf("for another registry %v are asked, so that this test tests nothing", got)
	}
	if got := b.asked(bundle.AgentRegistry, certsDir); len(got) > 0 {
		t.Errorf("%v are asked for the agent", got)
	}
	if got := b.read(host.StateDir + "/ledger.jsonl"); !strings.Contains(got, certsDir+agentHosts) {
		t.Error("the ledger, by which uninstall goes, has not the file")
	}
	wantNothingDone(t, b)
	// It stays when there is no mirror any more.
	b.spec.RegistryMirrors = nil
	if _, _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	if got := b.asked(bundle.AgentRegistry, certsDir); len(got) > 0 {
		t.Errorf("without mirrors %v are asked for the agent", got)
	}
	b.spec.RegistryMirrors = map[string][]string{bundle.AgentRegistry: {"http://mirror:5000"}}
	if _, _, err := b.run(); err == nil || !strings.Contains(host.Hint(err), "take it out") {
		t.Errorf("a mirror of the agent's own image: %v", err)
	}
}

// A containerd of others is told where it looks, and its configuration stays.
func TestNobodyIsAskedForTheAgentElsewhere(t *testing.T) {
	const registry = "[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = "
	for name, tc := range map[string]struct{ dump, path string }{
		"ours":         {goodDump + registry + "'/etc/containerd/certs.d'\n", certsDir},
		"elsewhere":    {goodDump + registry + "'/srv/certs.d'\n", "/srv/certs.d"},
		"the first":    {goodDump + registry + "'/srv/certs.d:/etc/containerd/certs.d'\n", "/srv/certs.d"},
		"nowhere":      {goodDump + registry + "''\n", ""},
		"not said":     {goodDump, ""},
		"not absolute": {goodDump + registry + "'certs.d'\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := foreignBench(t, "containerd containerd.io 1.7.27 x\n", tc.dump)
			b.file(containerdConfig, "version = 2\n")
			if _, _, err := b.run(); err != nil {
				t.Fatal(err)
			}
			if b.read(containerdConfig) != "version = 2\n" {
				t.Error("their configuration was changed")
			}
			if tc.path != "" {
				b.file(tc.path+"/_default/hosts.toml", "[host.'http://mirror:5000']\n")
				if got := b.asked(bundle.AgentRegistry, tc.path); len(got) > 0 {
					t.Errorf("%v are asked", got)
				}
				return
			}
			for _, dir := range []string{certsDir, "/srv/certs.d", "/certs.d"} {
				if _, err := os.Stat(filepath.Join(b.root, dir+agentHosts)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a file in %s, where it does not look: %v", dir, err)
				}
			}
		})
	}
}
