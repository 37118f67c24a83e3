package convert

import (
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// TestArgs: flags that can't be are refused before any cluster is asked.
func TestArgs(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for line, want := range map[string]string{
		"--yes":                                 "specify --virtual-ip",
		"--undo":                                "--yes",
		"--undo --yes":                          "no kubeconfig found",
		"--undo --virtual-ip 192.0.2.100 --yes": "no kubeconfig found",
		"--undo --control-plane cp2=192.0.2.12 --yes":                                             "--undo",
		"--undo --interface eth0 --yes":                                                           "--undo",
		"--virtual-ip 192.0.2.100":                                                                "--yes",
		"--virtual-ip 192.0.2.100 --yes":                                                          "no kubeconfig found",
		"--virtual-ip 192.0.2.100 --dry-run":                                                      "no kubeconfig found",
		"--virtual-ip 192.0.2.100 --router-id 256 --yes":                                          "--router-id 256",
		"--virtual-ip 192.0.2.100 --control-plane cp2 --yes":                                      "use NAME=ADDRESS",
		"--virtual-ip 192.0.2.100 --control-plane =192.0.2.12 --yes":                              "use NAME=ADDRESS",
		"--virtual-ip 192.0.2.100 --control-plane cp2=192.0.2.12 --control-plane cp2=192.0.2.13":  "twice",
		"--virtual-ip 192.0.2.100 --control-plane cp2=192.0.2.12 --detach --yes":                  "--detach",
		"--virtual-ip 192.0.2.100 --control-plane cp2=192.0.2.12 -o yaml":                         "over SSH",
		"--virtual-ip 192.0.2.100 --ssh-user root --yes":                                          "require --control-plane",
		"--virtual-ip 192.0.2.100 --bundle b.tar --yes":                                           "require --control-plane",
		"--virtual-ip 192.0.2.100 --control-plane cp2=192.0.2.12 --bundle-digest sha256:ab --yes": "--bundle",
		"--virtual-ip 192.0.2.100 cp2 --yes":                                                      "cp2",
	} {
		c := New(genericiooptions.NewTestIOStreamsDiscard())
		c.SetArgs(strings.Fields(line))
		c.SilenceErrors, c.SilenceUsage = true, true
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), want) || action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
