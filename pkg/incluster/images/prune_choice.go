package images

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// PruneOptions say what may be removed.
type PruneOptions struct {
	// Keep are the references of the Kubernetes version that is kept. Other tags
	// of the same repositories are what is removed.
	Keep []string
	// Unused also chooses every other image that no pod names.
	Unused bool
	// Never are repositories that are left alone: the agent's.
	Never []string
}

// Prunable chooses what could be removed from each node: images of other
// Kubernetes versions, or all that no pod names, never what a pod in the cluster
// uses. It is pure. The nodes themselves look again before they remove anything.
func Prunable(nodes []corev1.Node, pods []corev1.Pod, o PruneOptions) []v1alpha1.NodeImages {
	used := usedBy(pods)
	keep, repositories := map[string]bool{}, map[string]bool{}
	for _, ref := range o.Keep {
		keep[full(ref)] = true
		repositories[repository(ref)] = true
	}
	var out []v1alpha1.NodeImages
	for _, n := range nodes {
		one := v1alpha1.NodeImages{Name: n.Name}
		for _, image := range n.Status.Images {
			if slices.ContainsFunc(image.Names, func(name string) bool { return used[name] || keep[name] }) {
				continue
			}
			for _, name := range namesToRemove(image) {
				chosen := o.Unused || repositories[repository(name)]
				if chosen && !slices.Contains(o.Never, repository(name)) {
					one.Refs = append(one.Refs, name)
				}
			}
		}
		if slices.Sort(one.Refs); len(one.Refs) > 0 {
			out = append(out, one)
		}
	}
	return out
}

// Cut are the nodes that report so many images that there may be more: of those
// nobody but the node knows, so that they are not chosen. It is pure.
func Cut(nodes []corev1.Node) (names []string) {
	for _, n := range nodes {
		if reportOf(n).cut {
			names = append(names, n.Name)
		}
	}
	return names
}

// StillUnused splits references that were chosen on a node into those that still
// may be removed and those that pods use by now: a pod that was made since needs
// its image, although no container shows it to the node yet. An image goes by all
// names that the node reports for it. It is pure.
func StillUnused(n corev1.Node, refs []string, pods []corev1.Pod) (unused, inUse []string) {
	used := usedBy(pods)
	for _, ref := range refs {
		names := []string{full(ref)}
		for _, image := range n.Status.Images {
			if slices.Contains(image.Names, ref) {
				names = append(names, image.Names...)
			}
		}
		if slices.ContainsFunc(names, func(name string) bool { return used[name] }) {
			inUse = append(inUse, ref)
		} else {
			unused = append(unused, ref)
		}
	}
	return unused, inUse
}

// Recheck takes out of a choice what pods use by now. It is pure.
func Recheck(chosen []v1alpha1.NodeImages, nodes []corev1.Node, pods []corev1.Pod) (left []v1alpha1.NodeImages, inUse []string) {
	for _, one := range chosen {
		// A node that has gone meanwhile is the Operation's matter.
		n := corev1.Node{}
		if i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == one.Name }); i >= 0 {
			n = nodes[i]
		}
		unused, used := StillUnused(n, one.Refs, pods)
		for _, ref := range used {
			if !slices.Contains(inUse, ref) {
				inUse = append(inUse, ref)
			}
		}
		if len(unused) > 0 {
			left = append(left, v1alpha1.NodeImages{Name: one.Name, Refs: unused})
		}
	}
	slices.Sort(inUse)
	return left, inUse
}

// namesToRemove are an image's tags; its digests when it has none, since with
// the last tag they go as well.
func namesToRemove(image corev1.ContainerImage) []string {
	var tags, digests []string
	for _, name := range image.Names {
		if strings.Contains(name, "@") {
			digests = append(digests, name)
		} else {
			tags = append(tags, name)
		}
	}
	if len(tags) > 0 {
		return tags
	}
	return digests
}

// usedBy are the references that pods name, running or not, and those by which
// their containers' images are known.
func usedBy(pods []corev1.Pod) map[string]bool {
	used := map[string]bool{}
	add := func(ref string) {
		if ref != "" {
			used[full(ref)] = true
		}
	}
	for _, p := range pods {
		for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
			for _, c := range list {
				add(c.Image)
			}
		}
		for _, c := range p.Spec.EphemeralContainers {
			add(c.Image)
		}
		for _, v := range p.Spec.Volumes {
			if v.Image != nil {
				add(v.Image.Reference)
			}
		}
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
			for _, c := range list {
				add(c.Image)
				used[c.ImageID] = true
			}
		}
	}
	return used
}
