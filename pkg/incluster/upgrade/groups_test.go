package upgrade

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestPlanByZones: a zone is opened when all turns of the one before are over, each with a bound of its
// own; workers without the label come last, and are named as such.
func TestPlanByZones(t *testing.T) {
	steps := planOf(t, storedDocument(), v1alpha1.UpgradeSpec{By: "zone", MaxUnavailable: "50%", MaxFailures: "34%"}, zones(well("v1.35.4"), "w2", "eu-a", "w3", "eu-a"))
	ids := map[string]v1alpha1.StepStatus{}
	for _, s := range steps {
		ids[s.ID] = s
	}
	a, none := ids["workers/eu-a"], ids["workers/(none)"]
	if !before(steps, a.ID)["record"] || strings.Join(none.After, " ") != v1alpha1.AfterTurns || strings.Join(ids["report"].After, " ") != v1alpha1.AfterTurns {
		t.Errorf("the zones open after %v and %v, the report comes after %v", a.After, none.After, ids["report"].After)
	}
	for node, zone := range map[string]string{"w1": none.ID, "w2": a.ID, "w3": a.ID} {
		if got := strings.Join(ids["cordon/"+node].After, " "); got != zone {
			t.Errorf("%s comes after %s", node, got)
		}
	}
	if a.Turns.AtOnce != 1 || none.Turns.AtOnce != 1 || a.Turns.MaxFailures != 1 || a.Title != "begin with the workers of zone eu-a: 2, at most 1 at once" {
		t.Errorf("got %q with %+v, %+v", a.Title, a.Turns, none.Turns)
	}
	if !before(steps, "workers/(none)")["uncordon/w3"] || before(steps, a.ID)["cordon/w1"] {
		t.Error("the zones are not one after the other")
	}
}

// TestPlanIsSmall: no step names all nodes.
func TestPlanIsSmall(t *testing.T) {
	for _, only := range []v1alpha1.UpgradeScope{v1alpha1.UpgradeAll, v1alpha1.UpgradeNodes} {
		for _, s := range planOf(t, storedDocument(), v1alpha1.UpgradeSpec{Only: only, MaxUnavailable: "3"}, well("v1.35.4")) {
			if len(s.After) > 4 {
				t.Errorf("only %q: %s comes after %d steps", only, s.ID, len(s.After))
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		text             string
		workers          int
		atOnce, failures int
	}{
		{"", 50, 1, 0}, {"1", 50, 1, 1}, {"25%", 50, 12, 12}, {"1%", 50, 1, 0}, {"100%", 3, 3, 3}, {"5000", 3, 5000, 5000},
		{"0", 50, -1, 0}, {"0%", 50, -1, 0}, {"101%", 50, -1, -1}, {"-1", 50, -1, -1}, {"x", 50, -1, -1}, {"%", 50, -1, -1}, {"1.5", 50, -1, -1}, {"70000", 50, -1, -1},
	} {
		n, err := abreast(c.text, c.workers)
		if (err != nil) != (c.atOnce < 0) || err == nil && n != c.atOnce {
			t.Errorf("%q of %d at once: %d, %v", c.text, c.workers, n, err)
		}
		n, err = maxFailures(c.text, c.workers)
		if (err != nil) != (c.failures < 0) || err == nil && n != c.failures {
			t.Errorf("%q of %d may fail: %d, %v", c.text, c.workers, n, err)
		}
	}
}

func TestCheckGroups(t *testing.T) {
	for name, c := range map[string]struct {
		spec v1alpha1.UpgradeSpec
		o    Observation
		want string
	}{
		"nothing":                {v1alpha1.UpgradeSpec{}, well("v1.35.4"), ""},
		"a label that none has":  {v1alpha1.UpgradeSpec{By: "zoen"}, zones(well("v1.35.4"), "w1", "a"), "no worker has the label zoen"},
		"some have it":           {v1alpha1.UpgradeSpec{By: "zone"}, zones(well("v1.35.4"), "w1", "a"), ""},
		"room for failures":      {v1alpha1.UpgradeSpec{MaxFailures: "1", MaxUnavailable: "2"}, well("v1.35.4"), ""},
		"no room":                {v1alpha1.UpgradeSpec{MaxFailures: "2", MaxUnavailable: "2"}, well("v1.35.4"), "2 workers may fail, but no more than 2 may be out"},
		"no room in a zone":      {v1alpha1.UpgradeSpec{MaxFailures: "1", MaxUnavailable: "99%", By: "zone"}, zones(well("v1.35.4"), "w1", "a"), "1 workers may fail, but no more than 1 may be out"},
		"no workers are touched": {v1alpha1.UpgradeSpec{MaxFailures: "2", Only: v1alpha1.UpgradeControlPlanes}, well("v1.35.4"), ""},
	} {
		c.spec.Version = "v1.36.3"
		got := messages(checkGroups(storedDocument(), &c.spec, c.o))
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestBegun: the next zone waits for those that have had their turn, and for no others.
func TestBegun(t *testing.T) {
	now := metav1.Now()
	steps := []v1alpha1.StepStatus{
		{ID: "uncordon/cp1", State: v1alpha1.StepSucceeded, FinishedAt: &now}, {ID: "workers/a", State: v1alpha1.StepSucceeded},
		{ID: "uncordon/w1", State: v1alpha1.StepSucceeded}, {ID: "uncordon/w2", State: v1alpha1.StepPending},
		{ID: "workers/b", State: v1alpha1.StepRunning},
	}
	looks := 0
	answers := []map[string]string{nil, {"w1": "asleep"}, {"w2": "failed, as it may", "cp1": "no worker"}}
	turn := engine.Turn{Env: engine.Env{Operation: &v1alpha1.Operation{Status: v1alpha1.OperationStatus{Steps: steps}},
		Unready: func() map[string]string { looks++; return answers[min(looks, len(answers))-1] }},
		Progress: func(string, ...any) {}, Sink: report.Discard()}
	out, err := begun(t.Context(), turn)
	if err != nil || out.Message != "1 had their turn and are ready" || looks != len(answers) {
		t.Errorf("after %d looks: %q, %v", looks, out.Message, err)
	}
}
