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
	if err := checkVersions(c.Arch, map[string]string{"Kubernetes": c.KubernetesVersion, "etcd": c.EtcdVersion,
		"containerd": c.ContainerdVersion, "runc": c.RuncVersion, "CNI": c.CNIVersion}); err != nil {
		return err
	}
	paths := map[string]bool{}
	for _, b := range c.Binaries {
		if err := checkBinary(b); err != nil {
			return fmt.Errorf("binary %.100q: %w", b.Name, err)
		}
		if paths[b.Path] {
			return fmt.Errorf("%s is there twice", b.Path)
		}
		paths[b.Path] = true
	}
	refs := map[string]bool{}
	for _, i := range c.Images {
		if err := checkImage(i); err != nil {
			return fmt.Errorf("image %.200q: %w", i.Ref, err)
		}
		if refs[i.Ref] {
			return fmt.Errorf("image %s is there twice", i.Ref)
		}
		refs[i.Ref] = true
	}
	return checkSizes(c)
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
	return nil
}
