package ctrd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// ImportAgentImage makes an image of one binary (at /kubectl-ha, its entry
// point) and puts it into containerd under ref, pinned against garbage
// collection, with labels besides. The same binary makes the same image. It
// tells whether it had to.
func ImportAgentImage(ctx context.Context, socket, ref, binaryPath string, labels map[string]string) (_ bool, err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	im := newImporter(client, nil, ImportOptions{Labels: labels, Pinned: []string{ref}})
	built, err := buildAgentImage(ctx, binaryPath)
	if err != nil {
		return false, fmt.Errorf("make the agent's image: %w", err)
	}
	want, err := im.named(images.Image{Name: ref, Target: built.Manifest, Labels: im.labels(ref)}, built.Config.Digest)
	if err != nil {
		return false, err
	}
	if ok, err := im.inPlace(ctx, want); ok || err != nil {
		return false, err
	}
	if ok, err := im.sameAgent(ctx, want, built.sum); ok || err != nil {
		return false, err
	}
	ctx, release, err := im.lease(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := im.agentContent(ctx, built); err != nil {
		return false, fmt.Errorf("import image %s: %w", ref, err)
	}
	if err := im.publish(ctx, want); err != nil {
		return false, fmt.Errorf("import image %s: %w", ref, err)
	}
	return true, nil
}

// sameAgent tells whether the very same agent is there under its name, pinned and
// unpacked, in an image that was packed otherwise: one that was pushed.
func (im *importer) sameAgent(ctx context.Context, want named, sum string) (bool, error) {
	last := want[len(want)-1]
	have, err := im.client.ImageService().Get(ctx, last.Name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for k, v := range last.Labels {
		if have.Labels[k] != v {
			return false, nil
		}
	}
	image := containerd.NewImage(im.client, have)
	config, err := image.Spec(ctx)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil || config.Config.Labels[bundle.AgentSumLabel] != sum {
		return false, err
	}
	return image.IsUnpacked(ctx, im.opts.Snapshotter)
}

func (im *importer) agentContent(ctx context.Context, built agentImage) error {
	layer := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			_, err := bundle.WriteAgentLayer(ctx, w, built.binary)
			// The reading end gets the error.
			_ = w.CloseWithError(err)
		}()
		return r, nil
	}
	if err := im.write(ctx, built.Layer, nil, layer); err != nil {
		return err
	}
	if err := im.bytes(ctx, built.Config, built.ConfigData, nil); err != nil {
		return err
	}
	return im.bytes(ctx, built.Manifest, built.ManifestData, map[string]string{
		"containerd.io/gc.ref.content.config": built.Config.Digest.String(),
		"containerd.io/gc.ref.content.l.0":    built.Layer.Digest.String(),
	})
}

// agentImage is an image of one layer that is made from a file when it is read.
type agentImage struct {
	bundle.AgentImageDocuments
	binary, sum string
}

// buildAgentImage computes the image's documents; the layer is not kept.
func buildAgentImage(ctx context.Context, binary string) (agentImage, error) {
	digester := digest.SHA256.Digester()
	size := &sizeWriter{w: digester.Hash()}
	sum, err := bundle.WriteAgentLayer(ctx, size, binary)
	if err != nil {
		return agentImage{}, err
	}
	// Not compressed: it is made and unpacked on the same host.
	layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: size.n}
	docs, err := bundle.AgentDocuments(runtime.GOARCH, sum, layer.Digest, layer)
	return agentImage{AgentImageDocuments: docs, binary: binary, sum: sum}, err
}

type sizeWriter struct {
	w io.Writer
	n int64
}

func (s *sizeWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	return n, err
}
