package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// agents notes who got one; it fails on the host away, and on any other task.
type agents struct {
	t    *testing.T
	away string
	mu   sync.Mutex
	got  []string
}

func (a *agents) Run(_ context.Context, host string, req node.Request, _ report.Sink) (node.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var spec prepare.AgentSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil || req.Task != tasks.InstallAgent || req.Cluster != "prod" || spec.Image != "agent.kubectl-ha.invalid/agent:v1" {
		a.t.Errorf("%s: %+v, %v", host, req, err)
	}
	if host == a.away {
		return node.Result{}, errors.New(host + ": no route to host")
	}
	a.got = append(a.got, host)
	return node.Result{}, nil
}

// TestPlaceAgents: every node gets one, hosts of etcd alone none, and one that is away
// does not keep it from the others.
func TestPlaceAgents(t *testing.T) {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "prod"}}
	for name, role := range map[string]v1alpha1.Role{"m1": v1alpha1.RoleControlPlane, "w1": v1alpha1.RoleWorker, "w2": v1alpha1.RoleWorker, "e1": v1alpha1.RoleEtcd} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Roles: []v1alpha1.Role{role}})
	}
	quiet := report.SinkFunc(func(report.Event) {})
	for away, want := range map[string]string{"": "m1 w1 w2", "w1": "m1 w2"} {
		a := &agents{t: t, away: away}
		err := PlaceAgents(t.Context(), a, c, "agent.kubectl-ha.invalid/agent:v1", quiet)
		slices.Sort(a.got)
		if got := strings.Join(a.got, " "); got != want || (err != nil) != (away != "") {
			t.Errorf("without %q: %s, %v", away, got, err)
		}
	}
}
