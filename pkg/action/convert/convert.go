// Package convert gives a cluster of others a virtual IP that kubectl-ha keeps, and takes that back.
package convert

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	backups "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	certs "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/convert"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options say which endpoint the cluster is to have.
type Options struct {
	// To is the cluster.
	To *operate.Connection
	// VirtualIP is an address that nobody has, in the subnet of the control planes. With Undo it may be
	// empty: the one that the cluster was converted to, or was to be converted to last.
	VirtualIP string
	// Interface and RouterID are keepalived's; when empty they are found out.
	Interface string
	RouterID  int32
	// Undo has everything use the former endpoint again.
	Undo bool
	// DryRun only looks, while another Operation is unfinished as well.
	DryRun bool
}

// Conversion is what is about to be done.
type Conversion struct {
	o    Options
	spec v1alpha1.ConvertSpec
	// Plan is what is done, with what one should know.
	Plan *operate.Plan
	// Done says that the document has this endpoint already: each step only looks then.
	Done bool
}

// VirtualIP is the address.
func (c *Conversion) VirtualIP() string { return c.spec.VirtualIP }

// New looks at the cluster, and changes nothing. While another Operation is unfinished it is refused,
// with an operations.BusyError. What can't be is an action.Invalid.
func New(ctx context.Context, o Options) (*Conversion, error) {
	c := &Conversion{o: o}
	var err error
	if c.spec, err = spec(ctx, o); err != nil {
		return nil, err
	}
	if err := o.To.RefuseOther(ctx, c.operation()); err != nil && !o.DryRun {
		return nil, err
	}
	steps, err := convert.Plan(&c.spec, o.To.Stored)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	c.Plan = &operate.Plan{Cluster: convert.Wanted(o.To.Stored, &c.spec), Findings: findings(o.To.Stored, o.Undo)}
	c.Plan.Inside(steps)
	c.Done = o.To.Stored.KeepsVirtualIP() != o.Undo
	return c, nil
}

// spec is what was asked for, in full.
func spec(ctx context.Context, o Options) (v1alpha1.ConvertSpec, error) {
	out := v1alpha1.ConvertSpec{VirtualIP: o.VirtualIP, Interface: o.Interface, RouterID: o.RouterID}
	if !o.Undo {
		return out, nil
	}
	out = v1alpha1.ConvertSpec{VirtualIP: o.VirtualIP, Back: true}
	if out.VirtualIP == "" && o.To.Stored.KeepsVirtualIP() {
		out.VirtualIP = o.To.Stored.Spec.VirtualIP
	}
	if out.VirtualIP == "" {
		// One that was aborted has noted its address nowhere else.
		last, err := o.To.Last(ctx, v1alpha1.OperationConvert)
		if err != nil {
			return out, err
		}
		if last == nil || last.Spec.Convert == nil {
			return out, action.As(action.Invalid, fmt.Errorf("%w; nothing was changed", convert.ErrNothing))
		}
		out.VirtualIP = last.Spec.Convert.VirtualIP
	}
	return out, nil
}

// findings are what one should know before; none stands in the way. It is pure.
func findings(c *v1alpha1.Cluster, undo bool) []nodes.Finding {
	if undo {
		return nil
	}
	var out []nodes.Finding
	former := c.Endpoint()
	if c.KeepsVirtualIP() {
		former = c.Spec.Endpoint.Former[0].Address // Check has seen that there is one.
		c = convert.Wanted(c, &v1alpha1.ConvertSpec{VirtualIP: c.Spec.VirtualIP, Back: true})
	}
	say := "access files that name " + former + " go on working"
	switch endpoint.Of(c) {
	case endpoint.Node:
		say += ", for as long as " + endpoint.Owner(c) + " lives"
	case endpoint.Local:
		say = "access files that name " + former + " go on working on the control planes"
	default:
		say += ", for as long as others keep it"
	}
	out = append(out, nodes.Finding{Check: "former-endpoint", Message: say,
		Hint: program.Name + " kubeconfig --vip creates ones for the virtual IP"})
	if len(c.ControlPlanes()) == 1 {
		out = append(out, nodes.Finding{Check: "control-planes", Message: "with one control plane the virtual IP has nowhere to go",
			Hint: "add two more: --control-plane NAME=ADDRESS, or " + program.Name + " node add afterwards"})
	}
	return out
}

// Manifests are the Operation that a Conversion begins, and its coordinator's Job.
func Manifests(ctx context.Context, o Options) ([]*unstructured.Unstructured, error) {
	c := &Conversion{o: o}
	var err error
	if c.spec, err = spec(ctx, o); err != nil {
		return nil, err
	}
	if err := convert.Check(o.To.Stored, &c.spec); err != nil {
		return nil, action.As(action.Invalid, err)
	}
	return o.To.Manifests(ctx, c.operation(), "")
}

// Check refuses access that leads through what is about to be taken away: who has it could not see
// how that ends. The error is action.Invalid.
func (c *Conversion) Check() error {
	if !c.o.Undo {
		return nil
	}
	host := c.o.To.Config.Host
	if !strings.Contains(host, "://") {
		host = "https://" + host // client-go takes it so.
	}
	u, err := url.Parse(host)
	if err != nil || u.Hostname() != c.spec.VirtualIP {
		return nil //nolint:nilerr // an address of another kind is not ours
	}
	return action.Invalidf("your kubeconfig uses the virtual IP %s, which is to be taken away\nnext: use one that names %s; nothing was changed", c.spec.VirtualIP, c.Plan.Cluster.EndpointURL())
}

// Begin has the cluster do it, if Check has nothing against it.
func (c *Conversion) Begin(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.o.Undo {
		// Before the virtual IP goes, and while both answer.
		if err := c.pointSchedules(ctx); err != nil {
			return nil, err
		}
	}
	return c.o.To.Begin(ctx, c.o.To.Stored, c.operation(), sink)
}

// Settle is for whoever has seen the Operation succeed: schedules use the virtual IP as well from then
// on. Until it is called their runs use the former endpoint, which is there.
func (c *Conversion) Settle(ctx context.Context) error {
	if c.o.Undo {
		return nil
	}
	return c.pointSchedules(ctx)
}

// pointSchedules has the runs of schedules find the API where it is to be: the Operation has no right
// to change schedules.
func (c *Conversion) pointSchedules(ctx context.Context) error {
	for _, kind := range []schedule.Kind{backups.Backup(), certs.Renewal()} {
		if err := kind.Point(ctx, c.o.To.Clients.Kube, c.Plan.Cluster); err != nil {
			return action.OfCluster(err)
		}
	}
	return nil
}

func (c *Conversion) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationConvert, Convert: &c.spec}
}

// WithControlPlanes is a document with more control planes, which are reached over SSH as user; with
// external etcd they get no member. Errors are action.Invalid.
func WithControlPlanes(c *v1alpha1.Cluster, user string, more []v1alpha1.Host) (*v1alpha1.Cluster, error) {
	out := *c
	out.Spec.Hosts = append([]v1alpha1.Host{}, c.Spec.Hosts...)
	for _, h := range more {
		if have, there := c.Host(h.Name); there && (have.Address != h.Address || !have.Has(v1alpha1.RoleControlPlane)) {
			return nil, action.Invalidf("%s is a host of the cluster already, with the address %s", h.Name, have.Address)
		} else if there {
			continue // An earlier attempt has added it.
		}
		h.Roles = []v1alpha1.Role{v1alpha1.RoleControlPlane}
		out.Spec.Hosts = append(out.Spec.Hosts, h)
	}
	if user != "" {
		out.Spec.SSH.User = user
	}
	out.SetDefaults()
	if problems, _ := out.Validate(); len(problems) > 0 {
		return nil, action.As(action.Invalid, fmt.Errorf("the cluster with these control planes: %w", problems))
	}
	return &out, nil
}
