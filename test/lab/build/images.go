package build

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// image is an image to be made and pushed.
type image struct {
	// ref is upstream's name and tag.
	ref string
	// base are layers to start from, files are the programs on top of them.
	base  []string
	files []packed
	// entrypoint and cmd are as in an image's configuration.
	entrypoint, cmd []string
}

// allImages are the images of all versions, under upstream's names.
func (b *builder) allImages(ctx context.Context, l debianLayers) ([]image, error) {
	flanneld := filepath.Join(b.binaries("flannel", FlannelVersion), "flanneld")
	plugin := filepath.Join(b.binaries("flannel-cni", "v0.9.1"), "flannel")
	proxies := []string{l.base, l.proxies}
	nginx, err := b.imageAsset("nginx")
	if err != nil {
		return nil, err
	}
	metrics := filepath.Join(b.binaries("metrics-server", MetricsServerVersion), "metrics-server")
	exporter := filepath.Join(b.binaries("node-exporter", NodeExporterVersion), "node_exporter")
	prometheus := filepath.Join(b.binaries("prometheus", PrometheusVersion), "prometheus")
	images := []image{
		{ref: "registry.k8s.io/metrics-server/metrics-server:" + MetricsServerVersion,
			files: []packed{{from: metrics, to: "metrics-server"}}, entrypoint: []string{"/metrics-server"}},
		{ref: "quay.io/prometheus/node-exporter:" + NodeExporterVersion,
			files: []packed{{from: exporter, to: "bin/node_exporter"}}, entrypoint: []string{"/bin/node_exporter"}},
		{ref: "quay.io/prometheus/prometheus:" + PrometheusVersion,
			files: []packed{{from: prometheus, to: "bin/prometheus"}}, entrypoint: []string{"/bin/prometheus"}},
		{ref: "ghcr.io/flannel-io/flannel:" + FlannelVersion, base: []string{l.base},
			files: []packed{{from: flanneld, to: "opt/bin/flanneld"}}, entrypoint: []string{"/opt/bin/flanneld"}},
		{ref: "ghcr.io/flannel-io/flannel-cni-plugin:" + FlannelCNIPluginVersion, base: []string{l.base},
			files: []packed{{from: plugin, to: "flannel"}}},
		{ref: "docker.io/library/haproxy:" + HAProxyTag, base: proxies,
			cmd: []string{"haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"}},
		// As upstream's, it logs to its standard streams.
		{ref: "docker.io/library/nginx:" + NginxTag, base: proxies, cmd: []string{"nginx", "-g", "daemon off;"}, files: []packed{
			{from: nginx, to: "usr/local/sbin/nginx"},
			{link: "/dev/stdout", to: "var/log/nginx/access.log"}, {link: "/dev/stderr", to: "var/log/nginx/error.log"},
		}},
	}
	seen := map[string]bool{}
	for _, v := range b.Kubernetes {
		refs, err := b.kubeadmImages(ctx, v)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			img, err := b.kubernetesImage(ctx, v, ref, l)
			if err != nil {
				return nil, err
			}
			images = append(images, img)
		}
	}
	// Those that a Cluster file names for stacked etcd.
	for _, v := range b.Etcd {
		tag := strings.TrimPrefix(v, "v") + "-0"
		if ref := "registry.k8s.io/etcd:" + tag; !seen[ref] {
			images = append(images, b.etcdImage(ref, tag))
		}
	}
	return images, nil
}

// imageAsset writes an embedded file that goes into an image and says where.
func (b *builder) imageAsset(name string) (string, error) {
	content, err := asset("images/" + name)
	if err != nil {
		return "", err
	}
	key := cache.Key("image-asset-"+name, "", string(content))
	err = b.Cache.Make(key, func(dir string) error { return writeFile(filepath.Join(dir, name), content, 0o755) })
	return filepath.Join(b.Cache.Build(key), name), err
}

// kubeadmImages are the images that this version's kubeadm wants.
func (b *builder) kubeadmImages(ctx context.Context, version string) ([]string, error) {
	kubeadm := filepath.Join(b.binaries("kubernetes", version), "kubeadm")
	out, err := run.Output(ctx, run.Cmd{Argv: []string{kubeadm, "config", "images", "list", "--kubernetes-version", version}})
	if err != nil {
		return nil, err
	}
	return strings.Fields(out), nil
}

// kubernetesImage says what is in one of the images that kubeadm wants.
func (b *builder) kubernetesImage(ctx context.Context, version, ref string, l debianLayers) (image, error) {
	repository, tag, ok := strings.Cut(ref, ":")
	if !ok {
		return image{}, fmt.Errorf("kubeadm %s wants image %q, which has no tag", version, ref)
	}
	name := path.Base(repository)
	programs := b.binaries("kubernetes", version)
	onPath := func(program string) packed {
		return packed{from: filepath.Join(programs, program), to: "usr/local/bin/" + program}
	}
	switch name {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler":
		return image{ref: ref, files: []packed{onPath(name)}, entrypoint: []string{"/usr/local/bin/" + name}}, nil
	case "kube-proxy":
		return image{ref: ref, base: []string{l.base}, files: []packed{onPath(name)}}, nil
	case "coredns":
		program := filepath.Join(b.binaries("coredns", CoreDNSVersion), "coredns")
		return image{ref: ref, files: []packed{{from: program, to: "coredns"}}, entrypoint: []string{"/coredns"}}, nil
	case "etcd":
		return b.etcdImage(ref, tag), nil
	case "pause":
		program, err := b.buildPause(ctx, tag)
		return image{ref: ref, files: []packed{{from: program, to: "pause"}}, entrypoint: []string{"/pause"}}, err
	}
	return image{}, fmt.Errorf("kubeadm %s wants image %q, and the lab does not know what is in it", version, ref)
}

// etcdImage is kubeadm's image of etcd: of the version in its tag (3.6.16-0) where that is built, else of the
// newest one that is.
func (b *builder) etcdImage(ref, tag string) image {
	version := newest(b.Etcd)
	if named, _, _ := strings.Cut(tag, "-"); slices.Contains(b.Etcd, "v"+named) {
		version = "v" + named
	}
	img := image{ref: ref}
	for _, p := range []string{"etcd", "etcdctl", "etcdutl"} {
		img.files = append(img.files, packed{from: filepath.Join(b.binaries("etcd", version), p), to: "usr/local/bin/" + p})
	}
	return img
}

// buildPause compiles the program that holds a pod's namespaces.
func (b *builder) buildPause(ctx context.Context, version string) (string, error) {
	source, err := asset("pause.c")
	if err != nil {
		return "", err
	}
	key := cache.Key("pause", version, string(source))
	err = b.makeCached(key, "pause "+version, func(dir string, log io.Writer) error {
		file := filepath.Join(dir, "pause.c")
		if err := writeFile(file, source, 0o644); err != nil {
			return err
		}
		argv := []string{"gcc", "-Os", "-Wall", "-static", "-s", `-DVERSION="` + version + `"`, "-o", filepath.Join(dir, "pause"), file}
		_, err := run.Output(ctx, run.Cmd{Argv: argv, Log: log})
		return err
	})
	return filepath.Join(b.Cache.Build(key), "pause"), err
}
