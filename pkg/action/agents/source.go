package agents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// Source finds the program that is put on hosts: the running one when it
// is fit for them, else the one next to it that the plugin's archive holds for
// workstations of another kind. It remembers the images that it has made of it, which takes
// a second each: whoever does several things with a cluster has one for all of them.
type Source struct {
	// executable, goos and arch are of the running program.
	executable, goos, arch string
	// built are the SHA-256 of the agents in this program's archive, in hex by architecture;
	// empty in a program that is no release's.
	built map[string]string

	mu     sync.Mutex
	sums   map[string]string
	images map[string]packedAgent
}

// packedAgent is the agent's image for an architecture.
type packedAgent struct {
	image bundle.Image
	blobs bundle.Upstream
}

// NewSource is one for the running program.
func NewSource() (*Source, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		// krew links the program from another directory than its files'.
		path = real
	}
	built, err := program.Agents()
	return &Source{executable: path, goos: runtime.GOOS, arch: runtime.GOARCH, built: built, sums: map[string]string{}}, err
}

// Binary returns the agent for Linux hosts of that architecture and its SHA-256 in hex.
func (a *Source) Binary(arch string) (path string, sha256hex string, err error) {
	path = a.executable
	if a.goos != "linux" || a.arch != arch {
		name := "kubectl-ha-agent-linux-" + arch
		path = filepath.Join(filepath.Dir(a.executable), name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("this is the program for %s/%s, but %s is missing next to it in %s; copy it from the release archive",
				a.goos, a.arch, name, filepath.Dir(path))
		}
	}
	sum, err := a.sum(path)
	if err != nil {
		return "", "", err
	}
	// The running program is what it is; one beside it may have been put there since.
	if want := a.built[arch]; path != a.executable && want != "" && sum != want {
		return "", "", fmt.Errorf("%s does not match this program (its SHA-256 is %s, not %s); copy it again from the archive of release %s",
			path, sum, want, program.Read().Version)
	}
	return path, sum, nil
}

// sum is a program's SHA-256 in hex, read once.
func (a *Source) sum(path string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if sum := a.sums[path]; sum != "" {
		return sum, nil
	}
	sum, err := host.FileSum(path)
	if err != nil {
		return "", err
	}
	a.sums[path] = sum
	return sum, nil
}

// Image is the agent's image for Linux nodes of that architecture, under this program's
// name for it. It is made once, which takes a second.
func (a *Source) Image(ctx context.Context, arch string) (bundle.Image, bundle.Upstream, error) {
	path, _, err := a.Binary(arch)
	if err != nil {
		return bundle.Image{}, nil, err
	}
	ref, err := a.Name()
	if err != nil {
		return bundle.Image{}, nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.images[arch]; ok {
		return p.image, p.blobs, nil
	}
	image, blobs, err := bundle.AgentImage(ctx, ref, path, arch)
	if err != nil {
		return bundle.Image{}, nil, err
	}
	if a.images == nil {
		a.images = map[string]packedAgent{}
	}
	a.images[arch] = packedAgent{image, blobs}
	return image, blobs, nil
}

// Agents are this program's for the architectures of these nodes, named by their digests.
func (a *Source) Agents(ctx context.Context, nodes []corev1.Node) (v1alpha1.Agents, error) {
	out, lacking := a.present(ctx, nodes)
	if lacking != nil {
		return nil, lacking
	}
	return out, nil
}

// present are those of Agents that this program has, and why it has not all of them. That is
// enough for who only looks, or goes on with an Operation that has its agents.
func (a *Source) present(ctx context.Context, nodes []corev1.Node) (out v1alpha1.Agents, lacking error) {
	for _, arch := range archs(nodes, a.arch) {
		one, err := a.agent(ctx, arch)
		if err != nil {
			lacking = errors.Join(lacking, err)
			continue
		}
		out = append(out, one)
	}
	return out, lacking
}

func (a *Source) agent(ctx context.Context, arch string) (v1alpha1.Agent, error) {
	image, _, err := a.Image(ctx, arch)
	if err != nil {
		return v1alpha1.Agent{}, err
	}
	_, sum, err := a.Binary(arch)
	return v1alpha1.Agent{Arch: arch, Image: image.Ref + "@" + image.Manifest.Digest.String(), SHA256: sum}, err
}

// archs are the nodes' architectures, the control planes' most frequent one first,
// since there the coordinators are. Without any node it is the one that is given.
func archs(nodes []corev1.Node, otherwise string) []string {
	count := map[string]int{}
	for _, n := range nodes {
		if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
			count[ArchOf(n)]++
		}
	}
	out := ArchsOf(nodes)
	if len(out) == 0 {
		return []string{otherwise}
	}
	slices.SortStableFunc(out, func(x, y string) int { return cmp.Compare(count[y], count[x]) })
	return out
}

// Or is the source, else a new one: for options in which it may be left out.
func Or(source *Source) (*Source, error) {
	if source != nil {
		return source, nil
	}
	return NewSource()
}

// Own are this program's agents for a cluster's nodes.
func (a *Source) Own(ctx context.Context, config *rest.Config) (v1alpha1.Agents, error) {
	nodes, err := nodesOf(ctx, config)
	if err != nil {
		return nil, err
	}
	return a.Agents(ctx, nodes)
}

// nodesOf are a cluster's nodes.
func nodesOf(ctx context.Context, config *rest.Config) ([]corev1.Node, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, action.OfCluster(err)
	}
	return nodes.Items, nil
}

// Digest is that of this program's image for an architecture, as bootstrap.Config asks for it.
func (a *Source) Digest(ctx context.Context, arch string) (string, error) {
	image, _, err := a.Image(ctx, arch)
	return image.Manifest.Digest.String(), err
}

// Name is the reference under which this program is on the nodes: how they are told to call what
// they import. Pods name it by its digest too, see Source.Agents. That of
// a release has its version; any other build goes by its contents.
func (a *Source) Name() (string, error) {
	if v := program.Release(); v != "" {
		return bundle.AgentRepository + ":" + v, nil
	}
	sum, err := a.sum(a.executable)
	if err != nil {
		return "", fmt.Errorf("read the running program: %w", err)
	}
	return bundle.AgentRepository + ":dev-" + sum[:16], nil
}

// ArchOf is a node's architecture, in Go's words.
func ArchOf(n corev1.Node) string { return cmp.Or(n.Status.NodeInfo.Architecture, "amd64") }

// ArchsOf are the nodes' architectures, in order.
func ArchsOf(nodes []corev1.Node) []string {
	var out []string
	for _, n := range nodes {
		if !slices.Contains(out, ArchOf(n)) {
			out = append(out, ArchOf(n))
		}
	}
	slices.Sort(out)
	return out
}
