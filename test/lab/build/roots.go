package build

import (
	"context"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// rootTars are the root file systems made by mmdebstrap.
type rootTars struct {
	// hosts are the lab hosts', one for each system that was asked for.
	hosts []hostRoot
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

// buildRoots makes the root file systems, one after the other.
func (b *builder) buildRoots(ctx context.Context) (rootTars, error) {
	var r rootTars
	var err error
	if r.hosts, err = b.buildHostRoots(ctx); err != nil {
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
		return mmdebstrap(ctx, log, rootSpec{suite: debianSuite, variant: variant, packages: packages, out: filepath.Join(dir, "root.tar")})
	})
	return filepath.Join(b.Cache.Build(key), "root.tar"), err
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
