package loadbalancer

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// InstallOptions say which load balancer there is to be.
type InstallOptions struct {
	// To is the cluster.
	To *operate.Connection
	// Type is v1alpha1.LoadBalancerHAProxy or LoadBalancerNginx; empty is the Cluster document's.
	Type string
	// Port is from 1024 to 65535; 0 is the Cluster document's.
	Port int32
	// Image is the reference of its image; empty is the one that this program was tested with.
	Image string
	// UseFor are those that are to use it; nil are those of the Cluster document.
	UseFor []v1alpha1.LoadBalancerUse
	// Bundle is the file that the image is taken from; when empty it is pulled.
	Bundle string
	// Trust says which bundle that has to be.
	Trust bundles.Trust
	// DryRun only looks, while another Operation is unfinished as well.
	DryRun bool
}

// Installation is a load balancer that is about to be set up, or changed.
type Installation struct {
	o InstallOptions
	// Spec is what was asked for, with what the Cluster document says in the place of what was not.
	Spec v1alpha1.LoadBalancerSpec
	// Plan is what is done.
	Plan *operate.Plan

	// lacking are the control planes that lack the image.
	lacking []string
}

// CheckInstall refuses what can't be, without asking anybody. Errors are action.Invalid.
func CheckInstall(o InstallOptions) error {
	if err := o.Trust.Requires(o.Bundle != "", "--bundle"); err != nil {
		return err
	}
	for _, u := range o.UseFor {
		if !slices.Contains(v1alpha1.LoadBalancerUses(), u) {
			return action.Invalidf("unknown value --use-for %s; use any of %s", u, join(v1alpha1.LoadBalancerUses()))
		}
	}
	switch o.Type {
	case "", v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx:
	default:
		return action.Invalidf("unknown value --type %s; use %s or %s", o.Type, v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx)
	}
	// The pods have no rights of root, so the ports below are not theirs.
	if o.Port != 0 && (o.Port < 1024 || o.Port > 65535) {
		return action.Invalidf("--port %d: use 1024 to 65535", o.Port)
	}
	return nil
}

// PlanInstall looks at the cluster, and changes nothing. While another Operation is unfinished it is
// refused, with an operations.BusyError.
func PlanInstall(ctx context.Context, o InstallOptions) (*Installation, error) {
	if err := CheckInstall(o); err != nil {
		return nil, err
	}
	i := &Installation{o: o, Spec: wanted(o, o.To.Stored.Spec.LoadBalancer)}
	if err := o.To.RefuseOther(ctx, i.operation()); err != nil && !o.DryRun {
		return nil, err
	}
	steps, err := loadbalancer.Plan(&v1alpha1.Operation{Spec: i.operation()}, o.To.Stored)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	if i.lacking, err = Lacking(ctx, o.To.Clients.Kube, i.Spec.Image); err != nil {
		return nil, err
	}
	i.Plan = &operate.Plan{Cluster: loadbalancer.Wanted(o.To.Stored, &i.Spec)}
	if len(i.lacking) > 0 {
		i.Plan.Steps = []plan.Step{{ID: "image", Title: "bring " + i.Spec.Image + " to " + strings.Join(i.lacking, ", ")}}
	}
	i.Plan.Inside(steps)
	return i, nil
}

// InstallManifests are the Operation that an Installation begins, and its coordinator's Job. The
// control planes have the image, which is in spec, before these are applied.
func InstallManifests(ctx context.Context, o InstallOptions) (objects []*unstructured.Unstructured, spec v1alpha1.LoadBalancerSpec, err error) {
	if err := CheckInstall(o); err != nil {
		return nil, spec, err
	}
	i := &Installation{o: o, Spec: wanted(o, o.To.Stored.Spec.LoadBalancer)}
	objects, err = o.To.Manifests(ctx, i.operation(), i.Spec.Type)
	return objects, i.Spec, err
}

// Begin brings the image to the control planes that lack it, and has the cluster do the rest.
func (i *Installation) Begin(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	if len(i.lacking) > 0 {
		if err := bring(ctx, i.o.To.Config, i.Spec, i.o.Bundle, i.o.Trust, sink); err != nil {
			return nil, err
		}
	}
	return i.o.To.Begin(ctx, i.o.To.Stored, i.operation(), sink)
}

func (i *Installation) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationLoadBalancer, LoadBalancer: &i.Spec}
}

// wanted is what was asked for, and of what was not what the Cluster document says. It is pure.
func wanted(o InstallOptions, have v1alpha1.LoadBalancer) v1alpha1.LoadBalancerSpec {
	spec := v1alpha1.LoadBalancerSpec{Type: cmp.Or(o.Type, have.Type, v1alpha1.LoadBalancerHAProxy),
		Port: cmp.Or(o.Port, have.Port, v1alpha1.DefaultLoadBalancerPort), UseFor: slices.Clone(have.UseFor)}
	if o.UseFor != nil {
		spec.UseFor = nil
		for _, u := range o.UseFor {
			if !slices.Contains(spec.UseFor, u) {
				spec.UseFor = append(spec.UseFor, u)
			}
		}
	}
	spec.Image = cmp.Or(o.Image, bundle.LoadBalancerImage(spec.Type))
	return spec
}

func join(uses []v1alpha1.LoadBalancerUse) string {
	var out []string
	for _, u := range uses {
		out = append(out, string(u))
	}
	return strings.Join(out, ",")
}
