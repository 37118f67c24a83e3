package build

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed all:assets
var assets embed.FS

// asset reads an embedded file. The name is a constant of this package, so a
// missing one is a mistake in it, and the build fails with that error.
func asset(name string) ([]byte, error) { return assets.ReadFile("assets/" + name) }

// component is something built by Go from published modules.
type component struct {
	name, version string
	// build says how; before, when set, puts files into the folder first, made of those in
	// the folder sources of the assets.
	build   goBuild
	before  func(dir string) error
	sources string
}

// etcdComponent is etcd, etcdctl and etcdutl of one version. Upstream's go.mod
// files have replacements, so "go install" refuses them.
func etcdComponent(version string) component {
	b := goBuild{ldflags: stripped, names: map[string]string{}}
	for pkg, name := range map[string]string{"server": "etcd", "etcdctl": "etcdctl", "etcdutl": "etcdutl"} {
		path := "go.etcd.io/etcd/" + pkg + "/v3"
		b.names[path] = name
	}
	for _, pkg := range []string{"server", "etcdctl", "etcdutl"} {
		path := "go.etcd.io/etcd/" + pkg + "/v3"
		b.packages = append(b.packages, path)
		b.modules = append(b.modules, path+"@"+version)
	}
	return component{name: "etcd", version: version, build: b}
}

// installed is a component made by "go install" of some commands of one module.
func installed(name, version, ldflags, module string, commands ...string) component {
	b := goBuild{ldflags: ldflags}
	for _, c := range commands {
		b.install = append(b.install, fmt.Sprintf("%s/%s@%s", module, c, version))
	}
	if len(commands) == 0 {
		b.install = []string{module + "@" + version}
	}
	return component{name: name, version: version, build: b}
}

// runcComponent is a static runc with seccomp. Its go.mod has a replacement by
// a folder, which holds the same module as the published one.
func runcComponent() component {
	const path = "github.com/opencontainers/runc"
	return component{name: "runc", version: RuncVersion, build: goBuild{
		modules: []string{path + "@" + RuncVersion}, packages: []string{path}, names: map[string]string{path: "runc"},
		cgo: true, tags: "netgo,osusergo,seccomp",
		ldflags: `-s -w -X main.version=` + strings.TrimPrefix(RuncVersion, "v") + ` -linkmode external -extldflags "-static"`,
	}}
}

// flannelComponent is flanneld, static, with cgo for its udp backend. One of
// its cloud backends wants a module that is not to be had everywhere; a few
// lines of our own stand in for it.
func flannelComponent() component {
	const path, sdk = "github.com/flannel-io/flannel", "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/"
	return component{name: "flannel", version: FlannelVersion, before: writeFlannelStub, sources: "flannel-stub", build: goBuild{
		modules: []string{path + "@" + FlannelVersion}, packages: []string{path}, names: map[string]string{path: "flanneld"},
		cgo:     true,
		ldflags: `-s -w -X github.com/flannel-io/flannel/pkg/version.Version=` + FlannelVersion + ` -linkmode external -extldflags "-static"`,
		replace: map[string]string{sdk + "common": "./stub/common", sdk + "vpc": "./stub/vpc"},
	}}
}

// writeFlannelStub writes the stand-ins for the cloud SDK's modules.
func writeFlannelStub(dir string) error {
	const sdk = "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/"
	files := map[string]string{
		"common/c.go": "common.go.txt", "common/errors/e.go": "errors.go.txt", "vpc/v20170312/v.go": "v20170312.go.txt",
	}
	for target, name := range files {
		content, err := asset("flannel-stub/" + name)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, "stub", target), content, 0o644); err != nil {
			return err
		}
	}
	for _, m := range []string{"common", "vpc"} {
		content := fmt.Sprintf("module %s%s\n\ngo 1.24\n", sdk, m)
		if err := writeFile(filepath.Join(dir, "stub", m, "go.mod"), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// prometheusComponent is Prometheus without its web pages and without the ways of
// finding targets that the lab does not use: those would double the build. The
// modules of version 3.N.P are called v0.3NN.P, and one of them is to be replaced as
// upstream's go.mod does.
func prometheusComponent() component {
	const path = "github.com/prometheus/prometheus"
	major, minor, patch := 0, 0, 0
	// A version that is not of this form is a mistake in options.go; the build says so.
	_, _ = fmt.Sscanf(PrometheusVersion, "v%d.%d.%d", &major, &minor, &patch)
	return component{name: "prometheus", version: PrometheusVersion, build: goBuild{
		modules: []string{fmt.Sprintf("%s@v0.%d%02d.%d", path, major, minor, patch)}, packages: []string{path + "/cmd/prometheus"},
		names:   map[string]string{path + "/cmd/prometheus": "prometheus"},
		ldflags: stripped + " -X github.com/prometheus/common/version.Version=" + strings.TrimPrefix(PrometheusVersion, "v"),
		tags:    "remove_all_sd,enable_kubernetes_sd",
		replace: map[string]string{"cloud.google.com/go": "cloud.google.com/go@v0.123.0"},
	}}
}

// ownMain is a component whose main package is one of ours, mains/NAME of the assets: it
// has what a lab uses, where upstream's has the software kits of every cloud as well,
// which would double the build.
func ownMain(name, version, ldflags, module string) component {
	return component{name: name, version: version, sources: "mains/" + name, before: func(dir string) error {
		content, err := asset("mains/" + name + "/main.go.txt")
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(dir, "main.go"), content, 0o644)
	}, build: goBuild{modules: []string{module + "@" + version}, packages: []string{"."}, names: map[string]string{".": name}, ldflags: ldflags}}
}

// commonComponents are those that do not depend on any option.
func commonComponents() []component {
	const cni = "github.com/containernetworking/plugins"
	return []component{
		installed("containerd", ContainerdVersion,
			stripped+" -X github.com/containerd/containerd/v2/version.Version="+ContainerdVersion, "github.com/containerd/containerd/v2",
			"cmd/containerd", "cmd/ctr", "cmd/containerd-shim-runc-v2"),
		ownMain("coredns", CoreDNSVersion, stripped, "github.com/coredns/coredns"),
		ownMain("registry", RegistryVersion, stripped, "github.com/distribution/distribution/v3"),
		installed("cni-plugins", CNIPluginsVersion, stripped+" -X "+cni+"/pkg/utils/buildversion.BuildVersion="+CNIPluginsVersion, cni,
			"plugins/main/bridge", "plugins/main/loopback", "plugins/main/ptp", "plugins/main/host-device",
			"plugins/ipam/host-local", "plugins/meta/portmap", "plugins/meta/bandwidth", "plugins/meta/firewall"),
		// The plugin's last version in this module; later ones have a repository
		// of their own, which is not published as a module everywhere.
		installed("flannel-cni", "v0.9.1", stripped, cni, "plugins/meta/flannel"),
		runcComponent(),
		flannelComponent(),
		installed("metrics-server", MetricsServerVersion, stripped, "sigs.k8s.io/metrics-server", "cmd/metrics-server"),
		installed("node-exporter", NodeExporterVersion, stripped, "github.com/prometheus/node_exporter"),
		prometheusComponent(),
	}
}

// recipe is everything that the component's result depends on.
func (c component) recipe() (string, error) {
	r := c.build.recipe()
	if c.sources == "" {
		return r, nil
	}
	err := fs.WalkDir(assets, "assets/"+c.sources, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := assets.ReadFile(path)
		r += string(content)
		return err
	})
	return r, err
}

// writeFile writes a file and the folders above it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, mode)
}
