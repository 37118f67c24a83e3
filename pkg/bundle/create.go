package bundle

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
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

// CreateOptions says what goes into a bundle, and where it comes from. Without
// a KubernetesVersion the bundle holds images only: the extra ones, those named
// in manifests, and those of files.
type CreateOptions struct {
	// KubernetesVersion, such as v1.36.3. Empty for images only.
	KubernetesVersion string
	// EtcdVersion defaults to DefaultEtcdVersion, and with StackedEtcd to kubeadm's choice.
	EtcdVersion string
	// StackedEtcd puts kubeadm's etcd image in, for control planes, instead of etcd's programs.
	StackedEtcd bool
	// Arch is the hosts' architecture, amd64 or arm64. Default amd64.
	Arch string
	// Archs are the hosts' architectures where there are several; it goes
	// before Arch.
	Archs []string
	// Registry is where kubeadm's images come from and what they are named
	// after, kubeadm's imageRepository. Default KubernetesRegistry.
	Registry string
	// Mirror is a base URL for binaries (MIRROR/<upstream host>/<path>) and
	// images (<mirror host>/<registry>/<repository>). With http:// there is no
	// TLS: what has no digest in Digests is then as trustworthy as the network.
	Mirror string
	// TrustMirror takes what Mirror and Mirrors serve as it is, checked by the sums
	// that they serve beside it and not by Digests: for those with builds of their own.
	TrustMirror bool
	// Digests say what files and images must be. Default: ReleaseDigests.
	Digests Digests
	// Mirrors maps a registry to the reference prefix to pull its images from,
	// with http:// before it for one without TLS; it goes before Mirror.
	Mirrors map[string]string
	// AuthFile is a containers-auth.json or docker config.json; programs that it names
	// for logins (credsStore, credHelpers) are asked. Default: the places where podman,
	// skopeo and docker keep theirs, see loginPaths.
	AuthFile string
	// SignaturePolicy is a containers-policy.json(5). Default: accept anything.
	SignaturePolicy string
	// ExtraImages are put in as well, for all nodes.
	ExtraImages []string
	// Manifests are files and directories of Kubernetes manifests; the images
	// that pods in them name are put in as well, for all nodes.
	Manifests []string
	// From are local files with images, [REF=]PATH[:@INDEX]; they go before the
	// registries. See local.go for the kinds. INDEX is one image of the file, from 0.
	From []string
	// NetworkPlugin adds the plugin's images. Default none.
	NetworkPlugin v1alpha1.NetworkPlugin
	// LoadBalancer, haproxy or nginx, adds its image for control planes.
	// Default none.
	LoadBalancer string
	// Files are put in as they are, with what Addons says about what they are for.
	Files []PinnedFile
	// Addons are those whose images and files are among the others.
	Addons []Addon
	// Since is another bundle's file; what it has is left out, see
	// Contents.Since.
	Since string
	// SignKey signs the bundle, see SigningKey. Default: it is not signed.
	SignKey crypto.Signer
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
		return Contents{}, fmt.Errorf("make %s: %w", opts.what(), err)
	}
	if !keep {
		if err := os.RemoveAll(work); err != nil {
			return Contents{}, err
		}
	}
	return contents, nil
}

func defaultTransport() *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: time.Minute,
		TLSHandshakeTimeout: 30 * time.Second, ForceAttemptHTTP2: true}
}

func (o *CreateOptions) what() string {
	if o.KubernetesVersion == "" {
		return "a bundle of images"
	}
	return "a bundle of Kubernetes " + o.KubernetesVersion
}

// complete sets the defaults and refuses what can't work.
func (o *CreateOptions) complete() error {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.Arch, "amd64")
	set(&o.Registry, KubernetesRegistry)
	if o.Digests == nil {
		var err error
		if o.Digests, err = ReleaseDigests(); err != nil {
			return err
		}
	}
	if len(o.Archs) == 0 {
		o.Archs = []string{o.Arch}
	}
	o.Archs = slices.Compact(slices.Sorted(slices.Values(o.Archs)))
	if o.HTTPClient == nil {
		o.HTTPClient = defaultClient()
	}
	if o.Output == "" {
		return errors.New("make a bundle: no file to write it to")
	}
	if _, _, err := mirrorHost(o.Mirror); err != nil {
		return err
	}
	if _, err := loadBalancerImages(o.LoadBalancer); err != nil {
		return err
	}
	if o.KubernetesVersion == "" {
		return checkVersions(o.Archs, nil)
	}
	versions := map[string]string{"Kubernetes": o.KubernetesVersion}
	if !o.StackedEtcd {
		set(&o.EtcdVersion, DefaultEtcdVersion)
	}
	if o.EtcdVersion != "" {
		versions["etcd"] = o.EtcdVersion
	}
	return checkVersions(o.Archs, versions)
}

func (o CreateOptions) etcdImage() etcdImage { return etcdImage{o.StackedEtcd, o.EtcdVersion} }

// etcdVersion is that of the etcd image among references, empty when there is none: v3.6.8 of etcd:3.6.8-0.
func etcdVersion(refs []string) string {
	for _, ref := range refs {
		if version, ok := etcdVersionOf(ref); ok {
			return version
		}
	}
	return ""
}

func etcdVersionOf(ref string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil || path.Base(reference.Path(named)) != etcdName {
		return "", false
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return "", false
	}
	version, _, _ := strings.Cut(tagged.Tag(), "-")
	return "v" + strings.TrimPrefix(version, "v"), true
}

// creation is one run of Create.
type creation struct {
	opts      CreateOptions
	steps     stepper
	downloads *Store
	blobs     *Store
	// since is nil unless only a difference is made.
	since *Bundle
}

func (c *creation) run(ctx context.Context) (_ Contents, err error) {
	if c.opts.Since != "" {
		if c.since, err = Open(c.opts.Since); err != nil {
			return Contents{}, err
		}
		defer func() { err = errors.Join(err, c.since.Close()) }()
	}
	if err := os.MkdirAll(filepath.Dir(c.opts.Output), 0o755); err != nil {
		return Contents{}, err
	}
	contents := Contents{KubernetesVersion: c.opts.KubernetesVersion}
	var listed []string
	if c.opts.KubernetesVersion != "" {
		contents.EtcdVersion, contents.ContainerdVersion = c.opts.EtcdVersion, ContainerdVersion
		contents.RuncVersion, contents.CNIVersion = RuncVersion, CNIVersion
		if contents.Binaries, listed, err = c.kubernetes(ctx); err != nil {
			return Contents{}, err
		}
		if c.opts.StackedEtcd {
			contents.EtcdVersion = etcdVersion(listed)
		}
	}
	named, err := ImagesInManifests(c.opts.Manifests)
	if err != nil {
		return Contents{}, err
	}
	want, err := wantedImages(listed, named, c.opts)
	if err != nil {
		return Contents{}, err
	}
	// They are small, and one that is not what it should be ends it.
	if contents.Files, err = c.files(ctx); err != nil {
		return Contents{}, err
	}
	if contents.Images, err = c.images(ctx, want); err != nil {
		return Contents{}, err
	}
	contents.Addons = c.opts.Addons
	if len(contents.Images)+len(contents.Binaries)+len(contents.Files) == 0 {
		return Contents{}, errors.New("nothing is to go into it: name a Kubernetes version, images, manifests or files")
	}
	setArchs(&contents, c.opts.Archs)
	contents.Since = c.leftOut(contents)
	if err := checkContents(contents); err != nil {
		return Contents{}, err
	}
	step := c.steps.start("bundle/write", "write "+c.opts.Output)
	return contents, step.end(writeFile(ctx, c.opts.Output, contents, c.opts.SignKey, c.blobs, step.progress))
}

// kubernetes gets the binaries, and the list of images that kubeadm wants.
func (c *creation) kubernetes(ctx context.Context) ([]Binary, []string, error) {
	binaries, kubeadm, err := c.binaries(ctx)
	if err != nil {
		return nil, nil, err
	}
	listed, why, err := kubeadmImages(ctx, c.downloads, kubeadm, c.opts)
	if err != nil {
		return nil, nil, err
	}
	if why != nil {
		c.steps.emit(report.Event{Kind: report.Warning,
			Message: fmt.Sprintf("kubeadm could not be asked for its images (%v); the built-in list is used", why),
			Hint:    "allow programs to be run from " + c.downloads.Dir()})
	}
	return binaries, listed, nil
}

// setArchs says for which architectures the contents are. In a bundle for one
// the entries do not repeat it.
func setArchs(c *Contents, archs []string) {
	if len(archs) > 1 {
		c.Platforms = archs
		return
	}
	c.Arch = archs[0]
	for n := range c.Binaries {
		c.Binaries[n].Arch = ""
	}
	for n := range c.Images {
		c.Images[n].Arch = ""
	}
}

// leftOut is what the bundle that is only to be added to has already.
func (c *creation) leftOut(contents Contents) *Since {
	if c.since == nil {
		return nil
	}
	out := &Since{Bundle: c.since.Digest()}
	for _, b := range contents.Blobs() {
		if c.since.Has(b) {
			out.Blobs = append(out.Blobs, b.Digest)
		}
	}
	if len(out.Blobs) == 0 {
		c.steps.info(c.opts.Since + " has nothing of it: the new bundle is whole")
		return nil
	}
	slices.Sort(out.Blobs)
	return out
}

// binaries downloads and packs the host binaries, and tells kubeadm's digest
// among the downloads, by architecture.
func (c *creation) binaries(ctx context.Context) ([]Binary, map[string]digest.Digest, error) {
	d := &downloader{client: c.opts.HTTPClient, mirror: c.opts.Mirror, store: c.downloads}
	var items []download
	for _, arch := range c.opts.Archs {
		items = append(items, catalogue(c.opts.KubernetesVersion, c.opts.EtcdVersion, arch)...)
	}
	if c.opts.StackedEtcd {
		items = slices.DeleteFunc(items, func(d download) bool { return d.component == ComponentEtcd })
	}
	if c.opts.Mirror == "" || !c.opts.TrustMirror {
		for i, item := range items {
			items[i].digest = c.opts.Digests[item.url]
		}
	}
	packed := make([][]Binary, len(items))
	files := make([]digest.Digest, len(items))
	all := c.steps.start("bundle/binaries", "download programs")
	m := newMeter(all, len(items), -1)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelDownloads)
	for i, item := range items {
		group.Go(func() (err error) {
			one := c.steps.quiet("bundle/binary/"+c.named(item.name, item.arch), "download "+c.named(item.name, item.arch)+" "+item.version)
			part := m.part()
			if files[i], err = d.get(groupCtx, item, part.to, c.again); err == nil {
				packed[i], err = packBinaries(groupCtx, item, files[i], c.downloads, c.blobs)
			}
			if err != nil {
				return err
			}
			part.ended()
			return one.end(nil)
		})
	}
	if err := all.end(group.Wait()); err != nil {
		return nil, nil, err
	}
	var out []Binary
	kubeadm := map[string]digest.Digest{}
	for i, item := range items {
		if item.name == "kubeadm" {
			kubeadm[item.arch] = files[i]
		}
		out = append(out, packed[i]...)
	}
	slices.SortFunc(out, func(a, b Binary) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Arch, b.Arch))
	})
	return out, kubeadm, nil
}

// named is a name with its architecture, where there are several.
func (c *creation) named(name, arch string) string {
	if len(c.opts.Archs) < 2 || arch == "" {
		return name
	}
	return name + " (" + arch + ")"
}

// again tells of a read that failed and is tried again.
func (c *creation) again(err error) { c.steps.info(fmt.Sprintf("tried again: %v", err)) }

// noLogin tells of a login that can't be had.
func (c *creation) noLogin(err error) {
	c.steps.emit(report.Event{Kind: report.Warning, Message: err.Error(), Hint: "images that need no login are pulled nevertheless"})
}
