package loadbalancer

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// RemoveOptions say from where the load balancer is taken away.
type RemoveOptions struct {
	// To is the cluster.
	To *operate.Connection
	// DryRun only looks, while another Operation is unfinished as well.
	DryRun bool
}

// Removal is a load balancer that is about to go.
type Removal struct {
	o RemoveOptions
	// Plan is what is done; nil when there is no load balancer.
	Plan *operate.Plan
	// Endpoint is the address that stops answering.
	Endpoint string
}

func (o RemoveOptions) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationRemoveLoadBalancer}
}

// PlanRemove looks at the cluster, and changes nothing. While another Operation is unfinished it is
// refused, with an operations.BusyError.
func PlanRemove(ctx context.Context, o RemoveOptions) (*Removal, error) {
	if err := o.To.RefuseOther(ctx, o.operation()); err != nil && !o.DryRun {
		return nil, err
	}
	image, err := loadbalancer.Image(ctx, o.To.Clients.Kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	stored := o.To.Stored
	r := &Removal{o: o, Endpoint: stored.BalancedEndpoint()}
	if image == "" && !stored.Spec.LoadBalancer.Enabled {
		return r, nil
	}
	r.Plan = &operate.Plan{Cluster: loadbalancer.Without(stored)}
	r.Plan.Inside(loadbalancer.PlanRemove(stored))
	return r, nil
}

// RemoveManifests are the Operation that a Removal begins, and its coordinator's Job.
func RemoveManifests(ctx context.Context, o RemoveOptions) ([]*unstructured.Unstructured, error) {
	return o.To.Manifests(ctx, o.operation(), o.To.Stored.Spec.LoadBalancer.Type)
}

// Check refuses access that leads through what is about to be removed: who has it could not see
// how that ends. The error is action.Invalid.
func (r *Removal) Check() error {
	host := r.o.To.Config.Host
	if !strings.Contains(host, "://") {
		host = "https://" + host // client-go takes it so.
	}
	u, err := url.Parse(host)
	if err != nil || u.Port() != strconv.Itoa(int(r.o.To.Stored.Spec.LoadBalancer.Port)) {
		return nil //nolint:nilerr // an address of another kind is not ours
	}
	return action.As(action.Invalid, errors.New("your kubeconfig uses the load balancer to be removed\nnext: "+program.Name+" kubeconfig --vip creates one that does not; nothing was changed"))
}

// Begin has the cluster do it, if Check has nothing against it.
func (r *Removal) Begin(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	if r.Plan == nil {
		return nil, action.Invalidf("no load balancer is installed")
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return r.o.To.Begin(ctx, r.o.To.Stored, r.o.operation(), sink)
}
