package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	binDir        = "/usr/local/bin"
	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
	manifestsDir  = kubernetesDir + "/manifests"
	adminConf     = kubernetesDir + "/admin.conf"

	kubeletDir     = "/var/lib/kubelet"
	kubeletConfig  = kubeletDir + "/config.yaml"
	instanceConfig = kubeletDir + "/instance-config.yaml"
	kubeletFlags   = kubeletDir + "/kubeadm-flags.env"

	kubeletUnit = "kubelet.service"
)

// components are a control plane's static pods, in the order in which kubeadm
// exchanges them.
var components = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// etcdComponent is the static pod of kubeadm's own etcd, which is there with stacked etcd alone and has a
// version of its own.
const etcdComponent = "etcd"

// kubeletFiles are what kubeadm writes for a kubelet.
var kubeletFiles = []string{kubeletConfig, kubeletFlags, instanceConfig}

// kubeconfigs are what kubeadm may write anew on a control plane.
var kubeconfigs = []string{adminConf, kubernetesDir + "/super-admin.conf", kubernetesDir + "/kubelet.conf",
	kubernetesDir + "/controller-manager.conf", kubernetesDir + "/scheduler.conf"}

func manifest(component string) string { return manifestsDir + "/" + component + ".yaml" }

// releaseVersion is what a version must look like: it becomes a directory.
var releaseVersion = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

func checkVersion(version string) error {
	if !releaseVersion.MatchString(version) {
		return fmt.Errorf("%q is not a version of Kubernetes such as v1.36.3", version)
	}
	return nil
}

// podVersion reads the version of a component out of its manifest: the tag of its image.
func podVersion(raw []byte, component string) (string, error) {
	var pod struct {
		Kind string `json:"kind"`
		Spec struct {
			Containers []struct {
				Name  string `json:"name"`
				Image string `json:"image"`
			} `json:"containers"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(raw, &pod); err != nil || pod.Kind != "Pod" {
		return "", errors.New("it is not a pod's manifest")
	}
	for _, c := range pod.Spec.Containers {
		if c.Name != component {
			continue
		}
		image, _, _ := strings.Cut(c.Image, "@")
		// A port has a colon too, but no slash may come after a tag's.
		if i := strings.LastIndexByte(image, ':'); i >= 0 && !strings.Contains(image[i:], "/") {
			return image[i+1:], nil
		}
		return "", fmt.Errorf("its image %q has no tag", c.Image)
	}
	return "", fmt.Errorf("it has no container %s", component)
}

// podVersions reads the versions of all static pods. What is missing or can't be
// read is not among them.
func podVersions(h *host.Host) (map[string]string, error) {
	out := map[string]string{}
	for _, c := range components {
		raw, err := h.ReadFile(manifest(c))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if v, err := podVersion(raw, c); err == nil {
			out[c] = v
		}
	}
	return out, nil
}

// allAt tells whether all static pods are there, at a version.
func allAt(versions map[string]string, version string) bool {
	return !slices.ContainsFunc(components, func(c string) bool { return versions[c] != version })
}

// release is what lies on the host of a version.
type release struct {
	version string
	// sums maps the binaries' names to their SHA-256 (hex).
	sums map[string]string
}

func (r release) path(name string) string { return path.Join(ReleasesDir, r.version, name) }

// binaries are installed in this order, the kubelet last: with it the upgrade counts.
// kubectl need not be there on every node.
var binaries = []string{"kubeadm", "kubectl", "kubelet"}

// openRelease reads a release's manifest and compares every binary with it.
func openRelease(h *host.Host, version string) (release, error) {
	r := release{version: version}
	const hint = "the images and binaries of that version have to be brought to this host first: kubectl ha images push --programs"
	raw, err := h.ReadFile(r.path("manifest.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, host.WithHint(fmt.Errorf("the binaries of Kubernetes %s are not on this host", version), hint)
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r.sums); err != nil {
		return r, host.WithHint(fmt.Errorf("the list of the binaries of Kubernetes %s can't be read: %w", version, err), hint)
	}
	var wrong []error
	for _, name := range binaries {
		if err := r.check(h, name); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return r, host.WithHint(fmt.Errorf("the binaries of Kubernetes %s on this host are not whole: %w", version, errors.Join(wrong...)), hint)
	}
	return r, nil
}

func (r release) check(h *host.Host, name string) error {
	want, listed := r.sums[name]
	if !listed {
		if name == "kubectl" {
			return nil
		}
		return fmt.Errorf("%s is missing", name)
	}
	got, err := h.SHA256(r.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing", name)
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("%s has the SHA-256 %s instead of %s", name, got, want)
	}
	return nil
}

// installed tells whether a binary of the release is the one in place.
func (r release) installed(h *host.Host) (bool, error) {
	for _, name := range binaries {
		want, listed := r.sums[name]
		if !listed {
			continue
		}
		got, err := h.SHA256(path.Join(binDir, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && got != want {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// opener opens a file of the host's, for host.InstallFile.
func opener(h *host.Host, path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(h.Path(path)) }
}
