// Package selfjoin has a host do to itself what is otherwise done to it over SSH, so that it becomes
// a node of a cluster.
package selfjoin

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options say what this host becomes, and of what.
type Options struct {
	// Request is what the workstation gave it.
	Request nodes.JoinRequest
	// Bundle is the file with images and programs, and Trust says which one it has to be.
	Bundle string
	Trust  bundles.Trust
	// Tasks are all that this program can do on a host.
	Tasks map[string]node.Task
}

// Run prepares and joins this host. When it is not ready a *bootstrap.PreflightError is in the
// error, and nothing was changed.
func Run(ctx context.Context, o Options, sink report.Sink) (bootstrap.Result, error) {
	cluster, err := v1alpha1.Decode([]byte(o.Request.Cluster), "the request's Cluster")
	if err != nil {
		return bootstrap.Result{}, action.As(action.Invalid, err)
	}
	cluster.SetDefaults()
	b, err := o.Trust.Open(o.Bundle)
	if err != nil {
		return bootstrap.Result{}, err
	}
	defer b.Close() //nolint:errcheck // only read
	if err := b.Verify(ctx, report.Discard()); err != nil {
		return bootstrap.Result{}, action.As(action.Invalid, err)
	}
	local, err := newLocalHost(o.Request.Host, o.Tasks)
	if err != nil {
		return bootstrap.Result{}, err
	}
	source, err := agents.NewSource()
	if err != nil {
		return bootstrap.Result{}, err
	}
	r, err := bootstrap.Add(ctx, bootstrap.AddConfig{Cluster: cluster, Names: []string{o.Request.Host}, Hosts: local,
		AgentImage: o.Request.AgentImage, AgentDigest: source.Digest,
		Bundle: func(_ context.Context, arch string) (bootstrap.Bundle, error) {
			return b.ForArch(arch), action.As(action.Invalid, b.Contents().Check(cluster.Spec.KubernetesVersion, arch, ""))
		},
		Discovery: func(context.Context) (string, string, error) { return o.Request.Token, o.Request.CAHash, nil },
		Member:    o.member,
	}, sink)
	return r, action.OfRun(err)
}

// member are the certificates of an etcd member, which only the workstation can make.
func (o Options) member(h v1alpha1.Host) (bootstrap.MemberFiles, error) {
	if o.Request.Member == nil {
		return bootstrap.MemberFiles{}, fmt.Errorf("the request has no certificates for the etcd member of %s", h.Name)
	}
	return *o.Request.Member, nil
}
