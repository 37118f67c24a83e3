package status

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

const (
	// inspectTimeout bounds the task on one node.
	inspectTimeout = time.Minute
	// inspectAtOnce is on how many nodes it runs at the same time.
	inspectAtOnce = 10
)

// Inspection is what the nodes' own files tell.
type Inspection struct {
	// Facts by node; Errors says of the others why there are none.
	Facts  map[string]inspect.Facts
	Errors map[string]string
}

// Inspect runs the read-only task on each node of the report that is ready, as a
// Job, which is removed when it has ended. agents are of several versions, the best first: the
// next is tried on a node that lacks one. logLines is how much of each unit's log is
// brought along.
func Inspect(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster, agents []v1alpha1.Agents, nodes []Node, logLines int) (Inspection, error) {
	out := Inspection{Facts: map[string]inspect.Facts{}, Errors: map[string]string{}}
	clients, err := client.New(config)
	if err != nil {
		return out, err
	}
	run := "inspect-" + rand.String(5)
	slots := make(chan struct{}, inspectAtOnce)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, n := range nodes {
		if n.NotReady != "" {
			out.Errors[n.Name] = "it is not ready"
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			facts, err := inspectBy(ctx, clients, run, agents, n, inspectSpec(c, n.Name, logLines))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				out.Errors[n.Name] = err.Error()
				return
			}
			out.Facts[n.Name] = facts
		})
	}
	all.Wait()
	return out, context.Cause(ctx)
}

// inspectSpec asks control planes for etcd too.
func inspectSpec(c *v1alpha1.Cluster, name string, logLines int) inspect.Spec {
	spec := inspect.Spec{LogLines: logLines}
	if c == nil {
		return spec
	}
	spec.VirtualIP = c.Spec.VirtualIP
	if h, ok := c.Host(name); ok && h.Has(v1alpha1.RoleControlPlane) {
		spec.EtcdEndpoints = c.EtcdEndpoints()
	}
	return spec
}

// inspectBy tries the agents in turn.
func inspectBy(ctx context.Context, clients *client.Clients, run string, agents []v1alpha1.Agents, n Node, spec inspect.Spec) (facts inspect.Facts, err error) {
	for i, one := range agents {
		facts, err = inspectNode(ctx, clients, engine.JobName(run, n.Name, int32(i+1)), one, n, spec)
		var start *job.StartError
		var none *v1alpha1.NoAgentError
		if !errors.As(err, &start) && !errors.As(err, &none) {
			return facts, err
		}
	}
	return facts, err
}

func inspectNode(ctx context.Context, clients *client.Clients, name string, agents v1alpha1.Agents, n Node, spec inspect.Spec) (inspect.Facts, error) {
	request, err := node.NewRequest(tasks.Inspect, inspectTimeout, spec)
	if err != nil {
		return inspect.Facts{}, err
	}
	quiet := report.SinkFunc(func(report.Event) {})
	result, err := job.Runner{Kube: clients.Kube, Name: name, Agents: agents, LostAfter: inspectTimeout}.Once(ctx, n.Name, request, quiet)
	if err != nil {
		return inspect.Facts{}, err
	}
	if f := result.Failure; f != nil {
		if f.NoTask() {
			return inspect.Facts{}, fmt.Errorf("the agent there is older than this program; the next Operation that it creates brings a newer one")
		}
		return inspect.Facts{}, f
	}
	return inspect.Decode(result.Data)
}

// Add puts what was found on the nodes into the report, and judges again. It is pure.
func (in Inspection) Add(r *Report) {
	r.Inspected = len(in.Facts) > 0
	same := map[string][]string{}
	for _, node := range sortedKeys(in.Errors) {
		why := firstLine(in.Errors[node])
		same[why] = append(same[why], node)
	}
	for _, why := range sortedKeys(same) {
		r.Unseen = append(r.Unseen, fmt.Sprintf("the files of %s: %s", strings.Join(same[why], ", "), why))
	}
	for _, node := range sortedKeys(in.Facts) {
		f := in.Facts[node]
		for _, c := range f.Certificates {
			r.Certificates = append(r.Certificates, Certificate{Node: node, What: brief(c), NotAfter: c.NotAfter, Authority: c.CA, RenewsItself: strings.HasPrefix(c.File, kubeletFiles)})
		}
		if v := f.VIP; v != nil && v.Here {
			r.API.Holder, r.API.Since = node, v.Since
			r.API.Could = without(r.API.Could, node)
		}
		for _, b := range f.Backups {
			if r.LastBackup == nil || b.Made.After(r.LastBackup.Made) {
				r.LastBackup = &Backup{Name: b.Name, Node: node, Made: b.Made}
			}
		}
	}
	in.addEtcd(r)
	finish(r, nil)
	Judge(r)
}

// addEtcd completes members whose numbers could not be had, such as those on hosts
// that are no nodes, by what they told the first control plane that asked.
func (in Inspection) addEtcd(r *Report) {
	for i := range r.Etcd {
		m := &r.Etcd[i]
		for _, node := range sortedKeys(in.Facts) {
			for _, seen := range in.Facts[node].Etcd {
				if seen.Endpoint != "https://"+m.Address || seen.Error != "" || m.Measured {
					continue
				}
				m.Measured, m.Answers, m.Leading, m.Error = true, true, true, ""
				m.Version, m.Leader, m.Learner, m.DBBytes, m.Committed, m.Applied = seen.Version, seen.Leader, seen.Learner, seen.DBBytes, seen.Raft, seen.Raft
				m.Unwell = strings.Join(seen.Alarms, ", ")
			}
		}
	}
	lags(r.Etcd)
}

// kubeletFiles is the folder of the certificates that kubelets make and renew for themselves.
const kubeletFiles = "/var/lib/kubelet/pki/"

// brief names a file as people do: kubernetes/pki/apiserver.crt.
func brief(c inspect.Certificate) string {
	return strings.TrimPrefix(strings.TrimPrefix(c.File, "/etc/"), "/var/lib/")
}

func without(all []string, one string) []string {
	var out []string
	for _, s := range all {
		if s != one {
			out = append(out, s)
		}
	}
	return out
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}
