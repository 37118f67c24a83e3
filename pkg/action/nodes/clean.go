package nodes

import (
	"context"
	"errors"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Out is a host that is out of its cluster.
type Out struct {
	// Host is its name.
	Host string
	// Lost says that it counted as lost: it must not be started again with its old disks.
	Lost bool
	// Cleaned says that what was made on it was taken back.
	Cleaned bool
}

// Clean takes back over SSH what was made on the host, once the Operation has succeeded. It does
// nothing without a Cluster file, and for a host that is lost; of an etcd member without a host the
// Out is empty.
func (r *Removal) Clean(ctx context.Context, sink report.Sink) (Out, error) {
	out := Out{Host: r.Spec.Node, Lost: r.lost}
	if r.Given == nil || r.lost {
		return out, nil
	}
	if err := r.clean(ctx, sink); err != nil {
		return out, fmt.Errorf("%s was removed from the cluster, but could not be cleaned: %w", out.Host, err)
	}
	out.Cleaned = true
	return out, nil
}

func (r *Removal) clean(ctx context.Context, sink report.Sink) error {
	h, err := r.loginOf()
	if err != nil {
		return err
	}
	hosts, err := remote.Connect(ctx, r.Given, r.Login, sink, h)
	if hosts == nil {
		return err
	}
	defer remote.Close(hosts, sink)
	end := action.Begin(sink, "clean", "clean "+h.Name)
	left, err := r.cleanBy(ctx, hosts, h.Name, sink)
	if err != nil {
		end(err.Error())
		return action.OfHosts(err)
	}
	end("")
	for _, l := range left {
		sink.Emit(report.Event{Kind: report.Info, Host: h.Name, Message: "it keeps " + l})
	}
	return nil
}

// loginOf is the host, as the file says how to log in to it, else the document: it may have been
// taken out of the file already.
func (r *Removal) loginOf() (v1alpha1.Host, error) {
	if h, ok := r.Given.Host(r.Spec.Node); ok {
		return h, nil
	}
	if h, ok := r.To.Stored.Host(r.Spec.Node); ok {
		return h, nil
	}
	return v1alpha1.Host{}, errors.New("neither the Cluster file nor the stored Cluster document contains its login")
}

// cleanBy has the host taken back, unless it is one of another cluster of this name.
func (r *Removal) cleanBy(ctx context.Context, hosts transport.Runner, name string, sink report.Sink) (left []string, err error) {
	local, err := bootstrap.LocalInputs(ctx, r.StateDir, r.Given)
	if err != nil {
		return nil, err
	}
	return bootstrap.Clean(ctx, hosts, r.Given, local.Identity, name, sink)
}
