package diagnose

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

func TestKindOf(t *testing.T) {
	for health, want := range map[status.Health]action.Kind{status.Healthy: "", status.Degraded: action.Findings, status.Broken: action.Broken} {
		if got := KindOf(health); got != want {
			t.Errorf("%s: %q, want %q", health, got, want)
		}
	}
}

func TestInTurn(t *testing.T) {
	own, older := v1alpha1.Agents{{Arch: "amd64", Image: "agent:v2"}}, v1alpha1.Agents{{Arch: "amd64", Image: "agent:v1"}}
	for name, c := range map[string]struct {
		all  agents.Lookers
		want string
	}{
		"both":             {agents.Lookers{Own: own, Usual: older}, "agent:v2 agent:v1"},
		"the same":         {agents.Lookers{Own: own, Usual: own}, "agent:v2"},
		"none of its own":  {agents.Lookers{Usual: older}, "agent:v1"},
		"none on the node": {agents.Lookers{Own: own}, "agent:v2"},
		"none":             {},
	} {
		var got []string
		for _, a := range inTurn(c.all) {
			got = append(got, a.Image())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q", name, s)
		}
	}
}

func TestSick(t *testing.T) {
	for state, want := range map[doctor.State]bool{doctor.OK: false, doctor.Warning: false, doctor.Skipped: false, doctor.Problem: true} {
		d := Diagnosis{Checks: []doctor.Result{{State: doctor.OK}, {State: state}}}
		if d.Sick() != want {
			t.Errorf("%s", state)
		}
	}
}

func TestPlanRepair(t *testing.T) {
	for name, c := range map[string]struct {
		d             Diagnosis
		names         []string
		fixes, addons bool
		kind          action.Kind
	}{
		"nothing":                          {d: Diagnosis{ours: true}},
		"nothing, of a cluster of another": {},
		"both": {d: Diagnosis{ours: true, Fixes: []v1alpha1.RepairFix{v1alpha1.RepairCoreDNS}, Addons: []string{"dashboard"}},
			names: []string{string(v1alpha1.RepairCoreDNS), "the certificates of dashboard"}, fixes: true, addons: true},
		"an addon":                       {d: Diagnosis{ours: true, Addons: []string{"dashboard"}}, names: []string{"the certificates of dashboard"}, addons: true},
		"a fix for a cluster of another": {d: Diagnosis{Fixes: []v1alpha1.RepairFix{v1alpha1.RepairCoreDNS}}, kind: action.Invalid},
		"addons of a cluster of another": {d: Diagnosis{Addons: []string{"dashboard"}}, kind: action.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := PlanRepair(&c.d)
			if action.KindOf(err) != c.kind || (err == nil) != (c.kind == "") {
				t.Fatalf("got %v", err)
			}
			if err == nil && (!slices.Equal(m.Names, c.names) || m.fixes != c.fixes || m.addons != c.addons) {
				t.Errorf("got %+v", m)
			}
			if err != nil && !strings.Contains(err.Error(), "adopt") {
				t.Errorf("%v does not say what comes first", err)
			}
		})
	}
}

// TestExamineUnreached: where no API answers there is nothing to be examined, and that is said.
func TestExamineUnreached(t *testing.T) {
	_, err := Examine(t.Context(), ExamineOptions{Config: &rest.Config{Host: "https://127.0.0.1:1"}})
	if action.KindOf(err) != action.Unreachable || !strings.Contains(err.Error(), "status -f FILE") {
		t.Errorf("got %v (%s)", err, action.KindOf(err))
	}
}

// TestSupportUnreached: what could not be had is in the archive, and so is the status.
func TestSupportUnreached(t *testing.T) {
	s, err := CollectSupport(t.Context(), SupportOptions{Config: &rest.Config{Host: "https://127.0.0.1:1"}, Lines: 10,
		Render: func(r status.Report) string { return "seen by " + r.API.Asked }})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.Files["status.txt"]); got != "seen by 127.0.0.1:1" {
		t.Errorf("status.txt: %q", got)
	}
	for _, name := range []string{"doctor.json", "nodes.json", "operations.json"} {
		if _, there := s.Files[name]; there {
			t.Errorf("%s, without an API", name)
		}
	}
	if !strings.Contains(string(s.Files["status.json"]), `"health": "broken"`) {
		t.Errorf("status.json: %s", s.Files["status.json"])
	}
}
