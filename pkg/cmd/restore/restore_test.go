package restore

import (
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/restore"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestLower: a snapshot that is behind a member is shown as that, and nothing but the cluster's name is a yes.
func TestLower(t *testing.T) {
	p := restore.Plan{ID: "restore-1", Source: "the backup b of cp1", Revision: 7, Created: time.Now().Add(-2 * time.Hour), Newest: 12, NewestOf: "cp2", Members: []string{"cp1", "cp2"}, LeftOut: []string{"cp3"},
		Survivors: map[string]uint64{"cp2": 50}, Warnings: []string{"cp2 has revision 12: everything that was written after revision 7 is lost"}}
	for answer, yes := range map[string]bool{"lab\n": true, "yes\n": false, "y\n": false, "\n": false, "other\n": false} {
		streams, in, out, _ := genericiooptions.NewTestIOStreams()
		in.WriteString(answer)
		o := &options{IOStreams: streams}
		o.action.Cluster = &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}}
		if err := o.confirm(t.Context(), p); (err == nil) != yes {
			t.Errorf("%q: %v", answer, err)
		}
		for _, want := range []string{"Restore the backup b of cp1, revision 7", "(120m ago)", "Lost: 5 revisions", "cp2 has data, applied up to the index 50", "Left out: cp3.", "Warning: cp2 has revision 12", "Type the name of the cluster (lab)"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is not said:\n%s", want, out)
			}
		}
	}
}

// TestFinish: what was changed besides, and what is left to do, is said at the end.
func TestFinish(t *testing.T) {
	streams, _, out, _ := genericiooptions.NewTestIOStreams()
	o := &options{IOStreams: streams}
	o.action.Cluster = &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}}
	r := restore.Result{Plan: restore.Plan{ID: "restore-1"}, Cordoned: []string{"cp2"}, Settled: certs.Settled{Changed: []string{"kube-public/cluster-info"}, Bound: []string{"shop/token"}, Advice: []string{"look here"}}}
	if err := o.finish(r, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CAs and keys that are in use: kube-public/cluster-info.", "Secrets with a new token (copies of the former one elsewhere are refused): shop/token.", "To do: look here.", "cordoned (kubectl uncordon NODE): cp2."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
}

// TestRefuses: what does not fit together is said before anybody is asked.
func TestRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"b --take-back --yes": "leave out the backup", "b -o json": "--yes", "b -o table --yes": "unable to match a printer", "b c": "at most 1",
	} {
		streams, _, _, _ := genericiooptions.NewTestIOStreams()
		c := New(streams)
		c.SetArgs(strings.Fields(line))
		c.SilenceErrors, c.SilenceUsage = true, true
		if err := c.ExecuteContext(t.Context()); err == nil || action.KindOf(err) == action.Unreachable || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
