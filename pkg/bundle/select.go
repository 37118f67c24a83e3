package bundle

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// For cuts the contents to what a host with these roles needs.
func (c Contents) For(roles []v1alpha1.Role) Contents {
	out := c
	out.Binaries, out.Images = nil, nil
	for _, b := range c.Binaries {
		if overlap(b.For, roles) {
			out.Binaries = append(out.Binaries, b)
		}
	}
	for _, i := range c.Images {
		if overlap(i.For, roles) {
			out.Images = append(out.Images, i)
		}
	}
	return out
}

func overlap(a, b []v1alpha1.Role) bool {
	return slices.ContainsFunc(a, func(r v1alpha1.Role) bool { return slices.Contains(b, r) })
}

// Blobs lists every blob of the contents once: the binaries' first, then the
// images', in their order.
func (c Contents) Blobs() []Blob {
	var out []Blob
	seen := map[digest.Digest]bool{}
	add := func(b Blob) {
		if !seen[b.Digest] {
			seen[b.Digest] = true
			out = append(out, b)
		}
	}
	for _, b := range c.Binaries {
		add(b.Blob)
	}
	for _, i := range c.Images {
		for _, b := range i.Blobs {
			add(b)
		}
	}
	return out
}

// Check tells whether the bundle is for this Kubernetes version, architecture
// and network plugin. Empty arguments are not compared. The error says what to
// do.
func (c Contents) Check(kubernetesVersion, arch string, plugin v1alpha1.NetworkPlugin) error {
	if kubernetesVersion != "" && kubernetesVersion != c.KubernetesVersion {
		return fmt.Errorf("the bundle holds Kubernetes %s, but %s is wanted: make one with "+
			"`kubectl ha bundle create --kubernetes-version %s`, or set spec.kubernetesVersion to %s",
			c.KubernetesVersion, kubernetesVersion, kubernetesVersion, c.KubernetesVersion)
	}
	if arch != "" && arch != c.Arch {
		return fmt.Errorf("the bundle is for %s hosts, but a host is %s: make one with "+
			"`kubectl ha bundle create --kubernetes-version %s --arch %s`", c.Arch, arch, c.KubernetesVersion, arch)
	}
	if plugin != v1alpha1.NetworkPluginFlannel {
		return nil
	}
	for _, ref := range flannelImages() {
		if _, ok := c.Image(ref); !ok {
			return fmt.Errorf("the bundle lacks the network plugin's image %s: make it anew with "+
				"`kubectl ha bundle create --kubernetes-version %s`, or set spec.network.plugin to none", ref, c.KubernetesVersion)
		}
	}
	return nil
}

// Image finds an image by its full reference.
func (c Contents) Image(ref string) (Image, bool) {
	for _, i := range c.Images {
		if i.Ref == ref {
			return i, true
		}
	}
	return Image{}, false
}

// PauseImage is the reference of the sandbox image, empty when there is none.
func (c Contents) PauseImage() string {
	for _, i := range c.Images {
		if named, err := reference.ParseNormalizedNamed(i.Ref); err == nil && path.Base(reference.Path(named)) == "pause" {
			return i.Ref
		}
	}
	return ""
}

// Binary finds a binary by its name.
func (c Contents) Binary(name string) (Binary, bool) {
	for _, b := range c.Binaries {
		if b.Name == name {
			return b, true
		}
	}
	return Binary{}, false
}

// Size is the number of bytes of all blobs, each counted once.
func (c Contents) Size() int64 {
	var n int64
	for _, b := range c.Blobs() {
		n += b.Size
	}
	return n
}

func flannelImages() []string { return []string{FlannelImage, FlannelCNIPluginImage} }

// normalizeRef writes a reference as pods' images are looked up by containerd:
// with registry and tag, and without the tag when there is a digest.
func normalizeRef(ref string) (string, error) {
	named, err := reference.ParseDockerRef(strings.TrimSpace(ref))
	if err != nil {
		return "", fmt.Errorf("image %.200q: %w", ref, err)
	}
	return named.String(), nil
}
