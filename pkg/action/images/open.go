package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
)

// open opens the bundle that was named, or makes one of the images that were.
func (p *pusher) open(ctx context.Context, nodes []corev1.Node) (*bundle.Bundle, error) {
	if len(p.What) == 1 && looksLikeFile(p.What[0]) {
		return p.Trust.Open(p.What[0], p.Bases...)
	}
	for _, a := range p.What {
		if looksLikeFile(a) {
			return nil, action.Invalidf("%s is a file: specify one bundle, or image references", a)
		}
	}
	dir, err := bundles.Dir()
	if err != nil {
		return nil, err
	}
	opts := p.Pull
	opts.Archs, opts.ExtraImages = agents.ArchsOf(nodes), p.What
	if cluster, err := incluster.StoredCluster(ctx, p.kube); err == nil {
		opts.Mirrors = cluster.Spec.Images.Mirrors
		opts.Mirror = cmp.Or(opts.Mirror, cluster.Spec.Images.Mirror)
		opts.TrustMirror = opts.TrustMirror || cluster.Spec.Images.TrustMirror
		opts.AuthFile = cmp.Or(opts.AuthFile, bundles.ExpandHome(cluster.Spec.Images.AuthFile))
	}
	// Strings and a map, whose keys are written in order: that always encodes.
	key, _ := json.Marshal([]any{opts.Archs, opts.ExtraImages, opts.Mirror, opts.Mirrors, opts.TrustMirror})
	sum := sha256.Sum256(key)
	if p.pulled, err = takePulledImages(dir, "images-"+hex.EncodeToString(sum[:6])); err != nil {
		return nil, err
	}
	opts.WorkDir, opts.Output = p.pulled.work(), p.pulled.bundle()
	if _, err = bundle.Create(ctx, opts, p.sink); err != nil {
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
