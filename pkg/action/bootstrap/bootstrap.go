// Package bootstrap makes a cluster of bare hosts, and tells beforehand what stands in the way
// of that.
package bootstrap

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options say what cluster is made, and of what.
type Options struct {
	// Cluster has its defaults set and is valid, with the content of the manifest that it names.
	Cluster *v1alpha1.Cluster
	// Warnings are those of its file. They are told before any host is looked at.
	Warnings []v1alpha1.FieldWarning
	// OwnCAs are the CAs that the Cluster names in spec.pki, as bootstrap.ReadOwnCAs reads them. The
	// others are made.
	OwnCAs bootstrap.OwnCAs
	// Login is how the caller logs in to the hosts.
	Login remote.Login
	// StateDir is this cluster's directory on the workstation. The etcd CA is made in it, or kept.
	StateDir string
	// Bundle is the file with images and programs; when empty, the one in the cache is used, and
	// made when it is not there.
	Bundle string
	// Trust says which bundle that has to be.
	Trust bundles.Trust
	// Kubeconfig is the file that the caller's kubeconfig goes to. One of this cluster that is
	// there, works and lasts stays as it is.
	Kubeconfig string
	// User is the name in the caller's certificate.
	User string
	// DryRun ends with the plan, and changes nothing.
	DryRun bool
	// Confirm, when set, is asked with a plan that has something to make; an error ends it. What
	// is looked at on every run is not asked about.
	Confirm func(ctx context.Context, p plan.Plan) error
}

// Result is what a bootstrap did, or in a dry run would do.
type Result struct {
	bootstrap.Result
	// Server is the URL of the cluster's stable address.
	Server string
	// Kubeconfig is what became of the caller's.
	Kubeconfig access.Kept
}

// Check refuses what would fail later, without asking any host. Errors are action.Invalid.
func Check(o Options) error {
	if o.Cluster.Adopted() {
		return action.Invalidf("spec.endpoint says that others made the cluster: bootstrap makes clusters with a virtual IP that kubectl ha keeps; leave spec.endpoint out for one of these, and use adopt for a cluster that is there")
	}
	if info, err := os.Stat(filepath.Dir(o.Kubeconfig)); err != nil || !info.IsDir() {
		return action.Invalidf("cannot write the kubeconfig to %s: no such directory", o.Kubeconfig)
	}
	if err := access.Replaceable(o.Kubeconfig, o.Cluster.Metadata.Name); err != nil {
		return action.Invalidf("cannot write the kubeconfig to %w; choose another file with --kubeconfig-out", err)
	}
	if _, err := checkCAs(o.Cluster, o.OwnCAs); err != nil {
		return err
	}
	return o.Trust.Requires(o.Bundle != "", "--bundle")
}

// checkCAs refuses CAs of the user's own with which no cluster can be made, and such that were not read.
func checkCAs(c *v1alpha1.Cluster, own bootstrap.OwnCAs) ([]v1alpha1.FieldWarning, error) {
	if err := own.Complete(c); err != nil {
		return nil, action.As(action.Invalid, err)
	}
	warnings, err := own.Check(c, time.Now())
	return warnings, action.As(action.Invalid, err)
}

// open opens the bundle that was named, and refuses one that is for something else.
func open(o Options) (bundles.Supply, error) {
	if o.Bundle == "" {
		return bundles.Supply{}, nil
	}
	b, err := o.Trust.Open(o.Bundle)
	if err != nil {
		return bundles.Supply{}, err
	}
	supply := bundles.Supply{Bundle: b}
	err = b.Contents().Check(o.Cluster.Spec.KubernetesVersion, "", o.Cluster.Spec.Network.Plugin)
	if err == nil {
		err = b.Contents().CheckEtcd(o.Cluster)
	}
	if err != nil {
		supply.Close()
		return bundles.Supply{}, action.As(action.Invalid, err)
	}
	return supply, nil
}

// Run makes the cluster, or does what is left of that; on a complete one it changes nothing.
// When hosts are not ready a *bootstrap.PreflightError is in the error, and nothing was changed.
func Run(ctx context.Context, o Options, sink report.Sink) (Result, error) {
	if err := Check(o); err != nil {
		return Result{}, err
	}
	supply, err := open(o)
	if err != nil {
		return Result{}, err
	}
	defer supply.Close()
	// One for the whole run: the image is packed once.
	source, err := agents.NewSource()
	if err != nil {
		return Result{}, err
	}
	image, err := source.Name()
	if err != nil {
		return Result{}, err
	}
	ofCAs, err := checkCAs(o.Cluster, o.OwnCAs)
	if err != nil {
		return Result{}, err
	}
	for _, w := range slices.Concat(o.Warnings, ofCAs) {
		sink.Emit(report.Event{Kind: report.Warning, Message: w.String()})
	}
	hosts, err := remote.Connect(ctx, o.Cluster, o.Login, sink)
	if hosts == nil {
		return Result{}, err
	}
	defer remote.Close(hosts, sink)
	looked := action.Begin(sink, "look", "check the hosts")
	result := Result{Server: access.ServerURL(o.Cluster)}
	result.Result, err = bootstrap.Run(ctx, bootstrap.Config{Cluster: o.Cluster, Hosts: hosts, StateDir: o.StateDir, OwnCAs: o.OwnCAs,
		AgentImage: image, AgentDigest: source.Digest, DryRun: o.DryRun,
		Bundle: supply.For(ctx, o.Cluster, o.DryRun, sink, looked), Confirm: confirm(o.Confirm),
		Hold: func(ctx context.Context, a bootstrap.Access) (func(), error) { return hold(ctx, o, a, sink) },
		Join: func(ctx context.Context, a bootstrap.Access) (plan.Outcome, error) {
			return join(ctx, source, o.Cluster, a, sink)
		},
		Kubeconfig: func(ctx context.Context, a bootstrap.Access) (out plan.Outcome, err error) {
			result.Kubeconfig, err = keepKubeconfig(ctx, o, a)
			return plan.Outcome{Changed: result.Kubeconfig.Changed, Message: result.Kubeconfig.Message}, err
		}}, sink)
	looked("")
	return result, action.OfRun(err)
}

// confirm asks only when something is left to be made.
func confirm(ask func(context.Context, plan.Plan) error) func(context.Context, plan.Plan) error {
	if ask == nil {
		return nil
	}
	return func(ctx context.Context, p plan.Plan) error {
		if !bootstrap.LeftToMake(p) {
			return nil
		}
		return ask(ctx, p)
	}
}

// hold keeps Operations of a cluster that runs from beginning while its hosts are changed. A Join is what
// the bootstrap itself goes on with at its end.
func hold(ctx context.Context, o Options, a bootstrap.Access, sink report.Sink) (release func(), err error) {
	config, err := a.RESTConfig()
	if err != nil {
		return nil, err
	}
	held, err := action.Hold{Config: config, StateDir: o.StateDir, Command: "kubectl ha bootstrap", Mends: true,
		Passes: func(b *operations.BusyError) bool { return b.Command == "" && b.Type == v1alpha1.OperationJoin }}.Take(ctx, sink)
	if err != nil {
		return nil, err
	}
	return held.Release, nil
}

// keepKubeconfig sees to the caller's kubeconfig, as the new cluster's administrator.
func keepKubeconfig(ctx context.Context, o Options, a bootstrap.Access) (access.Kept, error) {
	config, err := a.RESTConfig()
	if err != nil {
		return access.Kept{}, err
	}
	return access.Keep(ctx, access.KeepOptions{Cluster: o.Cluster, File: o.Kubeconfig, User: o.User, Config: config, Through: a.Dial})
}
