package loadbalancer

import (
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// TestInstallArgs: flags that can't be are refused before any cluster is asked.
func TestInstallArgs(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for line, want := range map[string]string{
		"--type envoy --yes":                   "--type envoy",
		"--use-for kubelet --yes":              "--use-for kubelet",
		"--use-for kube-proxy,envoy --yes":     "--use-for envoy",
		"--port 443 --yes":                     "--port 443",
		"--bundle-digest sha256:abc --yes":     "--bundle",
		"-o xml --yes":                         `format "xml"`,
		"--type nginx":                         "--yes",
		"--type nginx --port 9443 --yes":       "no kubeconfig found",
		"--use-for= --yes":                     "no kubeconfig found",
		"--type nginx --dry-run --port=80":     "--port 80",
		"--use-for kube-proxy,kubelets -oyaml": "no kubeconfig found",
	} {
		c := newInstall(genericiooptions.NewTestIOStreamsDiscard(), cli.NewAccess())
		c.SetArgs(strings.Fields(line))
		c.SilenceErrors, c.SilenceUsage = true, true
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), want) || action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// TestUses: to be used by nobody is not to say nothing about it.
func TestUses(t *testing.T) {
	if got := uses(nil); got == nil || len(got) > 0 {
		t.Errorf("%#v", got)
	}
	if got := uses([]string{"kubelets"}); len(got) != 1 || got[0] != "kubelets" {
		t.Errorf("%#v", got)
	}
}
