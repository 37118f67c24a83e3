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
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// AgentRegistry is the host in the name of the agent's own image. It can be no
	// registry: no name under .invalid is ever given out (RFC 6761, section 6.4).
	AgentRegistry = "agent.kubectl-ha.invalid"
	// AgentRepository is the name of the agent's own image. It is put into each node's
	// image store, and pods name it by its digest.
	AgentRepository = AgentRegistry + "/agent"
	// FormerAgentRepository is what versions before this name called it. Their agents
	// carry the first Operation of a newer version out, and pin nothing but that name.
	FormerAgentRepository = "kubectl-ha.dev/agent"
	// AgentPath is where the agent is in its own image.
	AgentPath = "kubectl-ha"
	// AgentSumLabel is the label, in the image's config, with the SHA-256 of the agent
	// in hex, for people: what an image says of itself is proof of nothing.
	AgentSumLabel = "dev.kubectl-ha.agent.sha256"
)

// IsAgentImage tells whether a reference, by a tag or a digest, is of an agent's image,
// of this version or of an earlier one.
func IsAgentImage(ref string) bool {
	for _, repository := range []string{AgentRepository, FormerAgentRepository} {
		if rest, ok := strings.CutPrefix(ref, repository); ok && rest != "" && strings.ContainsAny(rest[:1], ":@") {
			return true
		}
	}
	return false
}

// AgentImage makes the image of one agent binary for hosts of an architecture. It is
// the one way in which that is done, wherever it is: the same version of this program
// makes of the same binary the same image, so that its digest is known before it is
// anywhere. The layer is compressed, and kept in memory: some 20 MB. ref names it,
// REPOSITORY:TAG.
func AgentImage(ctx context.Context, ref, binary, arch string) (Image, Upstream, error) {
	var layer bytes.Buffer
	// What it writes depends neither on the architecture nor on the number of CPUs.
	packed, err := zstd.NewWriter(&layer, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return Image{}, nil, err
	}
	diffID := digest.SHA256.Digester()
	sum, err := writeAgentLayer(ctx, io.MultiWriter(packed, diffID.Hash()), binary)
	if err = errors.Join(err, packed.Close()); err != nil {
		return Image{}, nil, fmt.Errorf("make the agent's image of %s: %w", binary, err)
	}
	docs, err := agentDocuments(arch, sum, diffID.Digest(), descriptor(ocispec.MediaTypeImageLayerZstd, layer.Bytes()))
	if err != nil {
		return Image{}, nil, err
	}
	blob := func(d ocispec.Descriptor) Blob { return Blob{Digest: d.Digest, Size: d.Size, MediaType: d.MediaType} }
	i := Image{Ref: ref, Manifest: blob(docs.manifest), Blobs: []Blob{blob(docs.manifest), blob(docs.config), blob(docs.layer)}}
	return i, memory{docs.manifest.Digest: docs.manifestData, docs.config.Digest: docs.configData, docs.layer.Digest: layer.Bytes()}, nil
}

// documents are those of an agent's image.
type documents struct {
	layer, config, manifest  ocispec.Descriptor
	configData, manifestData []byte
}

// agentDocuments makes the documents for a layer: sum is the agent's SHA-256 in hex,
// diffID the digest of the layer without compression.
func agentDocuments(arch, sum string, diffID digest.Digest, layer ocispec.Descriptor) (out documents, err error) {
	out.layer = layer
	out.configData, err = json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		Config: ocispec.ImageConfig{Entrypoint: []string{"/" + AgentPath},
			Env:    []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Labels: map[string]string{AgentSumLabel: sum}},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	})
	if err != nil {
		return out, err
	}
	out.config = descriptor(ocispec.MediaTypeImageConfig, out.configData)
	out.manifestData, err = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: out.config, Layers: []ocispec.Descriptor{layer},
	})
	out.manifest = descriptor(ocispec.MediaTypeImageManifest, out.manifestData)
	return out, err
}

// writeAgentLayer writes the layer, one file with nothing of this host in it, and
// returns the file's SHA-256 in hex.
func writeAgentLayer(ctx context.Context, w io.Writer, binary string) (sum string, err error) {
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
