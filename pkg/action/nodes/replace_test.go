package nodes

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestStanding: what is left of a replacement, and in which order, follows from where the old host
// stands.
func TestStanding(t *testing.T) {
	there, lost := nodes.Node{}, nodes.Node{Lost: "last heard of long ago"}
	for name, tc := range map[string]struct {
		stored, given *v1alpha1.Cluster
		seen          map[string]nodes.Node
		want          []turn
		err           string
	}{
		"it is there": {stored(), clusterOf("cp1", "w2"), map[string]nodes.Node{"w1": there}, []turn{comes, leaves}, ""},
		"it is there, and the new one as well": {clusterOf("cp1", "w1", "w2"), clusterOf("cp1", "w2"),
			map[string]nodes.Node{"w1": there, "w2": there}, []turn{comes, leaves}, ""},
		"it is lost":                     {stored(), clusterOf("cp1", "w2"), map[string]nodes.Node{"w1": lost}, []turn{leaves, comes}, ""},
		"its node is gone":               {stored(), clusterOf("cp1", "w2"), nil, []turn{comes, leaves}, ""},
		"its node alone is left":         {clusterOf("cp1"), clusterOf("cp1", "w2"), map[string]nodes.Node{"w1": lost}, []turn{leaves, comes}, ""},
		"it is out":                      {clusterOf("cp1"), clusterOf("cp1", "w2"), nil, []turn{comes}, ""},
		"it is out, and the new one in":  {clusterOf("cp1", "w2"), clusterOf("cp1"), nil, []turn{comes}, ""},
		"nobody knows either of the two": {clusterOf("cp1"), clusterOf("cp1"), nil, nil, "no node w1 to replace"},
	} {
		out, isLost, err := standing(tc.stored, tc.given, nodes.Observation{Nodes: tc.seen}, "w1", "w2", "file.yaml")
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || action.KindOf(err) != action.Invalid {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := turns(out, isLost); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tc.want)
		}
	}
}

// TestSettled: a host that does not answer is waited for, until it is back or lost, and not for ever.
func TestSettled(t *testing.T) {
	well, away, lost := nodes.Node{}, nodes.Node{NotReady: "KubeletNotReady"}, nodes.Node{NotReady: "NodeStatusUnknown", Lost: "long ago"}
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		// seen is what each look sees of the host, the last for ever.
		seen []nodes.Node
		etcd string
		err  error
		want string
		told int
		took time.Duration
	}{
		"it is well":            {seen: []nodes.Node{well}},
		"it is lost":            {seen: []nodes.Node{lost}, etcd: "no answer"},
		"it comes back":         {seen: []nodes.Node{away, away, well}, told: 1, took: 2 * settleInterval},
		"it counts as lost":     {seen: []nodes.Node{away, lost}, told: 1, took: settleInterval},
		"its member stays away": {seen: []nodes.Node{well}, etcd: "no answer", told: 1, took: settles + settleInterval, want: "w1 is not healthy (no answer)"},
		"it stays away":         {seen: []nodes.Node{away}, told: 1, took: settles + settleInterval, want: "w1 is not healthy (KubeletNotReady)"},
		"it is no node":         {etcd: "no answer"},
		"nobody can look":       {seen: []nodes.Node{well}, err: broken, want: "broken"},
	} {
		synctest.Test(t, func(t *testing.T) {
			looks, told, begun := 0, 0, time.Now()
			_, err := settled(t.Context(), "w1", func(context.Context) (nodes.Observation, error) {
				o := nodes.Observation{Nodes: map[string]nodes.Node{}, EtcdAway: map[string]string{}}
				if tc.etcd != "" {
					o.EtcdAway["w1"] = tc.etcd
				}
				if len(tc.seen) > 0 {
					o.Nodes["w1"] = tc.seen[min(looks, len(tc.seen)-1)]
				}
				looks++
				return o, tc.err
			}, report.SinkFunc(func(e report.Event) {
				if told++; !strings.Contains(e.Message, "w1 does not respond") {
					t.Errorf("%s: told was %q", name, e.Message)
				}
			}))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", name, err)
			}
			if strings.Contains(tc.want, "not healthy") && action.KindOf(err) != action.Findings {
				t.Errorf("%s: kind %q", name, action.KindOf(err))
			}
			if took := time.Since(begun); told != tc.told || took != tc.took {
				t.Errorf("%s: told %d times, took %s", name, told, took)
			}
		})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := settled(ctx, "w1", func(context.Context) (nodes.Observation, error) {
		return nodes.Observation{Nodes: map[string]nodes.Node{"w1": away}}, nil
	}, report.Discard()); !errors.Is(err, broken) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestParts: the plans are shown in the order of what is done; while both hosts are there, what is
// odd about that is not.
func TestParts(t *testing.T) {
	odd, blocks := nodes.Finding{Check: "etcd"}, nodes.Finding{Check: "quorum", Blocks: true}
	over := plan.Plan{Steps: []plan.Step{{ID: "prepare/w2"}}}
	come := &operate.Plan{Cluster: clusterOf("cp1", "w1", "w2"), Steps: []plan.Step{{ID: "labels"}}, Findings: []nodes.Finding{odd, blocks}}
	leave := &Removal{Plan: &operate.Plan{Cluster: clusterOf("cp1", "w2"), Steps: []plan.Step{{ID: "drain/w1"}}}}
	for name, tc := range map[string]struct {
		turns []turn
		want  string
	}{
		"it is there": {[]turn{comes, leaves}, "prepare/w2 labels quorum | drain/w1"},
		"it is lost":  {[]turn{leaves, comes}, "drain/w1 | prepare/w2 labels etcd quorum"},
		"it is out":   {[]turn{comes}, "prepare/w2 labels quorum"},
	} {
		r := &Replacement{turns: tc.turns, coming: come, leave: leave}
		var got []string
		for _, p := range r.parts(over) {
			var words []string
			for _, s := range p.Steps {
				words = append(words, s.ID)
			}
			for _, f := range p.Findings {
				words = append(words, f.Check)
			}
			got = append(got, strings.Join(words, " "))
		}
		if text := strings.Join(got, " | "); text != tc.want {
			t.Errorf("%s: %s, want %s", name, text, tc.want)
		}
	}
	if len(come.Steps) != 1 || len(come.Findings) != 2 {
		t.Errorf("the plan was changed: %+v", come)
	}
}

// TestReplace: each part is planned for the cluster as it is when its turn comes, and a new host
// that can't be looked at leaves the old one where it is.
func TestReplace(t *testing.T) {
	for name, tc := range map[string]struct {
		lost  bool
		turns []turn
		// coming and leaving are the hosts of the documents after these parts, stored of the one
		// with which the old host leaves.
		coming, leaving, stored string
	}{
		"a host that is there": {false, []turn{comes, leaves}, "cp1 w1 w2", "cp1 w2", "cp1 w1 w2"},
		"a host that is lost":  {true, []turn{leaves, comes}, "cp1 w2", "cp1", "cp1 w1"},
	} {
		t.Run(name, func(t *testing.T) {
			change := asIs
			if tc.lost {
				change = silent("w1")
			}
			to, s := running(t, change)
			var a asked
			// Who has cut it off says so: that address is another's somewhere.
			o := ReplaceOptions{Old: v1alpha1.RemoveNodeSpec{Node: "w1", Fenced: tc.lost}, DrainTimeout: time.Minute, AddOptions: AddOptions{To: to,
				Given: unreachable(t, clusterOf("cp1", "w1", "w2")), File: "file.yaml", Names: []string{"w2"}, Login: nobody(t), StateDir: stateDir(t), Confirm: a.confirm}}
			r, err := PlanReplace(t.Context(), o, noEvents(t))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if !slices.Equal(r.turns, tc.turns) || hostsOf(r.coming) != tc.coming || hostsOf(r.leave.Plan) != tc.leaving {
				t.Errorf("%v, coming %q, leaving %q", r.turns, hostsOf(r.coming), hostsOf(r.leave.Plan))
			}
			if r.coming.Refused() != nil || r.leave.Plan.Refused() != nil || len(r.leave.Plan.Steps) == 0 {
				t.Errorf("in the way: %+v, %+v", r.coming.Findings, r.leave.Plan.Findings)
			}
			out, err := r.Run(t.Context(), report.Discard())
			var over *SSHError
			if !errors.As(err, &over) || action.KindOf(err) != action.Unreachable || out.Cleaned || len(a.plans) > 0 {
				t.Errorf("%+v, %v of kind %q, asked %d times", out, err, action.KindOf(err), len(a.plans))
			}
			untouched(t, s)
			if _, err := r.begin(t.Context(), leaves, report.Discard()); err != nil {
				t.Fatal(err)
			}
			if got := hostsOf(&operate.Plan{Cluster: connect(t, s).Stored}); got != tc.stored {
				t.Errorf("the old host leaves by the document of %q", got)
			}
			// What is under way for either of the two does not keep it from being resumed.
			o.To = connect(t, s)
			again, err := PlanReplace(t.Context(), o, noEvents(t))
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
		})
	}
}

// TestReplaceArgs: what can't be is refused before the cluster is looked at.
func TestReplaceArgs(t *testing.T) {
	good := func() ReplaceOptions {
		return ReplaceOptions{Old: v1alpha1.RemoveNodeSpec{Node: "w1"}, DrainTimeout: time.Minute,
			AddOptions: AddOptions{To: &operate.Connection{Stored: stored()}, Given: stored(), Names: []string{"w2"}}}
	}
	for name, change := range map[string]func(*ReplaceOptions){
		"no old host":     func(o *ReplaceOptions) { o.Old.Node = "" },
		"two new hosts":   func(o *ReplaceOptions) { o.Names = []string{"w2", "w3"} },
		"the same host":   func(o *ReplaceOptions) { o.Names = []string{"w1"} },
		"no time":         func(o *ReplaceOptions) { o.DrainTimeout = 0 },
		"another cluster": func(o *ReplaceOptions) { o.Given = clusterOf("cp1"); o.Given.Metadata.Name = "other" },
	} {
		o := good()
		change(&o)
		if _, err := PlanReplace(t.Context(), o, noEvents(t)); action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func hostsOf(p *operate.Plan) string {
	var names []string
	for _, h := range p.Cluster.Spec.Hosts {
		names = append(names, h.Name)
	}
	return strings.Join(names, " ")
}
