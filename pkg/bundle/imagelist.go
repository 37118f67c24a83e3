package bundle

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// kubeadmTimeout bounds a run of kubeadm that only prints.
const kubeadmTimeout = time.Minute

// wantedImage is an image for one architecture, and who needs it.
type wantedImage struct {
	ref   string
	roles []v1alpha1.Role
	// arch is empty for an image of a local file of which nothing more is known:
	// it may then be any of the bundle's.
	arch string
	// local is where it is when it does not come from a registry; shared says
	// that its blobs are in the store already.
	local  types.ImageReference
	shared bool
	// transport is the kind of local file, as the user gave it.
	transport string
	// pin is the digest by which it is asked for, in place of its tag.
	pin digest.Digest
}

// source is where an image comes from, for Image.Source.
func (w wantedImage) source() string {
	if w.local == nil {
		return "docker://" + w.ref
	}
	return w.transport
}

// etcdName is the last part of the name of kubeadm's etcd image.
const etcdName = "etcd"

// etcdImage says whether kubeadm's etcd image is wanted, which it is for stacked etcd, and of which version;
// without one it is kubeadm's choice.
type etcdImage struct {
	wanted  bool
	version string
}

// kubeadmTable is kubeadm's list for a known minor version.
func kubeadmTable(kubernetes, registry string, etcd etcdImage) ([]string, error) {
	v, err := version.ParseSemantic(kubernetes)
	if err != nil {
		return nil, err
	}
	tags, ok := tagsOf(v.Minor())
	if !ok || v.Major() != 1 {
		return nil, fmt.Errorf("the images of Kubernetes %s are not known here, and its kubeadm can't be run on this machine: "+
			"make the bundle on a Linux machine of the hosts' architecture", kubernetes)
	}
	dns := registry + "/coredns"
	if registry == KubernetesRegistry {
		dns += "/coredns"
	}
	out := []string{
		registry + "/kube-apiserver:" + kubernetes,
		registry + "/kube-controller-manager:" + kubernetes,
		registry + "/kube-scheduler:" + kubernetes,
		registry + "/kube-proxy:" + kubernetes,
		dns + ":" + tags.coreDNS,
		registry + "/pause:" + tags.pause,
	}
	if etcd.wanted {
		out = append(out, registry+"/"+etcdName+":"+cmp.Or(v1alpha1.EtcdImageTag(etcd.version), tags.etcd))
	}
	return out, nil
}

// kubeadmList asks kubeadm itself.
func kubeadmList(ctx context.Context, kubeadm, kubernetes, registry string, etcd etcdImage) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, kubeadmTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, kubeadm, "config", "images", "list",
		"--kubernetes-version", kubernetes, "--image-repository", registry)
	// Nothing of the caller's environment (a KUBECONFIG, a proxy) matters to it.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("kubeadm config images list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var out []string
	for _, line := range strings.Fields(stdout.String()) {
		named, err := reference.ParseNormalizedNamed(line)
		if err != nil {
			return nil, fmt.Errorf("kubeadm config images list: %.200q: %w", line, err)
		}
		if path.Base(reference.Path(named)) == etcdName {
			if !etcd.wanted {
				continue
			}
			// kubeadm can be told its tag by a configuration alone, and takes no part of one for this.
			if tag := v1alpha1.EtcdImageTag(etcd.version); tag != "" {
				line = reference.TrimNamed(named).Name() + ":" + tag
			}
		}
		out = append(out, line)
	}
	if len(out) == 0 {
		return nil, errors.New("kubeadm config images list: it lists nothing")
	}
	return out, nil
}

// kubeadmImages asks the downloaded kubeadm when this machine can run it, and
// looks into the table otherwise: the list is the same for all architectures. why tells why the table was used although
// kubeadm should have run.
func kubeadmImages(ctx context.Context, downloads *Store, kubeadm map[string]digest.Digest, opts CreateOptions) (refs []string, why error, err error) {
	if own, ok := kubeadm[runtime.GOARCH]; ok && runtime.GOOS == "linux" {
		refs, err = runKubeadm(ctx, downloads, own, opts)
		if err == nil || ctx.Err() != nil {
			return refs, nil, err
		}
		why = err
	}
	refs, err = kubeadmTable(opts.KubernetesVersion, opts.Registry, opts.etcdImage())
	if err != nil {
		return nil, nil, errors.Join(why, err)
	}
	return refs, why, nil
}

// runKubeadm runs the verified download from a private directory.
func runKubeadm(ctx context.Context, downloads *Store, kubeadm digest.Digest, opts CreateOptions) (refs []string, err error) {
	if err := os.MkdirAll(downloads.ingestDir(), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(downloads.ingestDir(), "kubeadm-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "kubeadm")
	if err := os.Link(downloads.Path(kubeadm), program); err != nil {
		return nil, err
	}
	if err := os.Chmod(program, fs.FileMode(0o755)); err != nil {
		return nil, err
	}
	return kubeadmList(ctx, program, opts.KubernetesVersion, opts.Registry, opts.etcdImage())
}

// wantedImages says which image goes to whom, sorted by reference, then by
// architecture. An image that is wanted twice goes to whom either says.
func wantedImages(kubeadm, named []string, opts CreateOptions) ([]wantedImage, error) {
	nodes := nodeRoles()
	want := map[string][]v1alpha1.Role{}
	add := func(refs []string, roles func(string) []v1alpha1.Role) error {
		for _, ref := range refs {
			full, err := normalizeRef(ref)
			if err != nil {
				return err
			}
			if r := roles(ref); len(r) >= len(want[full]) {
				want[full] = r
			}
		}
		return nil
	}
	balancer, err := loadBalancerImages(opts.LoadBalancer)
	if err != nil {
		return nil, err
	}
	everyNode := func(string) []v1alpha1.Role { return nodes }
	more := slices.Concat(opts.ExtraImages, named)
	if opts.NetworkPlugin == v1alpha1.NetworkPluginFlannel {
		more = append(more, flannelImages()...)
	}
	if err := errors.Join(
		add(kubeadm, func(ref string) []v1alpha1.Role {
			if controlPlaneOnly(ref) {
				return nodes[:1]
			}
			return nodes
		}),
		add(balancer, func(string) []v1alpha1.Role { return nodes[:1] }),
		add(more, everyNode),
	); err != nil {
		return nil, err
	}
	var out []wantedImage
	for _, ref := range slices.Sorted(maps.Keys(want)) {
		for _, arch := range opts.Archs {
			out = append(out, wantedImage{ref: ref, arch: arch, roles: slices.Clone(want[ref]), pin: opts.pin(ref)})
		}
	}
	return out, nil
}

// pin is what an image must be, empty when that is not known, or when it comes from
// a mirror whose word is to be taken.
func (o CreateOptions) pin(ref string) digest.Digest {
	if o.TrustMirror {
		if o.Mirror != "" || o.Mirrors[domainOf(ref)] != "" {
			return ""
		}
	}
	return o.Digests[ref]
}

// LoadBalancerImage is the image of a type of load balancer; empty when it is not known.
func LoadBalancerImage(kind string) string {
	refs, err := loadBalancerImages(kind)
	if err != nil || len(refs) == 0 {
		return ""
	}
	return refs[0]
}

// loadBalancerImages are the images of a load balancer, which runs on control
// planes.
func loadBalancerImages(kind string) ([]string, error) {
	switch kind {
	case "":
		return nil, nil
	case v1alpha1.LoadBalancerHAProxy:
		return []string{HAProxyImage}, nil
	case v1alpha1.LoadBalancerNginx:
		return []string{NginxImage}, nil
	default:
		return nil, fmt.Errorf("the load balancer %.50q is not known; it may be %s or %s",
			kind, v1alpha1.LoadBalancerHAProxy, v1alpha1.LoadBalancerNginx)
	}
}

// controlPlaneOnly tells the images that only a control plane runs.
func controlPlaneOnly(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	switch path.Base(reference.Path(named)) {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler", etcdName:
		return true
	default:
		return false
	}
}
