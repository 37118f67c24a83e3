package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// AgentRepository is the name of the agent's own image. No registry has it: it
	// is put into each node's image store.
	AgentRepository = "kubectl-ha.dev/agent"
	// AgentPath is where the agent is in its own image.
	AgentPath = "kubectl-ha"
	// AgentSumLabel is the label, in the image's config, with the SHA-256 of the agent
	// in hex: two images of one agent that are packed differently are known by it.
	AgentSumLabel = "dev.kubectl-ha.agent.sha256"
)

// AgentImage makes the image of one agent binary for hosts of an architecture, as
// it is sent: its layer compressed. It is kept in memory, some 20 MB. ref names it.
func AgentImage(ctx context.Context, ref, binary, arch string) (Image, Upstream, error) {
	var layer bytes.Buffer
	packed, err := zstd.NewWriter(&layer, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return Image{}, nil, err
	}
	diffID := digest.SHA256.Digester()
	sum, err := WriteAgentLayer(ctx, io.MultiWriter(packed, diffID.Hash()), binary)
	if err = errors.Join(err, packed.Close()); err != nil {
		return Image{}, nil, fmt.Errorf("make the agent's image of %s: %w", binary, err)
	}
	docs, err := AgentDocuments(arch, sum, diffID.Digest(), descriptor(ocispec.MediaTypeImageLayerZstd, layer.Bytes()))
	if err != nil {
		return Image{}, nil, err
	}
	blob := func(d ocispec.Descriptor) Blob { return Blob{Digest: d.Digest, Size: d.Size, MediaType: d.MediaType} }
	i := Image{Ref: ref, Manifest: blob(docs.Manifest), Blobs: []Blob{blob(docs.Manifest), blob(docs.Config), blob(docs.Layer)}}
	return i, memory{docs.Manifest.Digest: docs.ManifestData, docs.Config.Digest: docs.ConfigData, docs.Layer.Digest: layer.Bytes()}, nil
}

// AgentImageDocuments are the documents of an agent's image.
type AgentImageDocuments struct {
	Layer, Config, Manifest  ocispec.Descriptor
	ConfigData, ManifestData []byte
}

// AgentDocuments makes the documents for a layer that is there: sum is the agent's
// SHA-256 in hex, diffID the digest of the layer without compression.
func AgentDocuments(arch, sum string, diffID digest.Digest, layer ocispec.Descriptor) (out AgentImageDocuments, err error) {
	out.Layer = layer
	out.ConfigData, err = json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		Config: ocispec.ImageConfig{Entrypoint: []string{"/" + AgentPath},
			Env:    []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Labels: map[string]string{AgentSumLabel: sum}},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	})
	if err != nil {
		return out, err
	}
	out.Config = descriptor(ocispec.MediaTypeImageConfig, out.ConfigData)
	out.ManifestData, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: out.Config, Layers: []ocispec.Descriptor{layer},
	})
	out.Manifest = descriptor(ocispec.MediaTypeImageManifest, out.ManifestData)
	return out, err
}

// WriteAgentLayer writes the layer, one file with nothing of this host in it, and
// returns the file's SHA-256 in hex.
func WriteAgentLayer(ctx context.Context, w io.Writer, binary string) (sum string, err error) {
	f, err := os.Open(binary)
	if err != nil {
		return "", err
	}
	// It was only read.
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	archive := tar.NewWriter(w)
	err = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: AgentPath, Size: info.Size(), Mode: 0o755})
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() {
		// Makes the copy end; its error tells.
		_ = f.Close()
	})
	defer stop()
	of := digest.SHA256.Digester()
	if _, err := io.Copy(archive, io.TeeReader(f, of.Hash())); err != nil {
		return "", errors.Join(ctx.Err(), err)
	}
	return of.Digest().Encoded(), archive.Close()
}

// memory gives blobs that are held in memory.
type memory map[digest.Digest][]byte

// Blob opens one.
func (m memory) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	data, ok := m[d]
	if !ok {
		return nil, 0, fmt.Errorf("%s in the agent's image: %w", d, ErrMissing)
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}
