package prepare

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// StageSpec brings programs to a host without installing them: a later task does that.
type StageSpec struct {
	// Binaries are of one component and version.
	Binaries []bundle.Binary `json:"binaries"`
	// Dir is where they go, with a manifest.json {name: SHA-256} that is written last.
	Dir string `json:"dir"`
	// Source is this host's peer, which brings blobs that are missing to StoreDir.
	Source swarm.Source `json:"source"`
}

// Stage brings the programs. What is there already is not fetched.
func Stage(ctx context.Context, env node.Env, spec StageSpec) (any, error) {
	client, err := swarm.NewClient(spec.Source, env.Host.Path(StoreDir))
	if err != nil {
		return nil, fmt.Errorf("the source of blobs: %w", err)
	}
	defer client.Close()
	return stage(ctx, env, spec, client)
}

func stage(ctx context.Context, env node.Env, spec StageSpec, from fetcher) (any, error) {
	h := env.Host
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends fetches that nobody waits for any more.
	blobs := newBlobs(ctx, h, from, spec.Binaries, nil, env.Progress)
	for _, d := range []string{path.Dir(spec.Dir), spec.Dir} {
		if _, err := h.Mkdir(ctx, d, 0o755, 0, 0); err != nil {
			return nil, err
		}
	}
	var data Data
	sums := map[string]string{}
	for _, b := range spec.Binaries {
		f := host.File{Path: path.Join(spec.Dir, b.Name), Mode: 0o755, Note: b.Name + " " + b.Version + ", for an upgrade"}
		now, err := h.InstallFile(ctx, f, b.SHA256, func() (io.ReadCloser, error) { return blobs.binary(ctx, b) })
		if err != nil {
			return nil, fmt.Errorf("put %s %s onto the host: %w", b.Name, b.Version, err)
		}
		if now {
			data.InstalledBinaries++
		}
		sums[b.Name] = b.SHA256
	}
	raw, err := json.Marshal(sums)
	if err != nil {
		return nil, err
	}
	_, err = h.WriteFile(ctx, host.File{Path: path.Join(spec.Dir, "manifest.json"), Mode: 0o644, Content: append(raw, '\n'), Note: "the programs in " + spec.Dir})
	data.FetchedBytes = blobs.bytes.Load()
	return data, err
}
