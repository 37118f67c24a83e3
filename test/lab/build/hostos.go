package build

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// DefaultHostOS is what a host runs when nothing else is asked for, and the
// only one that is built without being asked for.
const DefaultHostOS = "debian-12"

// HostRepository is the name of the hosts' images in Docker's store, without the tag.
const HostRepository = "kubectl-ha-lab/host"

// suites are Debian's code names of the systems that a host can run. What they
// bring: systemd 247, 252, 257; containerd 1.4, 1.6, 1.7.
func suites() map[string]string {
	return map[string]string{"debian-11": "bullseye", "debian-12": "bookworm", "debian-13": "trixie"}
}

// HostOSes are the systems that a host can run, in order.
func HostOSes() []string { return slices.Sorted(maps.Keys(suites())) }

// HostKind is what tells one host's image from another's.
type HostKind struct {
	// OS is one of HostOSes.
	OS string
	// Containerd says that the distribution's own containerd is installed and runs.
	Containerd bool
	// NFTablesOnly says that there are no programs of iptables, only nft.
	NFTablesOnly bool
}

// Validate fails on a system that can't be made.
func (k HostKind) Validate() error {
	if suites()[k.OS] == "" {
		return fmt.Errorf("operating system %q: %s are possible", k.OS, strings.Join(HostOSes(), ", "))
	}
	return nil
}

// String names the kind for people.
func (k HostKind) String() string {
	words := []string{k.OS}
	if k.Containerd {
		words = append(words, "containerd")
	}
	if k.NFTablesOnly {
		words = append(words, "nftables only")
	}
	return strings.Join(words, ", ")
}

// packages are those of the host. Debian's ebtables needs iptables.
func (k HostKind) packages() []string {
	packages := hostPackages()
	if k.NFTablesOnly {
		packages = slices.DeleteFunc(packages, func(p string) bool { return p == "iptables" || p == "ebtables" })
	}
	if k.Containerd {
		packages = append(packages, "containerd")
	}
	return packages
}

// key is the cache key of the root file system, made of all that goes into it.
func (k HostKind) key() (string, error) {
	files, err := hostAssets()
	if err != nil {
		return "", err
	}
	recipe := k.packages()
	for name, content := range files {
		recipe = append(recipe, name+string(content))
	}
	// A map's order is random, the key must not be.
	slices.Sort(recipe)
	return cache.Key("host-root", suites()[k.OS], recipe...), nil
}

// Ref is the reference of the kind's image in Docker's store.
func (k HostKind) Ref() (string, error) {
	key, err := k.key()
	return HostRepository + ":" + key[strings.LastIndex(key, "-")+1:], err
}

// hostRoot is a host's root file system as a tar file.
type hostRoot struct{ ref, tar string }

// HostImages makes those images of hosts that Docker does not have yet.
func HostImages(ctx context.Context, o Options, kinds []HostKind) error {
	var missing []HostKind
	for _, k := range kinds {
		if err := k.Validate(); err != nil {
			return err
		}
		ref, err := k.Ref()
		if err != nil {
			return err
		}
		there, err := o.Docker.HasImage(ctx, ref)
		if err != nil {
			return err
		}
		if !there && !slices.Contains(missing, k) {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	b := &builder{Options: o, progress: &progress{out: o.Out, begin: time.Now()}}
	unlock, err := o.Cache.Lock(ctx, "build", func() { b.line("another build runs; waiting for it") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := b.installPackages(ctx); err != nil {
		return err
	}
	for _, k := range missing {
		root, err := b.buildHostRoot(ctx, k)
		if err != nil {
			return err
		}
		if err := b.importHostImage(ctx, root); err != nil {
			return err
		}
	}
	return nil
}

// buildHostRoots makes the root file systems of plain hosts, one after the other.
func (b *builder) buildHostRoots(ctx context.Context) ([]hostRoot, error) {
	var roots []hostRoot
	for _, os := range b.HostOS {
		root, err := b.buildHostRoot(ctx, HostKind{OS: os})
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// buildHostRoot makes a host's root file system, customized by a script.
func (b *builder) buildHostRoot(ctx context.Context, k HostKind) (hostRoot, error) {
	files, err := hostAssets()
	if err != nil {
		return hostRoot{}, err
	}
	key, err := k.key()
	if err != nil {
		return hostRoot{}, err
	}
	ref, err := k.Ref()
	if err != nil {
		return hostRoot{}, err
	}
	err = b.makeCached(key, "host-root ("+k.String()+")", func(dir string, log io.Writer) error {
		for name, content := range files {
			if err := writeFile(filepath.Join(dir, "hook", name), content, 0o755); err != nil {
				return err
			}
		}
		// mmdebstrap runs its hooks in a mount namespace, maybe as another user.
		hook := filepath.Join(dir, "hook", "customize.sh")
		return mmdebstrap(ctx, log, rootSpec{suite: suites()[k.OS], variant: "minbase", packages: k.packages(),
			out: filepath.Join(dir, "root.tar"), more: []string{"--customize-hook=" + hook}})
	})
	return hostRoot{ref: ref, tar: filepath.Join(b.Cache.Build(key), "root.tar")}, err
}

// importHostImage puts a host's root file system into Docker's store.
func (b *builder) importHostImage(ctx context.Context, root hostRoot) error {
	there, err := b.Docker.HasImage(ctx, root.ref)
	if err != nil {
		return err
	}
	if there {
		b.line("host image %s: cached", root.ref)
		return nil
	}
	return b.step("host image "+root.ref, func() error {
		_, err := b.Docker.Run(ctx, "import", "--change", `CMD ["/usr/local/sbin/lab-entry"]`,
			"--change", "ENV container=docker", root.tar, root.ref)
		return err
	})
}
