package operate

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli/clitest"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
)

func samples() (well, refused *operate.Plan) {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}}
	well = &operate.Plan{Cluster: c, Steps: []plan.Step{{ID: "prepare/w2", Title: "install", Host: "w2", Spec: "of nobody else's", Settings: "digest"},
		{ID: "labels", Title: "label", After: []string{"prepare/w2"}, Skip: "they are there"}}, Findings: []nodes.Finding{{Check: "etcd", Message: "even"}}}
	return well, &operate.Plan{Cluster: c, Findings: []nodes.Finding{{Node: "cp1", Check: "quorum", Message: "no quorum", Hint: "mend it", Blocks: true}}}
}

// TestJSON: a plan is one line, with what programs were promised and nothing else.
func TestJSON(t *testing.T) {
	well, refused := samples()
	for want, p := range map[string]*operate.Plan{
		`{"cluster":"test","ok":true,"plan":[{"id":"prepare/w2","title":"install","host":"w2"},{"id":"labels","title":"label","after":["prepare/w2"],"skip":"they are there"}],` +
			`"findings":[{"check":"etcd","message":"even","blocks":false}]}` + "\n": well,
		`{"cluster":"test","ok":false,"plan":[],"findings":[{"node":"cp1","check":"quorum","message":"no quorum","hint":"mend it","blocks":true}]}` + "\n": refused,
		`{"cluster":"test","ok":true,"plan":[],"findings":[]}` + "\n":                                                                                      {Cluster: well.Cluster},
	} {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		o := Options{IOStreams: streams, Output: clitest.Output(t, "json")}
		if err := o.Show(p); err != nil || out.String() != want {
			t.Errorf("%v, %s, want %s", err, out, want)
		}
	}
}

// TestDecide: nobody is asked about what is not done anyhow, and nothing is shown behind what stands
// in the way.
func TestDecide(t *testing.T) {
	well, refused := samples()
	for name, tc := range map[string]struct {
		plans       []*operate.Plan
		dryRun, yes bool
		answer      string
		// asked and shown are whether the question and the steps are seen.
		asked, shown bool
		kind         action.Kind
	}{
		"yes":                    {plans: []*operate.Plan{well}, answer: "y\n", asked: true, shown: true},
		"no":                     {plans: []*operate.Plan{well}, answer: "n\n", asked: true, shown: true, kind: action.Invalid},
		"--yes":                  {plans: []*operate.Plan{well}, yes: true, shown: true},
		"a dry run":              {plans: []*operate.Plan{well}, dryRun: true, shown: true},
		"in the way":             {plans: []*operate.Plan{refused}, answer: "y\n"},
		"in the way, first":      {plans: []*operate.Plan{refused, well}, answer: "y\n"},
		"in the way, the second": {plans: []*operate.Plan{well, refused}, answer: "y\n", shown: true},
	} {
		streams, in, out, errOut := genericiooptions.NewTestIOStreams()
		in.WriteString(tc.answer)
		o := Options{IOStreams: streams, DryRun: tc.dryRun, Yes: tc.yes}
		err := o.Decide(t.Context(), "Go on?", tc.plans...)
		if action.KindOf(err) != tc.kind || (err == nil) != (tc.kind == "") {
			t.Errorf("%s: %v", name, err)
		}
		if asked := strings.Contains(errOut.String(), "Go on?"); asked != tc.asked {
			t.Errorf("%s: asked %v: %s", name, asked, errOut)
		}
		if shown := strings.Contains(out.String(), "install"); shown != tc.shown {
			t.Errorf("%s: shown %v: %s", name, shown, out)
		}
		if dry := strings.Contains(out.String(), "Dry run: nothing was changed. 1 step to do."); dry != tc.dryRun {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestValidateYes: what would have to be asked about is refused where nobody answers.
func TestValidateYes(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	for name, tc := range map[string]struct {
		o    Options
		want error
	}{
		"to be asked": {Options{}, errors.New("--yes")},
		"json":        {Options{Output: clitest.Output(t, "json")}, errors.New("--yes")},
		"yaml":        {Options{Output: clitest.Output(t, "yaml")}, errors.New("--yes")},
		"--yes":       {Options{Yes: true}, nil},
		"a dry run":   {Options{DryRun: true}, nil},
		"manifests":   {Options{Output: clitest.Output(t, "yaml", cli.Formats{Manifests: true})}, nil},
	} {
		tc.o.IOStreams = streams
		err := tc.o.ValidateYes()
		if (err == nil) != (tc.want == nil) || err != nil && (!strings.Contains(err.Error(), tc.want.Error()) || action.KindOf(err) != action.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
