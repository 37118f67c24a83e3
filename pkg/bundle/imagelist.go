package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// kubeadmTimeout bounds a run of kubeadm that only prints.
const kubeadmTimeout = time.Minute

// wantedImage is an image and who needs it.
type wantedImage struct {
	ref   string
	roles []v1alpha1.Role
}

// kubeadmTable is kubeadm's list for a known minor version, without etcd.
func kubeadmTable(kubernetes, registry string) ([]string, error) {
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
	return []string{
		registry + "/kube-apiserver:" + kubernetes,
		registry + "/kube-controller-manager:" + kubernetes,
		registry + "/kube-scheduler:" + kubernetes,
		registry + "/kube-proxy:" + kubernetes,
		dns + ":" + tags.coreDNS,
		registry + "/pause:" + tags.pause,
	}, nil
}

// kubeadmList asks kubeadm itself, without etcd.
func kubeadmList(ctx context.Context, kubeadm, kubernetes, registry string) ([]string, error) {
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
		if path.Base(reference.Path(named)) != "etcd" {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("kubeadm config images list: it lists nothing")
	}
	return out, nil
}

// kubeadmImages asks the downloaded kubeadm when this machine can run it, and
// looks into the table otherwise. why tells why the table was used although
// kubeadm should have run.
func kubeadmImages(ctx context.Context, downloads *Store, kubeadm digest.Digest, opts CreateOptions) (refs []string, why error, err error) {
	if runtime.GOOS == "linux" && runtime.GOARCH == opts.Arch {
		refs, err = runKubeadm(ctx, downloads, kubeadm, opts)
		if err == nil || ctx.Err() != nil {
			return refs, nil, err
		}
		why = err
	}
	refs, err = kubeadmTable(opts.KubernetesVersion, opts.Registry)
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
	return kubeadmList(ctx, program, opts.KubernetesVersion, opts.Registry)
}

// wantedImages says which image goes to whom, sorted by reference.
func wantedImages(kubeadm []string, opts CreateOptions) ([]wantedImage, error) {
	nodes := []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}
	want := map[string][]v1alpha1.Role{}
	add := func(ref string, roles []v1alpha1.Role) error {
		full, err := normalizeRef(ref)
		if err == nil && len(roles) >= len(want[full]) {
			want[full] = roles
		}
		return err
	}
	for _, ref := range kubeadm {
		roles := nodes
		if controlPlaneOnly(ref) {
			roles = nodes[:1]
		}
		if err := add(ref, roles); err != nil {
			return nil, err
		}
	}
	more := slices.Clone(opts.ExtraImages)
	if opts.NetworkPlugin == v1alpha1.NetworkPluginFlannel {
		more = append(more, flannelImages()...)
	}
	for _, ref := range more {
		if err := add(ref, nodes); err != nil {
			return nil, err
		}
	}
	var out []wantedImage
	for ref, roles := range want {
		out = append(out, wantedImage{ref: ref, roles: slices.Clone(roles)})
	}
	slices.SortFunc(out, func(a, b wantedImage) int { return strings.Compare(a.ref, b.ref) })
	return out, nil
}

// controlPlaneOnly tells the images that only a control plane runs.
func controlPlaneOnly(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	switch path.Base(reference.Path(named)) {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler":
		return true
	default:
		return false
	}
}
