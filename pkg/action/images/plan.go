package images

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/feed"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// Push is what goes to the nodes of one architecture.
type Push struct {
	Arch   string
	Images []bundle.Image
	// Programs are host programs that come along.
	Programs []bundle.Binary
	// Matrix is which node has which of the images.
	Matrix images.Matrix
	// Targets are the nodes of the Operation; none when nothing is to be done.
	Targets []string
}

// Lacking are the images that a node lacks: what is sent, at most.
func (p Push) Lacking() []bundle.Image {
	var out []bundle.Image
	for i, row := range p.Matrix.Images {
		if slices.ContainsFunc(p.Matrix.Nodes, func(node string) bool { return Lacks(row.States[node]) }) {
			out = append(out, p.Images[i])
		}
	}
	return out
}

// planPushes says what is to be pushed where. It is pure.
func planPushes(c bundle.Contents, nodes []corev1.Node, all []v1alpha1.Operation, allNodes bool) ([]Push, error) {
	if len(c.Images) == 0 {
		return nil, errors.New("the bundle contains no images")
	}
	var out []Push
	for _, arch := range agents.ArchsOf(nodes) {
		var some []corev1.Node
		for _, n := range nodes {
			if agents.ArchOf(n) == arch {
				some = append(some, n)
			}
		}
		p := Push{Arch: arch, Images: c.ForArch(arch).Images}
		if len(p.Images) == 0 {
			return nil, fmt.Errorf("the bundle is for %s, but %s is %s; select nodes with --selector, or create a bundle with `%s bundle create --arch %s`",
				strings.Join(c.Archs(), " and "), some[0].Name, arch, program.Name, arch)
		}
		p.Matrix = images.Compare(some, feed.Pushed(p.Images), allNodes)
		p.Matrix.Doubt(all, time.Now().Add(-feed.JustNow))
		p.Targets = p.Matrix.Targets()
		out = append(out, p)
	}
	return out, nil
}

// addPrograms adds kubeadm, kubelet and kubectl to pushes. Only the nodes know
// whether they have them, so all are targets.
func addPrograms(pushes []Push, c bundle.Contents, nodes []corev1.Node) error {
	for i := range pushes {
		p := &pushes[i]
		for _, b := range c.ForArch(p.Arch).Binaries {
			if b.Component == bundle.ComponentKubernetes {
				p.Programs = append(p.Programs, b)
			}
		}
		if len(p.Programs) == 0 {
			return fmt.Errorf("the bundle contains no Kubernetes binaries; create one with `%s bundle create --kubernetes-version`", program.Name)
		}
		p.Targets = nil
		for _, n := range nodes {
			if agents.ArchOf(n) == p.Arch {
				p.Targets = append(p.Targets, n.Name)
			}
		}
	}
	return nil
}

// planComponent says which programs go where: those of one component, to the nodes that are
// named. Only the nodes know whether they have them. It is pure.
func planComponent(c bundle.Contents, nodes []corev1.Node, component string, names []string) ([]Push, error) {
	var mine []corev1.Node
	for _, name := range names {
		i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s is no node of the cluster", name)
		}
		mine = append(mine, nodes[i])
	}
	var out []Push
	for _, arch := range agents.ArchsOf(mine) {
		p := Push{Arch: arch}
		for _, b := range c.ForArch(arch).Binaries {
			if b.Component == component {
				p.Programs = append(p.Programs, b)
			}
		}
		if len(p.Programs) == 0 {
			return nil, fmt.Errorf("the bundle contains no %s for %s", component, arch)
		}
		for _, n := range mine {
			if agents.ArchOf(n) == arch {
				p.Targets = append(p.Targets, n.Name)
			}
		}
		out = append(out, p)
	}
	return out, nil
}
