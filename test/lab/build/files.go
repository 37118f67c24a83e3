package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cache"
)

// publishFiles lays the programs out as upstream publishes them, below the
// mirror's tree, with upstream's own kinds of checksum files.
func (b *builder) publishFiles(ctx context.Context) error {
	for _, v := range b.Kubernetes {
		if err := b.publishKubernetes(v); err != nil {
			return err
		}
	}
	for _, v := range b.Etcd {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.publishArchive(etcdArchive(v, b.binaries("etcd", v))); err != nil {
			return err
		}
	}
	for _, a := range b.commonArchives() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.publishArchive(a); err != nil {
			return err
		}
	}
	return b.publishRunc()
}

// publishKubernetes publishes dl.k8s.io's programs and version markers.
func (b *builder) publishKubernetes(version string) error {
	dir := filepath.Join(b.Cache.Files(), "dl.k8s.io", version, "bin/linux", runtime.GOARCH)
	for _, p := range []string{"kubeadm", "kubelet", "kubectl"} {
		target := filepath.Join(dir, p)
		if err := link(filepath.Join(b.binaries("kubernetes", version), p), target); err != nil {
			return err
		}
		sum, err := sha256File(target)
		if err != nil {
			return err
		}
		if err := writeFile(target+".sha256", []byte(sum), 0o644); err != nil {
			return err
		}
	}
	return b.publishStable(version)
}

// publishStable raises stable.txt and stable-1.N.txt to version, never lowers them.
func (b *builder) publishStable(version string) error {
	minor := strings.Join(strings.Split(strings.TrimPrefix(version, "v"), ".")[:2], ".")
	for _, name := range []string{"stable.txt", "stable-" + minor + ".txt"} {
		path := filepath.Join(b.Cache.Files(), "dl.k8s.io/release", name)
		old, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := writeFile(path, []byte(newest([]string{version, strings.TrimSpace(string(old))})), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// archive is a release archive to publish.
type archive struct {
	// path is below the mirror's tree, files its content.
	path  string
	files []packed
	// sums is the name of the checksum file beside it: one line, digest and name.
	sums string
}

// github is the folder of a release's files below the mirror's tree.
func github(repository, version string) string {
	return filepath.Join("github.com", repository, "releases/download", version)
}

func etcdArchive(version, bin string) archive {
	name := fmt.Sprintf("etcd-%s-linux-%s", version, runtime.GOARCH)
	a := archive{path: filepath.Join(github("etcd-io/etcd", version), name+".tar.gz"), sums: "SHA256SUMS"}
	for _, p := range []string{"etcd", "etcdctl", "etcdutl"} {
		a.files = append(a.files, packed{from: filepath.Join(bin, p), to: name + "/" + p})
	}
	return a
}

// commonArchives are containerd's and the CNI plugins' releases.
func (b *builder) commonArchives() []archive {
	containerd := fmt.Sprintf("containerd-%s-linux-%s.tar.gz", strings.TrimPrefix(ContainerdVersion, "v"), runtime.GOARCH)
	a := archive{path: filepath.Join(github("containerd/containerd", ContainerdVersion), containerd), sums: containerd + ".sha256sum"}
	for _, p := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		a.files = append(a.files, packed{from: filepath.Join(b.binaries("containerd", ContainerdVersion), p), to: "bin/" + p})
	}
	cni := fmt.Sprintf("cni-plugins-linux-%s-%s.tgz", runtime.GOARCH, CNIPluginsVersion)
	c := archive{path: filepath.Join(github("containernetworking/plugins", CNIPluginsVersion), cni), sums: cni + ".sha256"}
	for _, p := range []string{"bandwidth", "bridge", "firewall", "host-device", "host-local", "loopback", "portmap", "ptp"} {
		c.files = append(c.files, packed{from: filepath.Join(b.binaries("cni-plugins", CNIPluginsVersion), p), to: p})
	}
	return []archive{a, c}
}

// publishArchive makes the archive once and publishes it with its checksum.
func (b *builder) publishArchive(a archive) error {
	key := cache.Key("archive", filepath.Base(a.path), fmt.Sprintf("%q", a.files), "1")
	err := b.makeCached(key, filepath.Base(a.path), func(dir string, _ io.Writer) error {
		return writeTarGz(filepath.Join(dir, filepath.Base(a.path)), a.files)
	})
	if err != nil {
		return err
	}
	target := filepath.Join(b.Cache.Files(), a.path)
	if err := link(filepath.Join(b.Cache.Build(key), filepath.Base(a.path)), target); err != nil {
		return err
	}
	return writeSums(target, a.sums)
}

// publishRunc publishes runc, which is released as a bare program.
func (b *builder) publishRunc() error {
	target := filepath.Join(b.Cache.Files(), github("opencontainers/runc", RuncVersion), "runc."+runtime.GOARCH)
	if err := link(filepath.Join(b.binaries("runc", RuncVersion), "runc"), target); err != nil {
		return err
	}
	return writeSums(target, "runc.sha256sum")
}

// writeSums writes the checksum file called name beside path, as sha256sum does.
func writeSums(path, name string) error {
	sum, err := sha256File(path)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s  %s\n", sum, filepath.Base(path))
	return writeFile(filepath.Join(filepath.Dir(path), name), []byte(line), 0o644)
}

// link makes target the same file as src, replacing what is there.
func link(src, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	tmp := target + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(src, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, target)
}

// sha256File is the digest of a file in hexadecimal.
func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
