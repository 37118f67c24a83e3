package agents

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
)

// Jobs run tasks on nodes that belong to no Operation: looks, and what nobody goes by yet.
type Jobs struct {
	Kube   kubernetes.Interface
	Agents v1alpha1.Agents
	// For begins the Jobs' names: certs, etcd, backup.
	For string
	// Otherwise is what else to do, of a task that the node's agent does not know; may be empty.
	Otherwise string
}

var _ transport.Runner = Jobs{}

// jobLost is for how long a node may not be heard of before its Job counts as lost.
const jobLost = time.Minute

// Run runs one, and removes its Job with the request. Each has a name of its own: who asks the
// same of a node again gets no earlier answer.
func (j Jobs) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	name := engine.JobName(j.For+"-"+rand.String(5), req.Task+"/"+host, 1)
	result, err := job.Runner{Kube: j.Kube, Name: name, Agents: j.Agents, LostAfter: jobLost}.Once(ctx, host, req, sink)
	if err == nil && result.Failure != nil && result.Failure.NoTask() {
		return result, fmt.Errorf("the agent on %s is older than this program; the next Operation of this program installs a newer one%s", host, j.Otherwise)
	}
	return result, err
}
