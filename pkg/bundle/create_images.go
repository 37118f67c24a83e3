package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// images brings the wanted images, those of local files before those of
// registries; layers that several share are pulled once.
func (c *creation) images(ctx context.Context, want []wantedImage) (_ []Image, err error) {
	p, err := newPuller(c.opts, c.blobs, c.again, c.noLogin)
	if err != nil {
		return nil, err
	}
	if c.since != nil {
		p.elsewhere = c.since.Has
	}
	local, err := c.openFiles(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, local.close()) }()
	var found []*opened
	defer func() {
		for _, o := range found {
			err = errors.Join(err, o.closeSource())
		}
	}()
	all := c.steps.start("bundle/images", "pull images")
	if found, err = c.openAll(ctx, p, local.want, found, all); err != nil {
		return nil, all.end(err)
	}
	if found, want, err = preferLocal(found, want); err != nil {
		return nil, all.end(err)
	}
	if found, err = c.openAll(ctx, p, want, found, all); err != nil {
		return nil, all.end(err)
	}
	if err := all.end(c.pullLayers(ctx, p, found, all)); err != nil {
		return nil, err
	}
	var out []Image
	for _, o := range found {
		out = append(out, o.image)
	}
	slices.SortFunc(out, func(a, b Image) int {
		return cmp.Or(strings.Compare(a.Ref, b.Ref), strings.Compare(a.Arch, b.Arch))
	})
	return out, nil
}

// openAll reads the manifests of images and adds them to those that are open,
// which come back also with an error.
func (c *creation) openAll(ctx context.Context, p *puller, want []wantedImage, found []*opened, all *step) ([]*opened, error) {
	more := make([]*opened, len(want))
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for i, w := range want {
		group.Go(func() (err error) {
			if more[i], err = p.open(ctx, w); err != nil {
				return fmt.Errorf("image %s: %w", c.named(w.ref, w.arch), err)
			}
			all.tell(fmt.Sprintf("%d of %d manifests", done.Add(1), len(want)))
			return nil
		})
	}
	err := group.Wait()
	return append(found, slices.DeleteFunc(more, func(o *opened) bool { return o == nil })...), err
}

// preferLocal leaves out what registries need not be asked for, since a file
// has it. An image of a file that is also wanted otherwise is for whom that
// says. Two files may have the same image, but not two under one name.
func preferLocal(found []*opened, want []wantedImage) ([]*opened, []wantedImage, error) {
	have := map[[2]string]*opened{}
	for _, o := range found {
		key := [2]string{o.image.Ref, o.image.Arch}
		if other := have[key]; other != nil && other.image.Manifest.Digest != o.image.Manifest.Digest {
			return found, nil, fmt.Errorf("two files have different images named %s for %s: name one of them otherwise, with REF=PATH",
				o.image.Ref, o.image.Arch)
		}
		have[key] = o
	}
	var unique []*opened
	var errs []error
	for _, o := range found {
		if have[[2]string{o.image.Ref, o.image.Arch}] == o {
			unique = append(unique, o)
		} else {
			errs = append(errs, o.closeSource())
		}
	}
	want = slices.DeleteFunc(slices.Clone(want), func(w wantedImage) bool {
		o := have[[2]string{w.ref, w.arch}]
		if o != nil {
			o.image.For = w.roles
		}
		return o != nil
	})
	return unique, want, errors.Join(errs...)
}

// pull is a layer that is to be pulled, and the images that have it.
type pull struct {
	from  *opened
	layer types.BlobInfo
	users []int
}

// pullsOf lists every layer once; left counts those of each image.
func pullsOf(found []*opened) (pulls []*pull, left []atomic.Int64) {
	byDigest := map[digest.Digest]*pull{}
	left = make([]atomic.Int64, len(found))
	for i, o := range found {
		own := map[digest.Digest]bool{}
		for _, layer := range o.layers {
			if own[layer.Digest] {
				continue
			}
			own[layer.Digest] = true
			one := byDigest[layer.Digest]
			if one == nil {
				one = &pull{from: o, layer: layer}
				byDigest[layer.Digest] = one
				pulls = append(pulls, one)
			}
			one.users = append(one.users, i)
			left[i].Add(1)
		}
	}
	return pulls, left
}

// pullLayers pulls every layer once and tells of an image with its last.
func (c *creation) pullLayers(ctx context.Context, p *puller, found []*opened, all *step) error {
	pulls, left := pullsOf(found)
	var total int64
	for _, one := range pulls {
		total += one.layer.Size
	}
	m := newMeter(all, len(found), total)
	steps := make([]*step, len(found))
	told := func(i int) {
		m.endItem()
		// There is no error to hand on.
		_ = steps[i].end(nil)
	}
	for i, o := range found {
		name := c.named(o.image.Ref, o.image.Arch)
		steps[i] = c.steps.quiet("bundle/image/"+name, o.verb()+" "+name)
		if left[i].Load() == 0 {
			told(i)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, one := range pulls {
		group.Go(func() error {
			if err := one.from.fetch(ctx, p, one.layer, m.part().to); err != nil {
				return fmt.Errorf("image %s: layer %s: %w", one.from.image.Ref, one.layer.Digest, err)
			}
			for _, i := range one.users {
				if left[i].Add(-1) == 0 {
					told(i)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
