package cmd

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// agentSource finds the program that is put on hosts: the running one when it
// is fit for them, else the one next to it that the plugin's archive holds for
// workstations of another kind.
type agentSource struct {
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

func newAgentSource() (*agentSource, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running program: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		// krew links the program from another directory than its files'.
		path = real
	}
	built, err := builtAgents(agentSums)
	return &agentSource{executable: path, goos: runtime.GOOS, arch: runtime.GOARCH, built: built, sums: map[string]string{}}, err
}

// builtAgents reads what the linker stamped: amd64=HEX,arm64=HEX.
func builtAgents(stamped string) (map[string]string, error) {
	out := map[string]string{}
	if stamped == "" {
		return out, nil
	}
	for _, one := range strings.Split(stamped, ",") {
		arch, sum, _ := strings.Cut(one, "=")
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 || arch == "" {
			return nil, fmt.Errorf("this program was built wrong: %.100q is not the checksum of an agent", one)
		}
		out[arch] = sum
	}
	return out, nil
}

// Binary returns the agent for Linux hosts of that architecture and its SHA-256 in hex.
func (a *agentSource) Binary(arch string) (path string, sha256hex string, err error) {
	path = a.executable
	if a.goos != "linux" || a.arch != arch {
		name := "kubectl-ha-agent-linux-" + arch
		path = filepath.Join(filepath.Dir(a.executable), name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", "", fmt.Errorf("this is the program for %s/%s, and there is no %s next to it in %s; take it from the release's archive",
				a.goos, a.arch, name, filepath.Dir(path))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if sum := a.sums[path]; sum != "" {
		return path, sum, nil
	}
	sum, err := host.FileSum(path)
	if err != nil {
		return "", "", err
	}
	// The running program is what it is; one beside it may have been put there since.
	if want := a.built[arch]; path != a.executable && want != "" && sum != want {
		return "", "", fmt.Errorf("%s is not the one that was built with this program (its SHA-256 is %s, not %s); take it anew from the archive of release %s",
			path, sum, want, build().Version)
	}
	a.sums[path] = sum
	return path, sum, nil
}

// Image is the agent's image for Linux nodes of that architecture, under this program's
// name for it. It is made once, which takes a second.
func (a *agentSource) Image(ctx context.Context, arch string) (bundle.Image, bundle.Upstream, error) {
	path, _, err := a.Binary(arch)
	if err != nil {
		return bundle.Image{}, nil, err
	}
	ref, err := agentImage(a)
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
func (a *agentSource) Agents(ctx context.Context, nodes []corev1.Node) (v1alpha1.Agents, error) {
	out, lacking := a.present(ctx, nodes)
	if lacking != nil {
		return nil, lacking
	}
	return out, nil
}

// present are those of Agents that this program has, and why it has not all of them. That is
// enough for who only looks, or goes on with an Operation that has its agents.
func (a *agentSource) present(ctx context.Context, nodes []corev1.Node) (out v1alpha1.Agents, lacking error) {
	for _, arch := range agentArchs(nodes, a.arch) {
		one, err := a.agent(ctx, arch)
		if err != nil {
			lacking = errors.Join(lacking, err)
			continue
		}
		out = append(out, one)
	}
	return out, lacking
}

func (a *agentSource) agent(ctx context.Context, arch string) (v1alpha1.Agent, error) {
	image, _, err := a.Image(ctx, arch)
	if err != nil {
		return v1alpha1.Agent{}, err
	}
	_, sum, err := a.Binary(arch)
	return v1alpha1.Agent{Arch: arch, Image: image.Ref + "@" + image.Manifest.Digest.String(), SHA256: sum}, err
}

// agentArchs are the nodes' architectures, the control planes' most frequent one first,
// since there the coordinators are. Without any node it is the one that is given.
func agentArchs(nodes []corev1.Node, otherwise string) []string {
	count := map[string]int{}
	for _, n := range nodes {
		if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
			count[archOf(n)]++
		}
	}
	out := archsOf(nodes)
	if len(out) == 0 {
		return []string{otherwise}
	}
	slices.SortStableFunc(out, func(x, y string) int { return cmp.Compare(count[y], count[x]) })
	return out
}

// ownAgents are this program's agents for a cluster's nodes.
func ownAgents(ctx context.Context, config *rest.Config) (v1alpha1.Agents, error) {
	source, _, nodes, err := agentNodes(ctx, config)
	if err != nil {
		return nil, err
	}
	return source.Agents(ctx, nodes)
}

// agentNodes are the cluster's nodes, and the source of their agents.
func agentNodes(ctx context.Context, config *rest.Config) (*agentSource, kubernetes.Interface, []corev1.Node, error) {
	source, err := newAgentSource()
	if err != nil {
		return nil, nil, nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, nil, err
	}
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, nil, clusterError(err)
	}
	return source, kube, nodes.Items, nil
}

// agentDigest is that of this program's image for an architecture, for bootstrap.Config.
func agentDigest(ctx context.Context, arch string) (string, error) {
	source, err := newAgentSource()
	if err != nil {
		return "", err
	}
	image, _, err := source.Image(ctx, arch)
	return image.Manifest.Digest.String(), err
}
