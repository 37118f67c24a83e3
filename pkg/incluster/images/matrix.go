package images

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// reportedImages is how many images a kubelet reports unless told otherwise, the
// largest ones: nodeStatusMaxImages of its configuration. Of a node that reports
// that many nobody knows what else it has.
const reportedImages = 50

// State is how an image stands on a node, as far as the node reports.
type State string

// The states.
const (
	// Present: it is there with the digest that is wanted.
	Present State = "present"
	// Missing: it is not there.
	Missing State = "missing"
	// OtherDigest: something else is there under its name.
	OtherDigest State = "other digest"
	// Unknown: the node reports too little to tell.
	Unknown State = "unknown"
	// NotNeeded: the node has no role that needs it.
	NotNeeded State = "not needed"
)

// Matrix is images by nodes.
type Matrix struct {
	// Nodes are names, in order.
	Nodes  []string `json:"nodes"`
	Images []Row    `json:"images"`

	// away are nodes that can't take part in an Operation now.
	away map[string]bool
}

// Row is one image.
type Row struct {
	Ref string `json:"ref"`
	// Arch is set when the rows are of several architectures: nodes of another one
	// don't need the image of this row.
	Arch string `json:"arch,omitempty"`
	// Digest is the one that is wanted; empty when none is known.
	Digest string `json:"digest,omitempty"`
	// Size in bytes, as nodes report it or as it is sent; zero when not known.
	Size int64 `json:"size,omitempty"`
	// States by node.
	States map[string]State `json:"states"`
}

// nodeReport is what a node says about its images.
type nodeReport struct {
	// digests are those by which the image of a reference is known, empty for an
	// image that was imported without any.
	digests map[string][]string
	sizes   map[string]int64
	cut     bool
}

func reportOf(n corev1.Node) nodeReport {
	r := nodeReport{digests: map[string][]string{}, sizes: map[string]int64{}, cut: len(n.Status.Images) >= reportedImages}
	for _, image := range n.Status.Images {
		var digests []string
		for _, name := range image.Names {
			if _, d, ok := strings.Cut(name, "@"); ok && !slices.Contains(digests, d) {
				digests = append(digests, d)
			}
		}
		for _, name := range image.Names {
			r.digests[name], r.sizes[name] = digests, image.SizeBytes
		}
	}
	return r
}

// state is how an image stands; digest may be empty for any.
func (r nodeReport) state(ref, digest string) State {
	digests, ok := r.digests[ref]
	switch {
	case !ok && r.cut:
		return Unknown
	case !ok:
		return Missing
	case digest == "" || slices.Contains(digests, digest):
		return Present
	case len(digests) == 0:
		return Unknown
	}
	return OtherDigest
}

// Compare is how the wanted images stand on nodes.
func Compare(nodes []corev1.Node, wanted []v1alpha1.PushedImage, allRoles bool) Matrix {
	m := newMatrix(nodes)
	spec := &v1alpha1.ImagesSpec{AllRoles: allRoles}
	rows := make([]Row, len(wanted))
	for i, w := range wanted {
		rows[i] = Row{Ref: w.Ref, Digest: w.Digest, Size: w.Size, States: map[string]State{}}
	}
	for _, n := range nodes {
		r := reportOf(n)
		for i, w := range wanted {
			rows[i].States[n.Name] = NotNeeded
			if spec.Wants(w.For, RolesOf(n)) {
				rows[i].States[n.Name] = r.state(w.Ref, w.Digest)
			}
		}
	}
	m.Images = rows
	return m
}

// CompareArchs is Compare for images of several architectures: each is compared
// with the nodes of its own. wanted is by architecture, arch tells a node's.
func CompareArchs(nodes []corev1.Node, arch func(corev1.Node) string, wanted map[string][]v1alpha1.PushedImage, allRoles bool) Matrix {
	m := newMatrix(nodes)
	for _, a := range slices.Sorted(maps.Keys(wanted)) {
		own := slices.DeleteFunc(slices.Clone(nodes), func(n corev1.Node) bool { return arch(n) != a })
		for _, row := range Compare(own, wanted[a], allRoles).Images {
			if len(wanted) > 1 {
				row.Arch = a
			}
			for _, n := range nodes {
				if arch(n) != a {
					row.States[n.Name] = NotNeeded
				}
			}
			m.Images = append(m.Images, row)
		}
	}
	return m
}

// Survey is what the nodes have: every image that one of them reports under a
// tag. The digest that most have is taken for the wanted one.
func Survey(nodes []corev1.Node) Matrix {
	m := newMatrix(nodes)
	reports := map[string]nodeReport{}
	votes := map[string]map[string]int{}
	sizes := map[string]int64{}
	for _, n := range nodes {
		r := reportOf(n)
		reports[n.Name] = r
		for name, digests := range r.digests {
			if strings.Contains(name, "@") {
				continue
			}
			if votes[name] == nil {
				votes[name] = map[string]int{}
			}
			for _, d := range digests {
				votes[name][d]++
			}
			sizes[name] = max(sizes[name], r.sizes[name])
		}
	}
	for name, digests := range votes {
		row := Row{Ref: name, Digest: winner(digests), Size: sizes[name], States: map[string]State{}}
		for _, n := range m.Nodes {
			row.States[n] = reports[n].state(name, row.Digest)
		}
		m.Images = append(m.Images, row)
	}
	slices.SortFunc(m.Images, func(a, b Row) int { return strings.Compare(a.Ref, b.Ref) })
	return m
}

func newMatrix(nodes []corev1.Node) Matrix {
	m := Matrix{Nodes: []string{}, Images: []Row{}, away: map[string]bool{}}
	for _, n := range nodes {
		m.Nodes = append(m.Nodes, n.Name)
		m.away[n.Name] = unfit(n) != ""
	}
	return m
}

// winner is the digest with the most votes, the first in order among equals.
func winner(votes map[string]int) string {
	best := ""
	for d, n := range votes {
		if best == "" || n > votes[best] || n == votes[best] && d < best {
			best = d
		}
	}
	return best
}

// Doubt makes what is reported as present unknown where an Operation that began
// or ended after that moment removes it: kubelets tell half a minute later.
func (m Matrix) Doubt(all []v1alpha1.Operation, after time.Time) {
	for _, op := range all {
		if op.Spec.PruneImages == nil || op.Status.FinishedAt != nil && op.Status.FinishedAt.Time.Before(after) {
			continue
		}
		for _, n := range op.Spec.PruneImages.Nodes {
			for _, row := range m.Images {
				if row.States[n.Name] == Present && slices.Contains(n.Refs, row.Ref) {
					row.States[n.Name] = Unknown
				}
			}
		}
	}
}

// Lacking are the images that a node lacks or may lack.
func (m Matrix) Lacking(node string) []Row {
	var out []Row
	for _, row := range m.Images {
		if s := row.States[node]; s != Present && s != NotNeeded {
			out = append(out, row)
		}
	}
	return out
}

// sources is how many nodes that have everything hand on to those that don't.
const sources = 2

// Targets are the nodes for an Operation: those that lack something, whether they
// can take part or not, and some that have most of that and can, so that it need
// not come from the workstation. None when nothing is lacking.
func (m Matrix) Targets() []string {
	var lacking, others []string
	gives := map[string]int64{}
	for _, n := range m.Nodes {
		if len(m.Lacking(n)) > 0 {
			lacking = append(lacking, n)
			continue
		}
		for _, row := range m.Images {
			if row.States[n] == Present && row.lackedBy(m.Nodes) {
				gives[n] += max(row.Size, 1)
			}
		}
		if gives[n] > 0 && !m.away[n] {
			others = append(others, n)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	slices.SortStableFunc(others, func(a, b string) int { return cmp.Compare(gives[b], gives[a]) })
	all := append(lacking, others[:min(len(others), sources)]...)
	slices.Sort(all)
	return all
}

// lackedBy tells whether one of the nodes lacks it or may lack it.
func (r Row) lackedBy(nodes []string) bool {
	return slices.ContainsFunc(nodes, func(n string) bool { return r.States[n] != Present && r.States[n] != NotNeeded })
}

// full writes a reference as nodes report it: with registry and tag. What is no
// reference stays as it is.
func full(ref string) string {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ref
	}
	return named.String()
}

// repository is a reference without tag and digest.
func repository(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return named.Name()
}
