package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	tasklb "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	taskTimeout = 5 * time.Minute
	// vipTimeout has room for the host's package manager, which installs keepalived.
	vipTimeout     = 15 * time.Minute
	gateTimeout    = 5 * time.Minute
	answersTimeout = 3 * time.Minute
	lostRetries    = 3
	// atOnce bounds how many nodes have a Job at the same time.
	atOnce = 50
)

// Definition is the Convert Operation.
func Definition() engine.Definition {
	settings := join.Settings()
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return Plan(env.Operation.Spec.Convert, env.Cluster)
		},
		AtOnce: atOnce,
		Steps: map[string]engine.Step{
			stepWell:        engine.Func{Do: certs.Well, Timeout: gateTimeout, Gate: true},
			stepAgent:       loadbalancer.Agent(),
			stepFree:        engine.NodeTask{Request: look, LostRetries: lostRetries, Judge: judge, Message: func(node.Result) string { return "it is free" }},
			stepNames:       toBe{loadbalancer.Names()},
			stepVIP:         engine.NodeTask{Request: keepalived, LostRetries: lostRetries},
			stepAnswers:     engine.Func{Do: answers, Timeout: answersTimeout, Gate: true},
			stepClusterInfo: toBe{settings[join.SettingClusterInfo]},
			stepKubeProxy:   toBe{settings[join.SettingKubeProxy]},
			stepKubelet: loadbalancer.Kubelets(func(t engine.Turn) (string, []string) {
				return kubeletURLs(t.Cluster, t.Operation.Spec.Convert, t.Step.Node)
			}),
			stepHeard:     loadbalancer.Heard(),
			stepAdmin:     engine.NodeTask{Request: admin, LostRetries: lostRetries, Message: pointed},
			stepRecord:    engine.Func{Do: record, Timeout: time.Minute},
			stepCoreDNS:   toBe{settings[join.SettingCoreDNS]},
			stepDNSReady:  toBe{settings[join.SettingCoreDNSReady]},
			stepRemoveVIP: engine.NodeTask{Request: remove, LostRetries: lostRetries, Message: removed},
		},
	}
}

// toBe is a Step of another Operation that goes by the Cluster document as it is to be.
type toBe struct{ engine.Step }

// Run runs the Step.
func (s toBe) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	t.Cluster = result(t)
	return s.Step.Run(ctx, t)
}

// Retries are the Step's.
func (s toBe) Retries() int {
	if r, ok := s.Step.(engine.Retrier); ok {
		return r.Retries()
	}
	return 0
}

// result is the document as the Operation leaves it.
func result(t engine.Turn) *v1alpha1.Cluster { return Wanted(t.Cluster, t.Operation.Spec.Convert) }

// look asks a host what it knows of the address.
func look(_ context.Context, t engine.Turn) (node.Request, error) {
	want := result(t)
	spec, ok := vip.SpecOf(want, t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no control plane %s", t.Step.Node)
	}
	return node.NewRequest(tasks.Observe, taskTimeout, observe.Spec{Address: spec.Address, Peers: spec.Peers, VirtualIP: spec.VirtualIP,
		APIServerPort: spec.APIServerPort, DataDir: want.Spec.Etcd.DataDir, ListenVRRP: true})
}

// judge refuses a host that could not have the virtual IP, or an address that somebody has. One that
// answers as this cluster is that of an earlier attempt.
func judge(ctx context.Context, t engine.Turn, r node.Result) error {
	var facts observe.Facts
	if err := json.Unmarshal(r.Data, &facts); err != nil {
		return fmt.Errorf("what was seen on %s can't be read: %w", t.Step.Node, err)
	}
	want := result(t)
	taken := facts.VirtualIPAnswers != "" && reached(ctx, t, want) != nil
	return unfit(want, t.Step.Node, facts, taken)
}

// reached shakes hands at the document's endpoint; nil: it is this cluster's.
func reached(ctx context.Context, t engine.Turn, c *v1alpha1.Cluster) error {
	config, err := loadbalancer.Trust(t.Clients.Config)
	if err != nil {
		return err
	}
	return loadbalancer.Shake(ctx, config, c.Endpoint(), c.EndpointHost())
}

// answers waits until the endpoint answers as this cluster. One that was there before may be a name
// that only hosts and clients know: the workers' kubelets are judges of that.
func answers(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	want := result(t)
	err := engine.Until(ctx, t, want.Endpoint()+" to answer", func(ctx context.Context) (string, error) {
		if err := reached(ctx, t, want); err != nil {
			return err.Error(), nil
		}
		return "", nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: journalctl -u keepalived -u kubectl-ha-vip on the control planes tells of a virtual IP; nothing uses it yet: resume once the cause is gone, or abort", err)
	}
	return engine.Outcome{Message: want.EndpointURL()}, nil
}

func keepalived(_ context.Context, t engine.Turn) (node.Request, error) {
	spec, ok := vip.SpecOf(result(t), t.Step.Node)
	if !ok {
		return node.Request{}, fmt.Errorf("the stored Cluster document has no control plane %s", t.Step.Node)
	}
	return node.NewRequest(tasks.VIP, vipTimeout, spec)
}

func admin(_ context.Context, t engine.Turn) (node.Request, error) {
	to, from := urls(t.Cluster, t.Operation.Spec.Convert)
	return node.NewRequest(tasks.AdminEndpoint, taskTimeout, tasklb.AdminSpec{Server: to, From: from})
}

func remove(context.Context, engine.Turn) (node.Request, error) {
	return node.NewRequest(tasks.RemoveVIP, taskTimeout, vip.RemoveSpec{})
}

// record notes the endpoint in the stored document, by which all that comes later goes.
func record(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	spec := t.Operation.Spec.Convert
	changed, err := document.Change(ctx, t.Clients.Kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		c.SetDefaults()
		want := Wanted(c, spec)
		if reflect.DeepEqual(want, c) {
			return nil
		}
		return want
	})
	if err != nil || changed {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: "already up to date"}, nil
}

// pointed says what became of a host's files for administrators.
func pointed(r node.Result) string {
	var d tasklb.AdminData
	if json.Unmarshal(r.Data, &d) != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	var kept []string
	for _, path := range slices.Sorted(maps.Keys(d.Kept)) {
		kept = append(kept, path+" is left at "+d.Kept[path])
	}
	switch {
	case len(kept) > 0:
		return strings.Join(kept, "; ") + ", which somebody else chose"
	case len(d.Changed) == 0:
		return "already up to date"
	}
	return ""
}

// removed says what is left of keepalived.
func removed(r node.Result) string {
	var d vip.RemoveData
	switch {
	case json.Unmarshal(r.Data, &d) != nil:
		return "" // As above.
	case !d.Removed:
		return "it was not there"
	case len(d.Packages) > 0:
		return "the package " + strings.Join(d.Packages, ", ") + " stays"
	}
	return ""
}
