package bundle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// How much is done at once: enough to fill a link, few enough to be polite to
// registries.
const (
	parallelDownloads = 4
	parallelBlobs     = 6
)

// CreateOptions says what goes into a bundle, and where it comes from.
type CreateOptions struct {
	// KubernetesVersion, such as v1.36.3. Required.
	KubernetesVersion string
	// EtcdVersion defaults to DefaultEtcdVersion.
	EtcdVersion string
	// Arch is the hosts' architecture, amd64 or arm64. Default amd64.
	Arch string
	// Registry is where kubeadm's images come from and what they are named
	// after, kubeadm's imageRepository. Default KubernetesRegistry.
	Registry string
	// Mirror is a base URL for binaries (MIRROR/<upstream host>/<path>) and
	// images (<mirror host>/<registry>/<repository>). With http:// there is no
	// TLS, and checksums then only guard against accidents.
	Mirror string
	// Mirrors maps a registry to the reference prefix to pull its images from,
	// with http:// before it for one without TLS; it goes before Mirror.
	Mirrors map[string]string
	// AuthFile is a containers-auth.json or docker config.json. Default: where
	// those usually are.
	AuthFile string
	// SignaturePolicy is a containers-policy.json(5). Default: accept anything.
	SignaturePolicy string
	// ExtraImages are put in as well, for all nodes.
	ExtraImages []string
	// NetworkPlugin adds the plugin's images. Default none.
	NetworkPlugin v1alpha1.NetworkPlugin
	// Output is the file to write. It only appears when it is complete.
	Output string
	// WorkDir keeps downloads and blobs, so that an interrupted run goes on
	// where it was and other versions share what is the same. It is left to
	// the caller. Default: Output + ".work", which is removed at the end.
	WorkDir string
	// HTTPClient is for binaries. Default: one with the environment's proxies.
	HTTPClient *http.Client
}

// Create makes a bundle. The same options give the same bytes. Step IDs in the
// events begin with bundle/.
func Create(ctx context.Context, opts CreateOptions, sink report.Sink) (Contents, error) {
	if err := opts.complete(); err != nil {
		return Contents{}, err
	}
	work, keep := opts.WorkDir, true
	if work == "" {
		work, keep = opts.Output+".work", false
	}
	c := &creation{opts: opts, steps: stepper{sink: sink},
		downloads: OpenStore(filepath.Join(work, "downloads")), blobs: OpenStore(work)}
	contents, err := c.run(ctx)
	if err != nil {
		return Contents{}, fmt.Errorf("make a bundle of Kubernetes %s: %w", opts.KubernetesVersion, err)
	}
	if !keep {
		if err := os.RemoveAll(work); err != nil {
			return Contents{}, err
		}
	}
	return contents, nil
}

// complete sets the defaults and refuses what can't work.
func (o *CreateOptions) complete() error {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.EtcdVersion, DefaultEtcdVersion)
	set(&o.Arch, "amd64")
	set(&o.Registry, KubernetesRegistry)
	if o.HTTPClient == nil {
		transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute,
			TLSHandshakeTimeout: 30 * time.Second, ForceAttemptHTTP2: true}
		o.HTTPClient = &http.Client{Transport: transport}
	}
	if o.Output == "" {
		return errors.New("make a bundle: no file to write it to")
	}
	if _, _, err := mirrorHost(o.Mirror); err != nil {
		return err
	}
	return checkVersions(o.Arch, map[string]string{"Kubernetes": o.KubernetesVersion, "etcd": o.EtcdVersion})
}

// creation is one run of Create.
type creation struct {
	opts      CreateOptions
	steps     stepper
	downloads *Store
	blobs     *Store
}

func (c *creation) run(ctx context.Context) (Contents, error) {
	if err := os.MkdirAll(filepath.Dir(c.opts.Output), 0o755); err != nil {
		return Contents{}, err
	}
	binaries, kubeadm, err := c.binaries(ctx)
	if err != nil {
		return Contents{}, err
	}
	listed, why, err := kubeadmImages(ctx, c.downloads, kubeadm, c.opts)
	if err != nil {
		return Contents{}, err
	}
	if why != nil {
		c.steps.sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning,
			Message: fmt.Sprintf("kubeadm could not be asked for its images (%v); the built-in list is used", why),
			Hint:    "allow programs to be run from " + c.downloads.Dir()})
	}
	want, err := wantedImages(listed, c.opts)
	if err != nil {
		return Contents{}, err
	}
	images, err := c.images(ctx, want)
	if err != nil {
		return Contents{}, err
	}
	contents := Contents{
		KubernetesVersion: c.opts.KubernetesVersion, EtcdVersion: c.opts.EtcdVersion,
		ContainerdVersion: ContainerdVersion, RuncVersion: RuncVersion, CNIVersion: CNIVersion,
		Arch: c.opts.Arch, Binaries: binaries, Images: images,
	}
	if err := checkContents(contents); err != nil {
		return Contents{}, err
	}
	step := c.steps.start("bundle/write", "write "+c.opts.Output)
	return contents, step.end(writeFile(ctx, c.opts.Output, contents, c.blobs, step.progress))
}

// binaries downloads and packs the host binaries, and tells kubeadm's digest
// among the downloads.
func (c *creation) binaries(ctx context.Context) ([]Binary, digest.Digest, error) {
	d := &downloader{client: c.opts.HTTPClient, mirror: c.opts.Mirror, store: c.downloads}
	items := catalogue(c.opts.KubernetesVersion, c.opts.EtcdVersion, c.opts.Arch)
	packed := make([][]Binary, len(items))
	files := make([]digest.Digest, len(items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelDownloads)
	for i, item := range items {
		group.Go(func() error {
			step := c.steps.start("bundle/binary/"+item.name, "download "+item.name+" "+item.version)
			var err error
			if files[i], err = d.get(ctx, item, step.progress, step.note); err == nil {
				packed[i], err = packBinaries(ctx, item, files[i], c.downloads, c.blobs)
			}
			return step.end(err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, "", err
	}
	var out []Binary
	var kubeadm digest.Digest
	for i, item := range items {
		if item.name == "kubeadm" {
			kubeadm = files[i]
		}
		out = append(out, packed[i]...)
	}
	slices.SortFunc(out, func(a, b Binary) int { return strings.Compare(a.Path, b.Path) })
	return out, kubeadm, nil
}

// images pulls the wanted images; layers that several share are pulled once.
func (c *creation) images(ctx context.Context, want []wantedImage) (_ []Image, err error) {
	steps := make([]*step, len(want))
	note := func(err error) { c.steps.info(fmt.Sprintf("tried again: %v", err)) }
	p, err := newPuller(c.opts, c.blobs, note)
	if err != nil {
		return nil, err
	}
	found := make([]*opened, len(want))
	defer func() {
		for _, o := range found {
			if o != nil {
				err = errors.Join(err, o.closeSource())
			}
		}
	}()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for i, w := range want {
		group.Go(func() (err error) {
			steps[i] = c.steps.start("bundle/image/"+w.ref, "pull "+w.ref)
			if found[i], err = p.open(groupCtx, w); err != nil {
				return steps[i].end(err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := pullLayers(ctx, p, found, steps); err != nil {
		return nil, err
	}
	var out []Image
	for _, o := range found {
		out = append(out, o.image)
	}
	return out, nil
}

// pullLayers pulls every layer once and ends an image's step with its last.
func pullLayers(ctx context.Context, p *puller, found []*opened, steps []*step) error {
	type pull struct {
		from  *opened
		layer types.BlobInfo
		users []int
	}
	var pulls []*pull
	byDigest := map[digest.Digest]*pull{}
	left := make([]atomic.Int64, len(found))
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
	for i := range found {
		if left[i].Load() == 0 {
			// There is no error to hand on.
			_ = steps[i].end(nil)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, one := range pulls {
		group.Go(func() error {
			err := p.fetch(ctx, one.from.source, one.layer)
			if err != nil {
				err = fmt.Errorf("image %s: layer %s: %w", one.from.image.Ref, one.layer.Digest, err)
			}
			for _, i := range one.users {
				if n := left[i].Add(-1); n == 0 || (err != nil && ctx.Err() == nil) {
					// The group has the error; the step only shows it.
					_ = steps[i].end(err)
				}
			}
			return err
		})
	}
	return group.Wait()
}
