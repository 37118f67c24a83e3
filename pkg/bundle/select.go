package bundle

import (
	"cmp"
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
	// Files are for the workstation.
	out.Binaries, out.Images, out.Files, out.Addons = nil, nil, nil, nil
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

// Archs are the architectures that it is for, in Go's terms.
func (c Contents) Archs() []string {
	if c.Arch != "" {
		return []string{c.Arch}
	}
	return slices.Clone(c.Platforms)
}

// ForArch cuts the contents to one architecture: they are then as if they were
// made for it alone. Nothing is left for one that they are not for; Check tells.
func (c Contents) ForArch(arch string) Contents {
	if c.Arch == arch {
		return c
	}
	out := c
	out.Arch, out.Platforms, out.Binaries, out.Images = arch, nil, nil, nil
	if c.Arch != "" {
		return out
	}
	for _, b := range c.Binaries {
		if b.Arch == arch {
			b.Arch = ""
			out.Binaries = append(out.Binaries, b)
		}
	}
	for _, i := range c.Images {
		if i.Arch == arch {
			i.Arch = ""
			out.Images = append(out.Images, i)
		}
	}
	return out
}

// archOf is an entry's architecture, whose own is empty in a bundle for one.
func (c Contents) archOf(own string) string { return cmp.Or(own, c.Arch) }

// LeftOut are the blobs that are not in the bundle since they are in the one
// that it is the difference to.
func (c Contents) LeftOut() []Blob {
	if c.Since == nil {
		return nil
	}
	left := map[digest.Digest]bool{}
	for _, d := range c.Since.Blobs {
		left[d] = true
	}
	return slices.DeleteFunc(c.Blobs(), func(b Blob) bool { return !left[b.Digest] })
}

// SizeOf is the number of bytes of blobs.
func SizeOf(blobs []Blob) (n int64) {
	for _, b := range blobs {
		n += b.Size
	}
	return n
}

func overlap(a, b []v1alpha1.Role) bool {
	return slices.ContainsFunc(a, func(r v1alpha1.Role) bool { return slices.Contains(b, r) })
}

// Blobs lists every blob of the contents once: the binaries' first, then the
// images', then the files', in their order.
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
	for _, f := range c.Files {
		add(f.Blob)
	}
	return out
}

// Check tells whether the bundle is for this Kubernetes version, architecture
// and network plugin, and whole. Empty arguments are not compared. The error
// says what to do.
func (c Contents) Check(kubernetesVersion, arch string, plugin v1alpha1.NetworkPlugin) error {
	if kubernetesVersion != "" && c.KubernetesVersion == "" {
		return fmt.Errorf("the bundle holds images only, but Kubernetes %s is wanted: make one with "+
			"`kubectl ha bundle create --kubernetes-version %s`", kubernetesVersion, kubernetesVersion)
	}
	if kubernetesVersion != "" && kubernetesVersion != c.KubernetesVersion {
		return fmt.Errorf("the bundle holds Kubernetes %s, but %s is wanted: make one with "+
			"`kubectl ha bundle create --kubernetes-version %s`, or set spec.kubernetesVersion to %s",
			c.KubernetesVersion, kubernetesVersion, kubernetesVersion, c.KubernetesVersion)
	}
	if archs := c.Archs(); arch != "" && !slices.Contains(archs, arch) {
		return fmt.Errorf("the bundle is for %s hosts, but a host is %s: make one with `kubectl ha bundle create%s --arch %s`",
			strings.Join(archs, " and "), arch, c.versionFlag(), arch)
	}
	if c.Since != nil {
		return fmt.Errorf("the bundle is only the difference to the bundle %s, which has %d of its blobs: "+
			"`kubectl ha images push` takes both together, with --base and that one's file; all else needs a whole one, "+
			"made with `kubectl ha bundle create%s` without --since", c.Since.Bundle, len(c.Since.Blobs), c.versionFlag())
	}
	if plugin != v1alpha1.NetworkPluginFlannel {
		return nil
	}
	for _, ref := range flannelImages() {
		if _, ok := c.Image(ref); !ok {
			return fmt.Errorf("the bundle lacks the network plugin's image %s: make it anew with "+
				"`kubectl ha bundle create%s`, or set spec.network.plugin to none", ref, c.versionFlag())
		}
	}
	return nil
}

// versionFlag is how a bundle of the same version is asked for.
func (c Contents) versionFlag() string {
	if c.KubernetesVersion == "" {
		return ""
	}
	return " --kubernetes-version " + c.KubernetesVersion
}

// Image finds an image by its full reference; in a bundle for several
// architectures the first one's, see ForArch.
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

// Binary finds a binary by its name; in a bundle for several architectures the
// first one's, see ForArch.
func (c Contents) Binary(name string) (Binary, bool) {
	for _, b := range c.Binaries {
		if b.Name == name {
			return b, true
		}
	}
	return Binary{}, false
}

// Size is the number of bytes of all blobs, each counted once.
func (c Contents) Size() int64 { return SizeOf(c.Blobs()) }

// CheckEtcd tells whether the bundle has what a cluster's etcd is made of: programs, or with stacked etcd
// kubeadm's image. The error says what to do.
func (c Contents) CheckEtcd(cluster *v1alpha1.Cluster) error {
	version, image := "", false
	for _, i := range c.Images {
		if version, image = etcdVersionOf(i.Ref); image {
			break
		}
	}
	_, programs := c.Binary(etcdName)
	want := cluster.Spec.Etcd.Version
	switch {
	case cluster.Stacked() && !image:
		return fmt.Errorf("the bundle has no etcd image, and spec.etcd.topology is %s: make it anew with `kubectl ha bundle create -f FILE`, or with --stacked-etcd", v1alpha1.EtcdStacked)
	case cluster.Stacked() && want != "" && want != version:
		return fmt.Errorf("the bundle has the image of etcd %s, and spec.etcd.version is %s: make it anew with `kubectl ha bundle create -f FILE`", version, want)
	case !cluster.Stacked() && !programs:
		return fmt.Errorf("the bundle has no etcd programs, and spec.etcd.topology is %s: make it anew with `kubectl ha bundle create -f FILE`, or without --stacked-etcd", v1alpha1.EtcdExternal)
	}
	return nil
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
