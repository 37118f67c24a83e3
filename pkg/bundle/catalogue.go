package bundle

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Where binaries are installed on a host.
const (
	binDir = "/usr/local/bin"
	cniDir = "/opt/cni/bin"
)

// The names in Binary.Component.
const (
	ComponentKubernetes = "kubernetes"
	ComponentEtcd       = "etcd"
	ComponentContainerd = "containerd"
	ComponentRunc       = "runc"
	ComponentCNI        = "cni"
)

// download is one file that upstream publishes, with what is in it.
type download struct {
	// name is for people and for the step's ID.
	name      string
	arch      string
	component string
	version   string
	// url is upstream's; sums is the URL of the file with its checksum.
	url  string
	sums string
	// digest is what the file must be, whatever sums says; empty where only that
	// is known.
	digest digest.Digest
	// members are the paths in a tar.gz to take, nil for a plain binary. One
	// member "*" takes every executable file.
	members []string
	dir     string
	roles   []v1alpha1.Role
}

// file is the last element of the URL: the name under which a list of
// checksums knows the file.
func (d download) file() string { return d.url[strings.LastIndex(d.url, "/")+1:] }

// catalogue lists the downloads for one set of versions, in a stable order.
func catalogue(kubernetes, etcd, arch string) []download {
	nodes := nodeRoles()
	var out []download
	for _, name := range []string{"kubeadm", "kubectl", "kubelet"} {
		u := fmt.Sprintf("https://dl.k8s.io/%s/bin/linux/%s/%s", kubernetes, arch, name)
		out = append(out, download{
			name: name, component: ComponentKubernetes, version: kubernetes,
			url: u, sums: u + ".sha256", dir: binDir, roles: nodes,
		})
	}
	etcdBase := "https://github.com/etcd-io/etcd/releases/download/" + etcd
	etcdDir := fmt.Sprintf("etcd-%s-linux-%s", etcd, arch)
	containerd := fmt.Sprintf("https://github.com/containerd/containerd/releases/download/%s/containerd-%s-linux-%s.tar.gz",
		ContainerdVersion, strings.TrimPrefix(ContainerdVersion, "v"), arch)
	runcBase := "https://github.com/opencontainers/runc/releases/download/" + RuncVersion
	cni := fmt.Sprintf("https://github.com/containernetworking/plugins/releases/download/%s/cni-plugins-linux-%s-%s.tgz",
		CNIVersion, arch, CNIVersion)
	out = append(out,
		download{
			name: "etcd", component: ComponentEtcd, version: etcd,
			url: etcdBase + "/" + etcdDir + ".tar.gz", sums: etcdBase + "/SHA256SUMS",
			members: []string{etcdDir + "/etcd", etcdDir + "/etcdctl", etcdDir + "/etcdutl"},
			dir:     binDir, roles: []v1alpha1.Role{v1alpha1.RoleEtcd},
		},
		download{
			name: "containerd", component: ComponentContainerd, version: ContainerdVersion,
			url: containerd, sums: containerd + ".sha256sum",
			members: []string{"bin/containerd", "bin/containerd-shim-runc-v2", "bin/ctr"},
			dir:     binDir, roles: nodes,
		},
		download{
			name: "runc", component: ComponentRunc, version: RuncVersion,
			url: runcBase + "/runc." + arch, sums: runcBase + "/runc.sha256sum",
			dir: binDir, roles: nodes,
		},
		download{
			name: "cni", component: ComponentCNI, version: CNIVersion,
			url: cni, sums: cni + ".sha256", members: []string{"*"},
			dir: cniDir, roles: nodes,
		},
	)
	for n := range out {
		out[n].arch = arch
	}
	return out
}

// nodeRoles are the roles of hosts that run pods.
func nodeRoles() []v1alpha1.Role {
	return []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}
}

// mirrored turns an upstream URL into the mirror's: M/<upstream host>/<path>.
// Without a mirror it is the URL itself.
func mirrored(upstream, mirror string) (string, error) {
	if mirror == "" {
		return upstream, nil
	}
	u, err := url.Parse(upstream)
	if err != nil {
		return "", fmt.Errorf("upstream's URL %q: %w", upstream, err)
	}
	return strings.TrimRight(mirror, "/") + "/" + u.Host + u.Path, nil
}

// mirrorHost splits a mirror's base URL into host[:port] for images, and
// whether it is to be spoken to without TLS.
func mirrorHost(mirror string) (host string, plain bool, err error) {
	if mirror == "" {
		return "", false, nil
	}
	u, err := url.Parse(mirror)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", false, fmt.Errorf("mirror %q is not a URL such as https://mirror.example.com", mirror)
	}
	if u.User != nil {
		return "", false, fmt.Errorf("mirror %s: credentials do not belong into its URL; use an auth file", u.Redacted())
	}
	return u.Host, u.Scheme == "http", nil
}
