package node

import (
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli/clitest"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
)

// A member of etcd is named in the place of a node, and without what is about hosts.
func TestRemoveArgs(t *testing.T) {
	for line, want := range map[string]string{
		"w1":                                   "",
		"":                                     "specify the node",
		"w1 w2":                                "specify the node",
		"--etcd-member cp4":                    "",
		"cp4 --etcd-member 10":                 "replaces the node argument",
		"--etcd-member=":                       "--etcd-member is empty",
		"--etcd-member cp4 -f cluster.yaml":    "--filename is for a host",
		"--etcd-member cp4 --fenced":           "--fenced is for a host",
		"--etcd-member cp4 --force-drain":      "--force-drain is for a host",
		"--etcd-member cp4 --drain-timeout 1m": "--drain-timeout is for a host",
		"--etcd-member cp4 --delete-emptydir-data": "--delete-emptydir-data is for a host",
	} {
		c := newRemove(genericiooptions.NewTestIOStreamsDiscard(), cli.NewAccess())
		err := c.ParseFlags(strings.Fields(line))
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

// TestPrintOut: what is left to do about a host that is out; programs are told by events alone.
func TestPrintOut(t *testing.T) {
	for name, tc := range map[string]struct {
		out    nodes.Out
		output string
		want   string
		not    string
	}{
		"lost":     {out: nodes.Out{Host: "w1", Lost: true}, want: "Never start w1 again", not: "still on"},
		"cleaned":  {out: nodes.Out{Host: "w1", Cleaned: true}, want: "Also remove w1 from your Cluster file", not: "still on"},
		"no host":  {out: nodes.Out{}, not: "Cluster file"},
		"as it is": {out: nodes.Out{Host: "w1"}, want: "are still on w1", not: "Never"},
		"json":     {out: nodes.Out{Host: "w1"}, output: "json", not: "w1"},
	} {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		err := printOut(&operate.Options{IOStreams: streams, Output: clitest.Output(t, tc.output)}, tc.out)
		if err != nil || !strings.Contains(out.String(), tc.want) || strings.Contains(out.String(), tc.not) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}
