package prepare

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// images imports what containerd does not have, and the agent's own image.
func (p *preparer) images(ctx context.Context, group *errgroup.Group) error {
	missing, err := p.missingImages(ctx)
	if err != nil {
		return err
	}
	for _, i := range missing {
		if err := p.h.Record(ctx, "image", i.Ref, "image in containerd"); err != nil {
			return err
		}
	}
	if p.spec.AgentImage != "" {
		if err := p.h.Record(ctx, "image", p.spec.AgentImage, "the agent's image in containerd"); err != nil {
			return err
		}
	}
	if p.h.DryRun() {
		return nil
	}
	var list []bundle.Blob
	for _, i := range missing {
		list = append(list, i.Blobs...)
	}
	group.Go(func() error { return p.blobs.prefetch(ctx, list) })
	n, err := p.runtime.Import(ctx, p.spec.Contents.Images, p.blobs, []string{p.spec.SandboxImage},
		func(ref string, imported bool, done, total int) {
			if imported {
				p.progress("imported image %d of %d, %s", done, total, ref)
			}
		})
	if err != nil {
		return err
	}
	if p.spec.AgentImage != "" {
		p.progress("importing the agent's image")
		made, err := p.runtime.ImportAgent(ctx, p.spec.AgentImage, p.executable)
		if err != nil {
			return err
		}
		if made {
			n++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data.ImportedImages = n
	return nil
}

// missingImages are those that containerd does not have with the same manifest.
func (p *preparer) missingImages(ctx context.Context) ([]bundle.Image, error) {
	have, err := p.runtime.List(ctx)
	if err != nil && !p.h.DryRun() {
		return nil, err
	}
	// In a dry run containerd may not be there yet, and then has none.
	var missing []bundle.Image
	for _, i := range p.spec.Contents.Images {
		if have[i.Ref] != i.Manifest.Digest {
			missing = append(missing, i)
		}
	}
	return missing, nil
}
