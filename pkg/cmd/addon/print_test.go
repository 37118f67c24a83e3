package addon

import (
	"bytes"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli/clitest"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
)

func TestPrintStates(t *testing.T) {
	states := []addon.State{
		{Name: "dashboard", Version: "v1", State: install.Installed, Healthy: true, Variants: []string{"admin-user"}, Objects: []install.Object{}},
		{Name: "metrics-server", Version: "v2", State: install.Installing, For: "dashboard", Lacks: []string{"deployment: 0 of 1"}, Objects: []install.Object{}}}
	for name, c := range map[string]struct {
		output string
		states []addon.State
		want   string
	}{
		"none": {"", nil, "No addon is installed; kubectl ha addon list shows the available addons.\n"},
		"text": {"text", states, "NAME            VERSION  STATE       HEALTHY  FOR        VARIANTS\n" +
			"dashboard       v1       Installed   yes      -          admin-user\n" +
			"metrics-server  v2       Installing  no       dashboard  -\n" +
			"metrics-server: deployment: 0 of 1\n"},
		"json": {"json", states[:1], `[{"name":"dashboard","version":"v1","variants":["admin-user"],"state":"Installed","healthy":true,"objects":[]}]` + "\n"},
		"yaml": {"yaml", []addon.State{}, "[]\n"},
		"name": {"name", states, "addon/dashboard\naddon/metrics-server\n"},
	} {
		var out bytes.Buffer
		o := options{IOStreams: genericiooptions.IOStreams{Out: &out}, output: clitest.Output(t, c.output)}
		if err := o.printStates(c.states); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q, %v", name, out.String(), err)
		}
	}
}
