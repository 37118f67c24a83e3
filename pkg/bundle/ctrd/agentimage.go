package ctrd

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// agentPath is where the agent is in its own image.
const agentPath = "kubectl-ha"

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
	want, err := im.named(images.Image{Name: ref, Target: built.manifest, Labels: im.labels(ref)}, built.config.Digest)
	if err != nil {
		return false, err
	}
	if ok, err := im.inPlace(ctx, want); ok || err != nil {
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

func (im *importer) agentContent(ctx context.Context, built agentImage) error {
	layer := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		// The reading end gets the error.
		go func() { _ = w.CloseWithError(writeAgentLayer(ctx, w, built.binary)) }()
		return r, nil
	}
	if err := im.write(ctx, built.layer, nil, layer); err != nil {
		return err
	}
	if err := im.bytes(ctx, built.config, built.configData, nil); err != nil {
		return err
	}
	return im.bytes(ctx, built.manifest, built.manifestData, map[string]string{
		"containerd.io/gc.ref.content.config": built.config.Digest.String(),
		"containerd.io/gc.ref.content.l.0":    built.layer.Digest.String(),
	})
}

// agentImage is an image of one layer that is made from a file when it is read.
type agentImage struct {
	binary                   string
	layer, config, manifest  ocispec.Descriptor
	configData, manifestData []byte
}

// buildAgentImage computes the image's documents; the layer is not kept.
func buildAgentImage(ctx context.Context, binary string) (agentImage, error) {
	out := agentImage{binary: binary}
	digester := digest.SHA256.Digester()
	size := &sizeWriter{w: digester.Hash()}
	if err := writeAgentLayer(ctx, size, binary); err != nil {
		return out, err
	}
	// Not compressed: it is made and unpacked on the same host.
	out.layer = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: size.n}
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config: ocispec.ImageConfig{Entrypoint: []string{"/" + agentPath},
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{out.layer.Digest}},
	}
	var err error
	if out.configData, err = json.Marshal(config); err != nil {
		return out, err
	}
	out.config = describe(ocispec.MediaTypeImageConfig, out.configData)
	out.manifestData, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: out.config, Layers: []ocispec.Descriptor{out.layer},
	})
	out.manifest = describe(ocispec.MediaTypeImageManifest, out.manifestData)
	return out, err
}

// writeAgentLayer writes the layer: one file, with nothing of this host in it.
func writeAgentLayer(ctx context.Context, w io.Writer, binary string) (err error) {
	f, err := os.Open(binary)
	if err != nil {
		return err
	}
	// It was only read.
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	err = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: agentPath, Size: info.Size(), Mode: 0o755})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		// Makes the copy end; its error tells.
		_ = f.Close()
	})
	defer stop()
	if _, err := io.Copy(archive, f); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return archive.Close()
}

func describe(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
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
