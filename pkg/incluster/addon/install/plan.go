package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// The kinds of steps: the part of a step's ID before the slash.
const (
	stepCertificate   = "certificate"
	stepApply         = "apply"
	stepHealthy       = "healthy"
	stepKubeletConfig = "kubelet-config"
	stepKubelet       = "kubelet"
	stepRecord        = "record"
	stepRemove        = "remove"
	stepTidy          = "tidy"
	stepRevoke        = "revoke"
)

// Seen is what a plan is made of, beside what is wanted.
type Seen struct {
	// Nodes are the cluster's.
	Nodes []corev1.Node
	// Addons are the unpacked ones of an installation, by name.
	Addons map[string]*addon.Addon
	// Installed are the inventories, by name.
	Installed map[string]Inventory
}

// planner puts steps in a row, in which each comes after the one before.
type planner struct {
	steps []v1alpha1.StepStatus
	last  []string
}

func (p *planner) add(s v1alpha1.StepStatus) {
	s.State, s.After = v1alpha1.StepPending, p.last
	p.steps = append(p.steps, s)
	p.last = []string{s.ID}
}

// nodes adds a step for every node, side by side.
func (p *planner) nodes(title string, all []corev1.Node) {
	var ids []string
	for _, n := range all {
		s := v1alpha1.StepStatus{ID: stepKubelet + "/" + n.Name, Title: title + " on " + n.Name, Node: n.Name, State: v1alpha1.StepPending, After: p.last}
		if !isReady(n) {
			s.State, s.Message = v1alpha1.StepSkipped, "the node is not ready; run the same command again once it is"
		}
		p.steps = append(p.steps, s)
		ids = append(ids, s.ID)
	}
	if len(ids) > 0 {
		p.last = ids
	}
}

func isReady(n corev1.Node) bool {
	c := ready.NodeCondition(&n)
	return c != nil && c.Status == corev1.ConditionTrue
}

// Plan is an Addon Operation's steps. It is pure.
func Plan(op *v1alpha1.Operation, c *v1alpha1.Cluster, seen Seen) ([]v1alpha1.StepStatus, error) {
	spec := op.Spec.Addon
	if spec == nil || len(spec.Addons) == 0 {
		return nil, fmt.Errorf("operation %s has no addons in spec.addon", op.Name)
	}
	p := &planner{}
	var err error
	if spec.Action == v1alpha1.AddonUninstall {
		err = p.uninstall(spec, seen)
	} else {
		err = p.install(spec, c, seen)
	}
	if err != nil {
		return nil, err
	}
	p.add(v1alpha1.StepStatus{ID: stepTidy, Title: "remove what was handed over for it"})
	return p.steps, nil
}

func (p *planner) install(spec *v1alpha1.AddonSpec, c *v1alpha1.Cluster, seen Seen) error {
	for _, item := range spec.Addons {
		a := seen.Addons[item.Name]
		if a == nil {
			return fmt.Errorf("the addon %s was not handed over", item.Name)
		}
		d := a.Descriptor
		for _, need := range d.Needs {
			_, there := seen.Installed[need]
			if !there && !slices.ContainsFunc(spec.Addons, func(i v1alpha1.AddonItem) bool { return i.Name == need }) {
				return fmt.Errorf("the addon %s needs %s, which is not installed", d.Name, need)
			}
		}
		for _, cert := range d.Certificates {
			if cert.Authority != addon.AuthorityCluster {
				continue
			}
			signer, err := signer(c, seen.Nodes)
			if err != nil {
				return err
			}
			p.add(v1alpha1.StepStatus{ID: stepCertificate + "/" + d.Name + "/" + cert.Secret, Node: signer,
				Title: fmt.Sprintf("have %s signed for %s", cert.CommonName, c.EndpointHost())})
		}
		p.add(v1alpha1.StepStatus{ID: stepApply + "/" + d.Name, Title: "apply " + d.Name + " " + d.Version})
		p.add(v1alpha1.StepStatus{ID: stepHealthy + "/" + d.Name, Title: "wait until " + d.Name + " is well"})
		if d.KubeletCertificates {
			p.add(v1alpha1.StepStatus{ID: stepKubeletConfig, Title: "have kubelets that come later ask for certificates"})
			p.nodes("take the kubelet's certificate from the cluster", seen.Nodes)
		}
		p.add(v1alpha1.StepStatus{ID: stepRecord + "/" + d.Name, Title: "note that " + d.Name + " is installed"})
	}
	return nil
}

// signer is the control plane on which certificates are signed: the first that is ready.
func signer(c *v1alpha1.Cluster, nodes []corev1.Node) (string, error) {
	for _, h := range c.ControlPlanes() {
		if i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == h.Name }); i >= 0 && isReady(nodes[i]) {
			return h.Name, nil
		}
	}
	return "", errors.New("no control plane is ready, where the key of the cluster's CA is")
}

func (p *planner) uninstall(spec *v1alpha1.AddonSpec, seen Seen) error {
	going := map[string]bool{}
	for _, item := range spec.Addons {
		going[item.Name] = true
	}
	for name, inv := range seen.Installed {
		for _, need := range inv.Needs {
			if going[need] && !going[name] {
				return fmt.Errorf("%s stays, since %s needs it; uninstall that first", need, name)
			}
		}
	}
	for _, item := range spec.Addons {
		inv, there := seen.Installed[item.Name]
		if !there {
			continue // It is gone already.
		}
		if inv.KubeletCertificates {
			p.add(v1alpha1.StepStatus{ID: stepKubeletConfig, Title: "have kubelets that come later make their own certificates"})
			p.nodes("have the kubelet make its own certificate", seen.Nodes)
		}
		p.add(v1alpha1.StepStatus{ID: stepRemove + "/" + item.Name, Title: fmt.Sprintf("remove %s with its %d objects", item.Name, len(inv.Objects))})
	}
	return nil
}

// Dependents are the addons that go with those named: what they brought in, as
// long as nobody else needs it, in an order in which they can be uninstalled.
func Dependents(installed []Inventory, names ...string) []Inventory {
	byName := map[string]Inventory{}
	for _, inv := range installed {
		byName[inv.Name] = inv
	}
	going := map[string]bool{}
	for _, n := range names {
		going[n] = true
	}
	for changed := true; changed; {
		changed = false
		for _, inv := range installed {
			if going[inv.Name] || inv.For == "" || !going[inv.For] && byName[inv.For].Name != "" {
				continue
			}
			needed := slices.ContainsFunc(installed, func(other Inventory) bool {
				return !going[other.Name] && slices.Contains(other.Needs, inv.Name)
			})
			if !needed {
				going[inv.Name], changed = true, true
			}
		}
	}
	return lastFirst(installed, going)
}

// lastFirst orders addons so that each goes before what it needs.
func lastFirst(installed []Inventory, going map[string]bool) []Inventory {
	var out []Inventory
	left := slices.DeleteFunc(slices.Clone(installed), func(i Inventory) bool { return !going[i.Name] })
	slices.SortFunc(left, func(a, b Inventory) int { return strings.Compare(a.Name, b.Name) })
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(one Inventory) bool {
			return !slices.ContainsFunc(left, func(other Inventory) bool { return slices.Contains(other.Needs, one.Name) })
		})
		i = max(i, 0) // They need each other: any.
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// observe looks at what a plan is made of.
func observe(ctx context.Context, env engine.Env) (Seen, error) {
	nodes, err := env.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return Seen{}, fmt.Errorf("list nodes: %w", err)
	}
	seen := Seen{Nodes: nodes.Items, Addons: map[string]*addon.Addon{}, Installed: map[string]Inventory{}}
	all, err := Inventories(ctx, env.Clients.Kube)
	if err != nil {
		return Seen{}, err
	}
	for _, inv := range all {
		seen.Installed[inv.Name] = inv
	}
	if env.Operation.Spec.Addon == nil || env.Operation.Spec.Addon.Action == v1alpha1.AddonUninstall {
		return seen, nil
	}
	for _, item := range env.Operation.Spec.Addon.Addons {
		if seen.Addons[item.Name], err = unpack(ctx, env, item); err != nil {
			return Seen{}, err
		}
	}
	return seen, nil
}
