package prepare

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Images puts the images that are missing into containerd, and the agent's own
// one. It changes nothing else, so that it may run beside other tasks.
func Images(ctx context.Context, env node.Env, spec ImagesSpec) (any, error) {
	client, err := swarm.NewClient(spec.Source, env.Host.Path(StoreDir))
	if err != nil {
		return nil, fmt.Errorf("the source of blobs: %w", err)
	}
	defer client.Close()
	i := &importer{h: env.Host, spec: spec, progress: env.Progress, executable: host.SelfPath,
		runtime: containerdRuntime{socket: Socket}}
	return i.run(ctx, client)
}

// importer holds what one run of the task works with.
type importer struct {
	h        *host.Host
	spec     ImagesSpec
	runtime  runtime
	progress func(format string, args ...any)
	// executable is the running agent's own file.
	executable string
}

func (i *importer) run(ctx context.Context, from fetcher) (any, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends fetches that nobody waits for any more.
	missing, err := i.missing(ctx)
	if err != nil {
		return nil, err
	}
	if err := i.record(ctx, missing); err != nil || i.h.DryRun() {
		return nil, err
	}
	blobs := newBlobs(ctx, i.h, from, nil, i.spec.Images, i.progress)
	var data Data
	data.ImportedImages, err = i.bring(ctx, missing, blobs)
	data.FetchedBytes = blobs.bytes.Load()
	return data, err
}

// missing are those that containerd does not have with the same manifest.
func (i *importer) missing(ctx context.Context) ([]bundle.Image, error) {
	have, err := i.runtime.List(ctx)
	if err != nil && !i.h.DryRun() {
		return nil, err
	}
	// In a dry run containerd may not be there yet, and then has none.
	var missing []bundle.Image
	for _, image := range i.spec.Images {
		if have[image.Ref] != image.Manifest.Digest {
			missing = append(missing, image)
		}
	}
	return missing, nil
}

// record notes what containerd is about to get.
func (i *importer) record(ctx context.Context, missing []bundle.Image) error {
	for _, image := range missing {
		if err := i.h.Record(ctx, "image", image.Ref, "image in containerd"); err != nil {
			return err
		}
	}
	if i.spec.AgentImage == "" {
		return nil
	}
	return i.h.Record(ctx, "image", i.spec.AgentImage, "the agent's image in containerd")
}

// bring imports what is missing while it is still being fetched, and counts it.
// All images are handed over, since one may be there and yet not be whole.
func (i *importer) bring(ctx context.Context, missing []bundle.Image, blobs *blobs) (int, error) {
	var list []bundle.Blob
	for _, image := range missing {
		list = append(list, image.Blobs...)
	}
	prefetched := make(chan error, 1)
	go func() { prefetched <- blobs.prefetch(ctx, list) }()
	n, err := i.runtime.Import(ctx, i.spec.Images, blobs, []string{i.spec.SandboxImage},
		func(ref string, imported bool, done, total int) {
			if imported {
				i.progress("imported image %d of %d, %s", done, total, ref)
			}
		})
	if err != nil {
		return n, err
	}
	if err := <-prefetched; err != nil {
		return n, err
	}
	if i.spec.AgentImage != "" {
		i.progress("importing the agent's image")
		made, err := i.runtime.ImportAgent(ctx, i.spec.AgentImage, i.executable)
		if err != nil {
			return n, err
		}
		if made {
			n++
		}
	}
	return n, nil
}

// Tidy removes the blobs that were fetched, and kept for others.
func Tidy(ctx context.Context, env node.Env, _ TidySpec) (any, error) {
	_, err := env.Host.RemoveTree(ctx, StoreDir)
	return nil, err
}
