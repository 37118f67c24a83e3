package addon

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// InstallOptions say which addons are installed, and with what.
type InstallOptions struct {
	Config *rest.Config
	// Names are addons that come with this program, and folders with others.
	Names []string
	// With are variants that are installed too; Without are those that are left out. Of an
	// addon that is installed the others stay as they are, else they are as is usual.
	With, Without []string
	// Companions are installed too, as if the first of Names needed them.
	Companions []string
	// Source is where manifests come from that upstream publishes.
	Source Source
	// StateDir finds the cluster's directory on this machine, in which etcd's CA is.
	StateDir func(*v1alpha1.Cluster) (string, error)
}

// Install is what is about to be installed, before and after a person was asked.
type Install struct {
	// Cluster is the stored document.
	Cluster *v1alpha1.Cluster
	// Steps are those that the cluster will take.
	Steps []v1alpha1.StepStatus

	site     *site
	stateDir func(*v1alpha1.Cluster) (string, error)
	chosen   []choice
	// signed are the certificates that Sign has made; nil before.
	signed map[string][]byte
}

// CheckInstall refuses what can't be, without asking anybody. Errors are action.Invalid.
func CheckInstall(o InstallOptions) error {
	if err := o.Source.Trust.Requires(o.Source.Bundle != "", "--bundle"); err != nil {
		return err
	}
	_, _, err := Catalogue(o.Names)
	return err
}

// prepare chooses what is installed; there are no Steps yet.
func prepare(ctx context.Context, o InstallOptions) (*Install, error) {
	if err := CheckInstall(o); err != nil {
		return nil, err
	}
	all, names, err := Catalogue(o.Names)
	if err != nil {
		return nil, err
	}
	s, err := connect(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	c := chooser{InstallOptions: o, all: all, names: names, find: s.find, fetch: o.Source.fetch}
	chosen, err := c.choose(ctx)
	if err != nil {
		return nil, err
	}
	return &Install{Cluster: s.cluster, site: s, stateDir: o.StateDir, chosen: chosen}, nil
}

// Manifests are the objects that would be applied, in their order. Nothing is changed.
func Manifests(ctx context.Context, o InstallOptions) ([]*unstructured.Unstructured, error) {
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, c := range p.chosen {
		objects, err := c.addon.Render(p.facts(), c.item.Variants)
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

// PlanInstall says what will be done, and refuses what would fail; it changes nothing. What
// stands in the way is an action.Findings.
func PlanInstall(ctx context.Context, o InstallOptions) (*Install, error) {
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	seen, err := p.site.seen(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range p.chosen {
		seen.Addons[c.item.Name] = c.addon
		objects, err := c.addon.Render(p.facts(), c.item.Variants)
		if err != nil {
			return nil, action.As(action.Invalid, err)
		}
		if err := install.Foreign(ctx, p.site.clients, c.item.Name, objects); err != nil {
			return nil, action.As(action.Findings, action.OfCluster(err))
		}
	}
	p.Steps, err = p.site.steps(p.spec(), seen)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Planned is Steps.
func (p *Install) Planned() []v1alpha1.StepStatus { return p.Steps }

// facts are as the coordinator has them; the agent's image only stands for it.
func (p *Install) facts() addon.Facts {
	return addon.Facts{Cluster: p.Cluster, AgentImage: bundle.AgentRepository}
}

// spec is the Operation's.
func (p *Install) spec() v1alpha1.OperationSpec {
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationAddon, Addon: &v1alpha1.AddonSpec{Action: v1alpha1.AddonInstall}}
	for _, c := range p.chosen {
		spec.Addon.Addons = append(spec.Addon.Addons, c.item)
	}
	return spec
}

// Begin creates the Operation that installs, with the manifests and the certificates that it
// needs from this machine. Whoever asks a person calls Sign before.
func (p *Install) Begin(ctx context.Context, sink report.Sink) (*incluster.Operations, string, error) {
	if err := p.Sign(ctx); err != nil {
		return nil, "", err
	}
	return p.site.begin(ctx, p.spec(), func(ctx context.Context, op *v1alpha1.Operation) error {
		packed := map[string][]byte{}
		for _, c := range p.chosen {
			packed[c.item.Name] = c.packed
		}
		return install.HandOver(ctx, p.site.clients.Kube, op, packed, p.signed)
	}, sink)
}
