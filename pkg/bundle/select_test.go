package bundle

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

func testContents() Contents {
	blob := func(s string) Blob { return Blob{Digest: digest.FromString(s), Size: int64(len(s))} }
	node := []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}
	return Contents{KubernetesVersion: "v1.36.3", Arch: "amd64",
		Binaries: []Binary{
			{Name: "etcd", Blob: blob("etcd"), For: []v1alpha1.Role{v1alpha1.RoleEtcd}},
			{Name: "kubelet", Blob: blob("kubelet"), For: node},
		},
		Images: []Image{
			{Ref: "registry.k8s.io/kube-apiserver:v1.36.3", Blobs: []Blob{blob("m1"), blob("c1"), blob("base"), blob("apiserver")}, For: node[:1]},
			{Ref: "registry.k8s.io/pause:3.10.2", Blobs: []Blob{blob("m2"), blob("c2"), blob("base")}, For: node},
		}}
}

func TestContentsFor(t *testing.T) {
	for name, c := range map[string]struct {
		roles    []v1alpha1.Role
		binaries []string
		images   int
		blobs    int
	}{
		"etcd":          {[]v1alpha1.Role{v1alpha1.RoleEtcd}, []string{"etcd"}, 0, 1},
		"worker":        {[]v1alpha1.Role{v1alpha1.RoleWorker}, []string{"kubelet"}, 1, 4},
		"control plane": {[]v1alpha1.Role{v1alpha1.RoleControlPlane}, []string{"kubelet"}, 2, 7},
		"both":          {[]v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd}, []string{"etcd", "kubelet"}, 2, 8},
		"none":          {nil, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := testContents().For(c.roles)
			var names []string
			for _, b := range got.Binaries {
				names = append(names, b.Name)
			}
			if !slices.Equal(names, c.binaries) || len(got.Images) != c.images || len(got.Blobs()) != c.blobs {
				t.Errorf("binaries %v, %d images, %d blobs", names, len(got.Images), len(got.Blobs()))
			}
			if got.KubernetesVersion != "v1.36.3" {
				t.Error("the version is lost")
			}
		})
	}
}

func TestContentsCheck(t *testing.T) {
	for name, c := range map[string]struct {
		version, arch string
		plugin        v1alpha1.NetworkPlugin
		want          []string
	}{
		"right":         {"v1.36.3", "amd64", v1alpha1.NetworkPluginNone, nil},
		"anything":      {"", "", "", nil},
		"other version": {"v1.35.4", "amd64", "", []string{"v1.36.3", "v1.35.4", "bundle create"}},
		"other arch":    {"v1.36.3", "arm64", "", []string{"amd64", "arm64", "--arch"}},
		"no flannel":    {"v1.36.3", "amd64", v1alpha1.NetworkPluginFlannel, []string{FlannelImage, "bundle create"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := testContents().Check(c.version, c.arch, c.plugin)
			if (err != nil) != (c.want != nil) {
				t.Fatalf("error %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
		})
	}
}

func TestParseSum(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		text, file, want string
	}{
		"bare":           {sum + "\n", "kubelet", sum},
		"bare, no line":  {sum, "kubelet", sum},
		"upper case":     {strings.ToUpper(sum), "kubelet", sum},
		"named":          {sum + "  runc.amd64\n", "runc.amd64", sum},
		"binary mode":    {sum + " *runc.amd64\n", "runc.amd64", sum},
		"among others":   {strings.Repeat("0", 64) + "  a\n" + sum + "  ./b\n", "b", sum},
		"other name":     {sum + "  runc.arm64\n", "runc.amd64", ""},
		"two bare lines": {sum + "\n" + sum + "\n", "kubelet", ""},
		"empty":          {"", "kubelet", ""},
		"short":          {sum[2:], "kubelet", ""},
		"no hex":         {strings.Repeat("zz", 32), "kubelet", ""},
		"html":           {"<html>", "kubelet", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseSum(c.text, c.file)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// The URLs are upstream's: a change here is a change of what is downloaded.
func TestCatalogue(t *testing.T) {
	var got []string
	for _, d := range catalogue("v1.36.3", "v3.6.16", "arm64") {
		got = append(got, d.url+" "+strings.TrimPrefix(d.sums, d.url))
	}
	want := []string{
		"https://dl.k8s.io/v1.36.3/bin/linux/arm64/kubeadm .sha256",
		"https://dl.k8s.io/v1.36.3/bin/linux/arm64/kubectl .sha256",
		"https://dl.k8s.io/v1.36.3/bin/linux/arm64/kubelet .sha256",
		"https://github.com/etcd-io/etcd/releases/download/v3.6.16/etcd-v3.6.16-linux-arm64.tar.gz https://github.com/etcd-io/etcd/releases/download/v3.6.16/SHA256SUMS",
		"https://github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-arm64.tar.gz .sha256sum",
		"https://github.com/opencontainers/runc/releases/download/v1.3.3/runc.arm64 https://github.com/opencontainers/runc/releases/download/v1.3.3/runc.sha256sum",
		"https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz .sha256",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	for _, c := range [][3]string{
		{"https://dl.k8s.io/x/y", "", "https://dl.k8s.io/x/y"},
		{"https://dl.k8s.io/x/y", "http://mirror:80/", "http://mirror:80/dl.k8s.io/x/y"},
		{"https://dl.k8s.io/x", "https://m/base", "https://m/base/dl.k8s.io/x"},
	} {
		if got, err := mirrored(c[0], c[1]); got != c[2] || err != nil {
			t.Errorf("%s by %s is %s, %v", c[0], c[1], got, err)
		}
	}
}

func TestPullLocation(t *testing.T) {
	for name, c := range map[string]struct {
		host    string
		mirrors map[string]string
		ref     string
		want    string
	}{
		"upstream":  {"", nil, "registry.k8s.io/pause:3", "registry.k8s.io/pause:3"},
		"short":     {"", nil, "nginx:1", "docker.io/library/nginx:1"},
		"mirror":    {"m:5000", nil, "registry.k8s.io/pause:3", "m:5000/registry.k8s.io/pause:3"},
		"docker":    {"m", nil, "nginx:1", "m/docker.io/library/nginx:1"},
		"by digest": {"m", nil, "a.io/b@" + string(digest.FromString("")), "m/a.io/b@" + string(digest.FromString(""))},
		"own":       {"m", map[string]string{"quay.io": "q:1/x/"}, "quay.io/a/b:1", "q:1/x/a/b:1"},
		"not own":   {"m", map[string]string{"quay.io": "q:1/x"}, "ghcr.io/a/b:1", "m/ghcr.io/a/b:1"},
		"plain":     {"m", map[string]string{"quay.io": "http://q:1/x"}, "quay.io/a/b:1", "q:1/x/a/b:1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &puller{host: c.host, mirrors: c.mirrors}
			got, plain, err := p.location(c.ref)
			if got != c.want || plain != (name == "plain") || err != nil {
				t.Errorf("%s, without TLS %t, %v, want %s", got, plain, err, c.want)
			}
		})
	}
}

func TestWantedImages(t *testing.T) {
	table, err := kubeadmTable("v1.34.9", KubernetesRegistry, etcdImage{})
	must(t, err)
	got, err := wantedImages(table, nil, CreateOptions{Archs: []string{"amd64"}, ExtraImages: []string{"nginx", "docker.io/library/nginx:latest",
		"registry.k8s.io/kube-apiserver:v1.34.9"}, NetworkPlugin: v1alpha1.NetworkPluginFlannel})
	must(t, err)
	var lines []string
	for _, w := range got {
		lines = append(lines, w.ref+" "+string(w.roles[len(w.roles)-1]))
	}
	want := []string{"docker.io/library/nginx:latest worker", FlannelCNIPluginImage + " worker", FlannelImage + " worker",
		"registry.k8s.io/coredns/coredns:v1.12.1 worker",
		"registry.k8s.io/kube-apiserver:v1.34.9 worker", // asked for as an extra image: for all
		"registry.k8s.io/kube-controller-manager:v1.34.9 control-plane",
		"registry.k8s.io/kube-proxy:v1.34.9 worker", "registry.k8s.io/kube-scheduler:v1.34.9 control-plane",
		"registry.k8s.io/pause:3.10.1 worker"}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if _, err := kubeadmTable("v1.99.0", KubernetesRegistry, etcdImage{}); err == nil || !strings.Contains(err.Error(), "v1.99.0") {
		t.Errorf("an unknown minor: %v", err)
	}
}

func TestKubeadmListFails(t *testing.T) {
	if _, err := kubeadmList(t.Context(), "testdata/none", "v1.36.3", KubernetesRegistry, etcdImage{}); err == nil {
		t.Error("a kubeadm that is not there listed images")
	}
}
