package build

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// rootTars are the root file systems made by mmdebstrap.
type rootTars struct {
	// host is the lab host's, hostKey its cache key.
	host, hostKey string
	// base is the small Debian under images that need one, proxies the same
	// with haproxy and nginx.
	base, proxies string
}

// hostPackages is what a bare host has: a server's usual tools and keepalived,
// nothing of Kubernetes and no container runtime.
func hostPackages() []string {
	return strings.Fields("systemd systemd-sysv dbus openssh-server sudo iproute2 iptables nftables ebtables conntrack socat " +
		"ethtool kmod procps iputils-ping keepalived util-linux mount curl ca-certificates jq tar gzip less")
}

// basePackages is what kube-proxy and flannel call.
func basePackages() []string { return strings.Fields("iptables nftables conntrack kmod iproute2") }

// proxyPackages are the load balancers; nginx balances TCP with its stream module.
func proxyPackages() []string { return strings.Fields("haproxy nginx-light libnginx-mod-stream") }

// buildRoots makes the three root file systems, one after the other.
func (b *builder) buildRoots(ctx context.Context) (rootTars, error) {
	var r rootTars
	var err error
	if r.hostKey, r.host, err = b.buildHostRoot(ctx); err != nil {
		return r, err
	}
	if r.base, err = b.buildRoot(ctx, "base-root", "essential", basePackages()); err != nil {
		return r, err
	}
	r.proxies, err = b.buildRoot(ctx, "proxies-root", "essential", append(basePackages(), proxyPackages()...))
	return r, err
}

// buildRoot makes a root file system as a tar file.
func (b *builder) buildRoot(ctx context.Context, name, variant string, packages []string) (string, error) {
	key := cache.Key(name, debianSuite, append([]string{variant}, packages...)...)
	err := b.makeCached(key, name+" (Debian "+debianSuite+")", func(dir string, log io.Writer) error {
		return mmdebstrap(ctx, log, variant, packages, filepath.Join(dir, "root.tar"))
	})
	return filepath.Join(b.Cache.Build(key), "root.tar"), err
}

// buildHostRoot makes the hosts' root file system, customized by a script.
func (b *builder) buildHostRoot(ctx context.Context) (key, tar string, err error) {
	files, err := hostAssets()
	if err != nil {
		return "", "", err
	}
	recipe := hostPackages()
	for name, content := range files {
		recipe = append(recipe, name+string(content))
	}
	// A map's order is random, the key must not be.
	slices.Sort(recipe)
	key = cache.Key("host-root", debianSuite, recipe...)
	err = b.makeCached(key, "host-root (Debian "+debianSuite+")", func(dir string, log io.Writer) error {
		for name, content := range files {
			if err := writeFile(filepath.Join(dir, "hook", name), content, 0o755); err != nil {
				return err
			}
		}
		// mmdebstrap runs its hooks in a mount namespace, maybe as another user.
		hook := filepath.Join(dir, "hook", "customize.sh")
		return mmdebstrap(ctx, log, "minbase", hostPackages(), filepath.Join(dir, "root.tar"), "--customize-hook="+hook)
	})
	return key, filepath.Join(b.Cache.Build(key), "root.tar"), err
}

// hostAssets are the files that make a Debian a lab host.
func hostAssets() (map[string][]byte, error) {
	entries, err := fs.ReadDir(assets, "assets/host")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = asset("host/" + e.Name()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// mmdebstrap makes one root file system as a tar file. Documentation stays out.
func mmdebstrap(ctx context.Context, log io.Writer, variant string, packages []string, out string, more ...string) error {
	argv := []string{"mmdebstrap", "--variant=" + variant, "--include=" + strings.Join(packages, ","), "--skip=output/mknod"}
	for _, p := range []string{"doc", "man", "info", "locale", "lintian", "bug"} {
		argv = append(argv, "--dpkgopt=path-exclude=/usr/share/"+p+"/*")
	}
	argv = append(append(argv, more...), debianSuite, out)
	if _, err := run.Output(ctx, run.Cmd{Argv: argv, Log: log, Env: []string{"TMPDIR=" + os.TempDir()}}); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	return nil
}

// HostRepository is the name of the hosts' images in Docker's store, without the tag.
const HostRepository = "kubectl-ha-lab/host"

// HostImage is the reference of the hosts' image in Docker's store, or "" when
// it was never made.
func HostImage(c cache.Dir) (string, error) {
	content, err := os.ReadFile(filepath.Join(c.Marks(), "host-image"))
	if os.IsNotExist(err) {
		return "", nil
	}
	return strings.TrimSpace(string(content)), err
}

// importHostImage puts the hosts' root file system into Docker's store.
func (b *builder) importHostImage(ctx context.Context, roots rootTars) error {
	ref := HostRepository + ":" + roots.hostKey[strings.LastIndex(roots.hostKey, "-")+1:]
	there, err := b.Docker.HasImage(ctx, ref)
	if err != nil {
		return err
	}
	if there {
		b.line("host image: cached")
	} else {
		err = b.step("host image", func() error {
			_, err := b.Docker.Run(ctx, "import", "--change", `CMD ["/usr/local/sbin/lab-entry"]`,
				"--change", "ENV container=docker", roots.host, ref)
			return err
		})
		if err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(b.Cache.Marks(), "host-image"), []byte(ref+"\n"), 0o644)
}
