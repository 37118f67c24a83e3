// Package upgrade brings a cluster to another version of Kubernetes, and puts one node back:
// what would be done and what stands in the way, then the content for the nodes and the
// Operation.
package upgrade

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Options say which cluster is brought to which version, and how.
type Options struct {
	Config  *rest.Config
	Clients *client.Clients
	// Cluster is the document that is stored in the cluster.
	Cluster *v1alpha1.Cluster
	// Spec is the Operation's. Without a version it is the bundle's; without a bundle either, a
	// plan is for the newest one at hand that the cluster can be brought to.
	Spec v1alpha1.UpgradeSpec
	// File is the bundle that has the images and programs. Empty: the one in the cache, which is
	// made first when it is not there.
	File string
	// Trust says which bundle File has to be.
	Trust bundles.Trust
	// StateDir is the cluster's directory on the workstation, with etcd's CA: it signs for what
	// is renewed before. Without that CA what it would sign is left as it is, and told of.
	StateDir string
	// Look plans although another upgrade is in progress: it is only to be looked at.
	Look bool
	// Source has this program's agent; nil is one of its own.
	Source *agents.Source
}

// Version is a version as Kubernetes names it, of what a person may write without the v. Of
// nothing it is nothing.
func Version(text string) string {
	if text == "" || strings.HasPrefix(text, "v") {
		return text
	}
	return "v" + text
}

// Check refuses what can't be, without asking anybody. Errors are action.Invalid.
func Check(o Options) error {
	if err := o.Trust.Requires(o.File != "", "--bundle"); err != nil {
		return err
	}
	s := &o.Spec
	switch s.Only {
	case v1alpha1.UpgradeAll, v1alpha1.UpgradeControlPlanes, v1alpha1.UpgradeNodes:
	default:
		return action.Invalidf("unknown value --only %s; use control-plane or nodes", s.Only)
	}
	if d, err := time.ParseDuration(s.DrainTimeout); s.DrainTimeout != "" && (err != nil || d <= 0) {
		return action.Invalidf("--drain-timeout must be greater than 0, not %s", s.DrainTimeout)
	}
	if s.KeepBackups < 1 {
		return action.Invalidf("--keep-backups must be at least 1, not %d", s.KeepBackups)
	}
	if _, err := upgrade.Nodes(&v1alpha1.Cluster{}, s, upgrade.Observation{}); err != nil {
		return action.Invalidf("--max-unavailable and --max-failures: %w", err)
	}
	if wrong := validation.IsQualifiedName(s.By); s.By != "" && len(wrong) > 0 {
		return action.Invalidf("--by %s: no name of a label: %s", s.By, strings.Join(wrong, "; "))
	}
	for _, check := range s.Ignore {
		if !slices.Contains(upgrade.Ignorable(), check) {
			return action.Invalidf("--ignore %s: this check cannot be ignored; these can: %s", check, strings.Join(upgrade.Ignorable(), ", "))
		}
	}
	return nil
}

// contents are what is in the bundle that was named, which has to be the version's; nil when none
// was. Without a version it becomes the bundle's.
func (o *Options) contents() (*bundle.Contents, error) {
	if err := Check(*o); err != nil || o.File == "" {
		return nil, err
	}
	b, err := o.Trust.Open(o.File)
	if err != nil {
		return nil, err
	}
	c := b.Contents()
	if err := b.Close(); err != nil {
		return nil, err
	}
	if o.Spec.Version == "" {
		o.Spec.Version = c.KubernetesVersion
	}
	if c.KubernetesVersion != o.Spec.Version {
		return nil, action.Invalidf("%s is for Kubernetes %s, not %s", o.File, c.KubernetesVersion, o.Spec.Version)
	}
	return &c, nil
}

// operation is what the cluster is told to do.
func (o *Options) operation() v1alpha1.OperationSpec {
	return v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &o.Spec}
}

// Manifests are the Operation, with this program's agent, and its coordinator's Job. Whoever
// applies them brings the version's content and that agent to the nodes before.
func Manifests(ctx context.Context, o Options) ([]*unstructured.Unstructured, error) {
	if _, err := o.contents(); err != nil {
		return nil, err
	}
	source, err := agents.Or(o.Source)
	if err != nil {
		return nil, err
	}
	own, err := source.Own(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	ops, err := incluster.NewOperations(o.Config, own)
	if err != nil {
		return nil, err
	}
	objects, err := ops.Manifests(ctx, o.operation(), o.Spec.Version)
	return objects, action.OfCluster(err)
}

// Begin renews the certificates that are due, brings the content to the nodes, so that nothing is
// fetched while one is out, and creates the Operation, whose name it returns. What is there is not
// sent again.
func (p *Plan) Begin(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error) {
	// The agent before the rest: an older one need only know how to bring an image.
	ops, err := p.options.Source.Ready(ctx, p.options.Config, p.options.Cluster, sink)
	if err != nil {
		return nil, "", err
	}
	if err := p.renew(ctx, sink); err != nil {
		return nil, "", err
	}
	path, err := p.bundlePath(ctx, sink)
	if err != nil {
		return nil, "", err
	}
	if _, err := images.RunPush(ctx, images.PushOptions{Config: p.options.Config, Source: p.options.Source,
		What: []string{path}, Trust: p.options.Trust, Programs: true}, sink); err != nil {
		return nil, "", err
	}
	op, err := ops.Create(ctx, p.options.operation())
	if err != nil {
		return nil, "", action.OfCluster(err)
	}
	return ops, op.Name, nil
}

// bundlePath is the bundle that was named, else the one in the cache, which is made first when it
// is not there.
func (p *Plan) bundlePath(ctx context.Context, sink report.Sink) (string, error) {
	if p.options.File != "" {
		return p.options.File, nil
	}
	arch, err := onlyArch(p.archs)
	if err != nil {
		return "", err
	}
	cluster := *p.options.Cluster
	cluster.Spec.KubernetesVersion = p.Version
	b, err := bundles.Ensure(ctx, "", &cluster, arch, sink)
	if err != nil {
		return "", err
	}
	path, err := bundles.Cached(&cluster, arch)
	return path, errors.Join(err, b.Close())
}

// refuseSecond refuses a second upgrade before anything is sent for it.
func refuseSecond(ctx context.Context, config *rest.Config) error {
	ops, err := incluster.NewOperations(config, nil)
	if err != nil {
		return err
	}
	all, err := ops.Heads(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	return second(all)
}

// second is an error while there is an upgrade, or the way back of a node, that is not done. It is pure.
func second(all []v1alpha1.Operation) error {
	for _, op := range all {
		if operations.Unfinished(op) && (op.Spec.Upgrade != nil || op.Spec.RollbackNode != nil) {
			return operations.Busy(&op)
		}
	}
	return nil
}
