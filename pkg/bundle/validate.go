package bundle

import (
	"encoding/hex"
	"fmt"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// checkContents refuses contents that could do harm on a host (a path that is
// not one for binaries) or that contradict themselves.
func checkContents(c Contents) error {
	if err := checkArchs(c); err != nil {
		return err
	}
	versions := map[string]string{"Kubernetes": c.KubernetesVersion, "etcd": c.EtcdVersion,
		"containerd": c.ContainerdVersion, "runc": c.RuncVersion, "CNI": c.CNIVersion}
	if c.imagesOnly() {
		versions = nil
	}
	if err := checkVersions(c.Archs(), versions); err != nil {
		return err
	}
	paths := map[[2]string]bool{}
	for _, b := range c.Binaries {
		if err := checkBinary(b); err != nil {
			return fmt.Errorf("binary %.100q: %w", b.Name, err)
		}
		if err := c.checkArch(b.Arch); err != nil {
			return fmt.Errorf("binary %.100q: %w", b.Name, err)
		}
		key := [2]string{b.Path, b.Arch}
		if paths[key] {
			return fmt.Errorf("%s is there twice", b.Path)
		}
		paths[key] = true
	}
	refs := map[[2]string]bool{}
	for _, i := range c.Images {
		if err := checkImage(i); err != nil {
			return fmt.Errorf("image %.200q: %w", i.Ref, err)
		}
		if err := c.checkArch(i.Arch); err != nil {
			return fmt.Errorf("image %.200q: %w", i.Ref, err)
		}
		key := [2]string{i.Ref, i.Arch}
		if refs[key] {
			return fmt.Errorf("image %s is there twice", i.Ref)
		}
		refs[key] = true
	}
	for _, f := range c.Files {
		if err := checkFile(f); err != nil {
			return fmt.Errorf("file %.100q: %w", f.Name, err)
		}
	}
	if err := checkSizes(c); err != nil {
		return err
	}
	return checkSince(c)
}

// imagesOnly tells a bundle without any program, which has no versions.
func (c Contents) imagesOnly() bool {
	return len(c.Binaries) == 0 && c.KubernetesVersion == "" && c.EtcdVersion == "" &&
		c.ContainerdVersion == "" && c.RuncVersion == "" && c.CNIVersion == ""
}

// checkArchs: either one architecture, or at least two in Platforms.
func checkArchs(c Contents) error {
	if c.Arch != "" && len(c.Platforms) > 0 || c.Arch == "" && len(c.Platforms) == 1 {
		return fmt.Errorf("one architecture is in arch, several are in platforms, never both")
	}
	if !slices.IsSorted(c.Platforms) || len(slices.Compact(slices.Clone(c.Platforms))) != len(c.Platforms) {
		return fmt.Errorf("the platforms %.100q are not in order, or one is there twice", c.Platforms)
	}
	return nil
}

// checkArch checks an entry's own architecture.
func (c Contents) checkArch(own string) error {
	if c.Arch != "" && own != "" || c.Arch == "" && !slices.Contains(c.Platforms, own) {
		return fmt.Errorf("the architecture %.50q is not one of the bundle's", own)
	}
	return nil
}

// checkSince refuses a difference that leaves out what it does not list.
func checkSince(c Contents) error {
	if c.Since == nil {
		return nil
	}
	if err := checkDigest(c.Since.Bundle); err != nil {
		return err
	}
	left := c.Since.Blobs
	if len(left) == 0 || !slices.IsSorted(left) || len(c.LeftOut()) != len(left) {
		return fmt.Errorf("the %d blobs that are left out are not among its blobs, or not in order", len(left))
	}
	return nil
}

func checkBinary(b Binary) error {
	if !binaryName.MatchString(b.Name) {
		return fmt.Errorf("it is not a name for a binary")
	}
	dir := binDir
	if b.Component == ComponentCNI {
		dir = cniDir
	}
	if b.Path != path.Join(dir, b.Name) || b.Mode != 0o755 {
		return fmt.Errorf("%.200q with mode %o is not where or how a binary is installed", b.Path, b.Mode)
	}
	if raw, err := hex.DecodeString(b.SHA256); err != nil || len(raw) != 32 {
		return fmt.Errorf("%.100q is not a sha256 checksum", b.SHA256)
	}
	if b.Size <= 0 || b.Size > maxBinary || b.Blob.Size <= 0 || b.Blob.Size > maxBinary+maxBinary/8 {
		return fmt.Errorf("a size of %d bytes, %d compressed, can't be", b.Size, b.Blob.Size)
	}
	if err := checkDigest(b.Blob.Digest); err != nil {
		return err
	}
	return checkRoles(b.For)
}

func checkImage(i Image) error {
	if full, err := normalizeRef(i.Ref); err != nil || full != i.Ref {
		return fmt.Errorf("it is not a full reference")
	}
	if len(i.Blobs) < 2 || i.Blobs[0] != i.Manifest {
		return fmt.Errorf("its blobs do not begin with its manifest and config")
	}
	if err := checkImageBlobs(i); err != nil {
		return err
	}
	return checkRoles(i.For)
}

func checkRoles(roles []v1alpha1.Role) error {
	known := []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd, v1alpha1.RoleWorker}
	for _, r := range roles {
		if !slices.Contains(known, r) {
			return fmt.Errorf("the role %.50q is not known", r)
		}
	}
	if len(roles) == 0 {
		return fmt.Errorf("no role needs it")
	}
	return nil
}

// checkSizes refuses two sizes for one digest.
func checkSizes(c Contents) error {
	sizes := map[digest.Digest]int64{}
	check := func(b Blob) error {
		if n, ok := sizes[b.Digest]; ok && n != b.Size {
			return fmt.Errorf("blob %s has both %d and %d bytes", b.Digest, n, b.Size)
		}
		sizes[b.Digest] = b.Size
		return nil
	}
	for _, b := range c.Binaries {
		if err := check(b.Blob); err != nil {
			return err
		}
	}
	for _, i := range c.Images {
		for _, b := range i.Blobs {
			if err := check(b); err != nil {
				return err
			}
		}
	}
	for _, f := range c.Files {
		if err := check(f.Blob); err != nil {
			return err
		}
	}
	return nil
}
