package cmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
)

// push is what goes to the nodes of one architecture.
type push struct {
	arch   string
	images []bundle.Image
	// programs are host programs that come along.
	programs []bundle.Binary
	matrix   images.Matrix
	// targets are the nodes of the Operation; none when nothing is to be done.
	targets []string
}

// planPushes says what is to be pushed where. It is pure.
func planPushes(c bundle.Contents, nodes []corev1.Node, all []v1alpha1.Operation, allNodes bool) ([]push, error) {
	if len(c.Images) == 0 {
		return nil, errors.New("there is no image in the bundle")
	}
	var out []push
	for _, arch := range archsOf(nodes) {
		var some []corev1.Node
		for _, n := range nodes {
			if archOf(n) == arch {
				some = append(some, n)
			}
		}
		p := push{arch: arch, images: c.ForArch(arch).Images}
		if len(p.images) == 0 {
			return nil, fmt.Errorf("the bundle is for %s, but %s is %s; choose nodes with --selector, or make a bundle with `%s bundle create --arch %s`",
				strings.Join(c.Archs(), " and "), some[0].Name, arch, displayName, arch)
		}
		p.matrix = images.Compare(some, pushedImages(p.images), allNodes)
		p.matrix.Doubt(all, time.Now().Add(-justNow))
		p.targets = p.matrix.Targets()
		out = append(out, p)
	}
	return out, nil
}

// addPrograms adds kubeadm, kubelet and kubectl to pushes. Only the nodes know
// whether they have them, so all are targets.
func addPrograms(pushes []push, c bundle.Contents, nodes []corev1.Node) error {
	for i := range pushes {
		p := &pushes[i]
		for _, b := range c.ForArch(p.arch).Binaries {
			if b.Component == bundle.ComponentKubernetes {
				p.programs = append(p.programs, b)
			}
		}
		if len(p.programs) == 0 {
			return fmt.Errorf("there are no programs of Kubernetes in the bundle; make one with `%s bundle create --kubernetes-version`", displayName)
		}
		p.targets = nil
		for _, n := range nodes {
			if archOf(n) == p.arch {
				p.targets = append(p.targets, n.Name)
			}
		}
	}
	return nil
}

func archOf(n corev1.Node) string { return cmp.Or(n.Status.NodeInfo.Architecture, "amd64") }

// archsOf are the nodes' architectures, in order.
func archsOf(nodes []corev1.Node) []string {
	var out []string
	for _, n := range nodes {
		if !slices.Contains(out, archOf(n)) {
			out = append(out, archOf(n))
		}
	}
	slices.Sort(out)
	return out
}

// show tells what would go where.
func (o *imagesPushOptions) show(pushes []push) error {
	if o.output == outputJSON {
		type planned struct {
			Arch string `json:"arch"`
			images.Matrix
			Targets []string `json:"targets"`
		}
		var out []planned
		for _, p := range pushes {
			out = append(out, planned{p.arch, p.matrix, p.targets})
		}
		return writeJSON(o.Out, out)
	}
	for _, p := range pushes {
		if err := printMatrix(o.Out, p.matrix); err != nil {
			return err
		}
		if len(p.targets) == 0 {
			return o.say("\nEvery node has what it needs.\n")
		}
		var n int64
		lacking := []bundle.Image{}
		for i, row := range p.matrix.Images {
			if slices.ContainsFunc(p.matrix.Nodes, func(node string) bool { return lacks(row.States[node]) }) {
				lacking = append(lacking, p.images[i])
			}
		}
		n = bundle.Contents{Images: lacking}.Size()
		if err := o.say("\nTo be brought to %s: %s, of at most %s.\n", strings.Join(p.targets, ", "), plural(len(lacking), "image", "images"), size(n)); err != nil {
			return err
		}
	}
	return nil
}

// open opens the bundle that was named, or makes one of the images that were.
func (o *imagesPushOptions) open(ctx context.Context, nodes []corev1.Node) (*bundle.Bundle, error) {
	if len(o.args) == 1 && looksLikeFile(o.args[0]) {
		return o.trust.open(o.args[0], o.bases...)
	}
	for _, a := range o.args {
		if looksLikeFile(a) {
			return nil, usageErrorf("%s is a file: name one bundle, or images by their references", a)
		}
	}
	dir, err := cacheDir()
	if err != nil {
		return nil, err
	}
	opts := o.pull
	opts.Archs, opts.ExtraImages = archsOf(nodes), o.args
	if cluster, err := incluster.StoredCluster(ctx, o.kube); err == nil {
		opts.Mirrors = cluster.Spec.Images.Mirrors
		opts.Mirror = cmp.Or(opts.Mirror, cluster.Spec.Images.Mirror)
		opts.TrustMirror = opts.TrustMirror || cluster.Spec.Images.TrustMirror
		opts.AuthFile = cmp.Or(opts.AuthFile, expandHome(cluster.Spec.Images.AuthFile))
	}
	// Strings and a map, whose keys are written in order: that always encodes.
	key, _ := json.Marshal([]any{opts.Archs, opts.ExtraImages, opts.Mirror, opts.Mirrors, opts.TrustMirror})
	sum := sha256.Sum256(key)
	if o.pulled, err = takePulledImages(dir, "images-"+hex.EncodeToString(sum[:6])); err != nil {
		return nil, err
	}
	opts.WorkDir, opts.Output = o.pulled.work(), o.pulled.bundle()
	p := newProgress(o.Out, o.output)
	_, err = bundle.Create(ctx, opts, p)
	p.Close()
	if err != nil {
		return nil, err
	}
	return bundle.Open(opts.Output)
}

// looksLikeFile tells a bundle's file from an image's reference.
func looksLikeFile(arg string) bool {
	if strings.HasSuffix(arg, ".tar") || strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "../") {
		return true
	}
	_, err := os.Stat(arg)
	return !errors.Is(err, fs.ErrNotExist)
}
