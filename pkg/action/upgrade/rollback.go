package upgrade

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// RollbackOptions say which node goes back to what.
type RollbackOptions struct {
	Config  *rest.Config
	Clients *client.Clients
	// Cluster is the document that is stored in the cluster.
	Cluster *v1alpha1.Cluster
	Node    string
	// To is the kept version; empty is the one before the node's last upgrade.
	To string
	// Source has this program's agent; nil is one of its own.
	Source *agents.Source
}

// Rollback is a node's way back, before and after a person was asked.
type Rollback struct {
	// Node goes back From what its kubelet runs To a version that it keeps.
	Node, From, To string
	Findings       []upgrade.Finding

	options RollbackOptions
}

// PlanRollback looks whether a node can go back; it changes nothing.
func PlanRollback(ctx context.Context, o RollbackOptions) (*Rollback, error) {
	n, err := o.Clients.Kube.CoreV1().Nodes().Get(ctx, o.Node, metav1.GetOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	if o.Source, err = agents.Or(o.Source); err != nil {
		return nil, err
	}
	p := &Rollback{Node: o.Node, From: n.Status.NodeInfo.KubeletVersion, options: o}
	if p.To, err = keptVersion(o, n.Annotations); err != nil {
		return nil, err
	}
	seen, err := upgrade.Observe(ctx, o.Clients, o.Cluster, upgrade.Look{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	p.Findings = upgrade.CheckRollback(o.Cluster, p.spec(), seen)
	// It says more than that something else is in progress.
	if p.Err() != nil {
		return p, nil
	}
	if err := refuseSecond(ctx, o.Config); err != nil {
		return nil, err
	}
	// Before anybody is asked: without this program's agent for the nodes nothing is begun.
	_, err = o.Source.Own(ctx, o.Config)
	return p, err
}

// keptVersion is the version that was named, else the one that the node's annotations tell. It is pure.
func keptVersion(o RollbackOptions, annotations map[string]string) (string, error) {
	to := o.To
	if to == "" {
		to = annotations[upgrade.AnnotationPrevious]
	}
	if to == "" {
		return "", action.Invalidf("the previous version of %s is unknown; specify it with --to", o.Node)
	}
	return Version(to), nil
}

// spec is the Operation's.
func (p *Rollback) spec() *v1alpha1.RollbackNodeSpec {
	return &v1alpha1.RollbackNodeSpec{Node: p.Node, Version: p.To}
}

// Err is nil when nothing stands in the way, else an action.Findings.
func (p *Rollback) Err() error {
	if len(upgrade.Blocking(p.Findings)) == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("%s cannot be rolled back to %s; nothing was changed", p.Node, p.To))
}

// Blocks tells whether a finding stands in the way.
func (p *Rollback) Blocks(f upgrade.Finding) bool { return f.Blocks }

// Begin creates the Operation, whose name it returns.
func (p *Rollback) Begin(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error) {
	ops, err := p.options.Source.Ready(ctx, p.options.Config, p.options.Cluster, sink)
	if err != nil {
		return nil, "", err
	}
	op, err := ops.Create(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationRollbackNode, RollbackNode: p.spec()})
	if err != nil {
		return nil, "", action.OfCluster(err)
	}
	return ops, op.Name, nil
}
