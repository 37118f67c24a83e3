package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// The bounds of an image's small parts, in bytes. Registries themselves refuse
// manifests of more than 4 MiB.
const (
	maxManifest = 4 << 20
	maxConfig   = 16 << 20
	maxLayers   = 512
)

// puller reads images from registries, byte for byte as they are there.
type puller struct {
	system *types.SystemContext
	archs  []string
	policy *signature.Policy
	logins *logins
	store  *Store
	// host is the mirror's, empty for none; mirrors are per registry.
	host    string
	plain   bool
	mirrors map[string]string
	note    func(error)
	// elsewhere tells of blobs that need not be fetched; nil when all must be.
	elsewhere func(Blob) bool
}

// newPuller prepares pulling. note is told of what is tried again, warn of logins that
// can't be had.
func newPuller(opts CreateOptions, store *Store, note, warn func(error)) (*puller, error) {
	host, plain, err := mirrorHost(opts.Mirror)
	if err != nil {
		return nil, err
	}
	system := &types.SystemContext{
		OSChoice: "linux", OCISharedBlobDirPath: filepath.Join(store.Dir(), "blobs"),
		SignaturePolicyPath:     opts.SignaturePolicy,
		DockerRegistryUserAgent: "kubectl-ha",
	}
	policy := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	if opts.SignaturePolicy != "" {
		if policy, err = signature.DefaultPolicy(system); err != nil {
			return nil, fmt.Errorf("signature policy %s: %w", opts.SignaturePolicy, err)
		}
	}
	logins, err := newLogins(system, opts.AuthFile, warn)
	if err != nil {
		return nil, err
	}
	return &puller{system: system, archs: opts.Archs, policy: policy, logins: logins, store: store,
		host: host, plain: plain, mirrors: opts.Mirrors, note: note}, nil
}

// location is where an image is pulled from: its own registry, or a mirror,
// which may be without TLS when its prefix says http://.
func (p *puller) location(ref string) (location string, plain bool, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", false, err
	}
	domain := reference.Domain(named)
	rest := strings.TrimPrefix(named.String(), domain)
	if prefix, ok := p.mirrors[domain]; ok {
		prefix, plain := strings.CutPrefix(prefix, "http://")
		return strings.TrimRight(strings.TrimPrefix(prefix, "https://"), "/") + rest, plain, nil
	}
	if p.host != "" {
		return p.host + "/" + domain + rest, p.plain, nil
	}
	return named.String(), false, nil
}

// ownBuilds is what to do about a mirror that is not what upstream is.
const ownBuilds = "a mirror of builds of its own is taken as it is with --trust-mirror, or spec.images.trustMirror in the Cluster file"

// domainOf is the registry of a reference; empty when it is none.
func domainOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// opened is an image whose manifest and config are known, and its source.
type opened struct {
	image  Image
	source types.ImageSource
	layers []types.BlobInfo
	local  bool
	// one is held while a blob is read from a source that gives only one at a
	// time.
	one sync.Mutex
}

// fetch brings a layer into the store.
func (o *opened) fetch(ctx context.Context, p *puller, layer types.BlobInfo, at func(done, total int64)) error {
	if !o.source.HasThreadSafeGetBlob() {
		o.one.Lock()
		defer o.one.Unlock()
	}
	return p.fetch(ctx, o.source, layer, at)
}

// verb says what is done with it.
func (o *opened) verb() string {
	if o.local {
		return "take"
	}
	return "pull"
}

// open finds the platform's manifest and puts it and the config into the store.
func (p *puller) open(ctx context.Context, want wantedImage) (*opened, error) {
	var out *opened
	err := p.retry(ctx, want.local == nil, func() (err error) {
		out, err = p.tryOpen(ctx, want)
		return err
	})
	if err != nil && want.pin != "" {
		err = fmt.Errorf("this release of kubectl-ha wants it with the digest %s: %w", want.pin, err)
		if _, has := p.mirrors[domainOf(want.ref)]; has || p.host != "" {
			err = fmt.Errorf("%w\nnext: when the mirror lacks that, copy the whole image there (skopeo copy --all); %s", err, ownBuilds)
		}
	}
	return out, err
}

// retry tries a read again when it is one from a network.
func (p *puller) retry(ctx context.Context, network bool, read func() error) error {
	if !network {
		return read()
	}
	return retryRead(ctx, p.note, read)
}

// reference is where an image is to be read, and whether without TLS.
func (p *puller) reference(want wantedImage) (ref types.ImageReference, plain bool, err error) {
	if want.local != nil {
		return want.local, false, nil
	}
	location, plain, err := p.location(want.ref)
	if err != nil {
		return nil, false, err
	}
	if want.pin != "" {
		// By digest alone: a tag may have been moved, and the library refuses both.
		named, err := reference.ParseNormalizedNamed(location)
		if err != nil {
			return nil, false, err
		}
		pinned, err := reference.WithDigest(reference.TrimNamed(named), want.pin)
		if err != nil {
			return nil, false, err
		}
		location = pinned.String()
	}
	ref, err = docker.ParseReference("//" + location)
	return ref, plain, err
}

func (p *puller) tryOpen(ctx context.Context, want wantedImage) (_ *opened, err error) {
	ref, plain, err := p.reference(want)
	if err != nil {
		return nil, err
	}
	system := *p.system
	system.ArchitectureChoice = want.arch
	if !want.shared {
		system.OCISharedBlobDirPath = ""
	}
	system.DockerInsecureSkipTLSVerify = types.NewOptionalBool(plain)
	if want.local == nil {
		login, err := p.logins.find(ctx, ref.DockerReference())
		if err != nil {
			return nil, err
		}
		// Also when it is empty: then the library does not look for one by itself.
		system.DockerAuthConfig = &login
	}
	source, data, mediaType, err := p.look(ctx, ref, &system)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, source.Close())
		}
	}()
	parsed, err := manifest.FromBlob(data, mediaType)
	if err != nil {
		return nil, err
	}
	config := parsed.ConfigInfo()
	if config.Digest == "" {
		return nil, fmt.Errorf("its manifest is of the type %s, which is too old to be used here", mediaType)
	}
	out := &opened{source: source, local: want.local != nil}
	out.image = Image{Ref: want.ref, Source: want.source(), Check: p.checkOf(want, ref), For: want.roles, Manifest: Blob{
		Digest: digest.FromBytes(data), Size: int64(len(data)), MediaType: mediaType}}
	out.image.Blobs = []Blob{out.image.Manifest, blobOf(config)}
	for _, l := range parsed.LayerInfos() {
		out.layers = append(out.layers, l.BlobInfo)
		if b := blobOf(l.BlobInfo); !slices.Contains(out.image.Blobs, b) {
			out.image.Blobs = append(out.image.Blobs, b)
		}
	}
	if err := checkImageBlobs(out.image); err != nil {
		return nil, err
	}
	if err := p.store.Put(ctx, out.image.Manifest, strings.NewReader(string(data))); err != nil {
		return nil, err
	}
	if err := p.bring(ctx, source, config, nil); err != nil {
		return nil, err
	}
	out.image.Arch, err = p.checkPlatform(config.Digest, want.arch)
	return out, err
}

// look opens an image's source and reads its manifest for the platform.
func (p *puller) look(ctx context.Context, ref types.ImageReference, system *types.SystemContext) (types.ImageSource, []byte, string, error) {
	ctx, watch := watchStall(ctx)
	defer watch.end()
	source, err := ref.NewImageSource(ctx, system)
	if err != nil {
		return nil, nil, "", watch.explain(err)
	}
	data, mediaType, err := p.platformManifest(ctx, source, system)
	if err != nil {
		return nil, nil, "", watch.explain(errors.Join(err, source.Close()))
	}
	return source, data, mediaType, nil
}

// platformManifest reads the manifest for the platform, through a manifest list
// when there is one, and applies the signature policy.
func (p *puller) platformManifest(ctx context.Context, source types.ImageSource, system *types.SystemContext) ([]byte, string, error) {
	top := image.UnparsedInstance(source, nil)
	if err := p.allowed(ctx, top); err != nil {
		return nil, "", err
	}
	data, mediaType, err := top.Manifest(ctx)
	if err != nil {
		return nil, "", err
	}
	mediaType = manifest.NormalizedMIMEType(mediaType)
	if !manifest.MIMETypeIsMultiImage(mediaType) {
		return data, mediaType, nil
	}
	list, err := manifest.ListFromBlob(data, mediaType)
	if err != nil {
		return nil, "", err
	}
	instance, err := list.ChooseInstance(system)
	if err != nil {
		return nil, "", err
	}
	if data, mediaType, err = image.UnparsedInstance(source, &instance).Manifest(ctx); err != nil {
		return nil, "", err
	}
	return data, manifest.NormalizedMIMEType(mediaType), nil
}

// allowed applies the signature policy. A policy context serves one image at a
// time, hence one for each.
func (p *puller) allowed(ctx context.Context, img types.UnparsedImage) error {
	policy, err := signature.NewPolicyContext(p.policy)
	if err != nil {
		return err
	}
	_, err = policy.IsRunningImageAllowed(ctx, img)
	if err = errors.Join(err, policy.Destroy()); err != nil {
		return fmt.Errorf("signature policy: %w", err)
	}
	return nil
}

// checkPlatform tells an image's architecture and refuses one of another
// platform than asked for: what is not behind a manifest list is given whatever
// was asked for. Without an architecture any of the bundle's will do.
func (p *puller) checkPlatform(config digest.Digest, arch string) (string, error) {
	f, err := p.store.Open(config)
	if err != nil {
		return "", err
	}
	var got struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	}
	err = json.NewDecoder(io.LimitReader(f, maxConfig)).Decode(&got)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("its config %s: %w", config, err)
	}
	archs := p.archs
	if arch != "" {
		archs = []string{arch}
	}
	if got.OS != p.system.OSChoice || !slices.Contains(archs, got.Architecture) {
		return "", fmt.Errorf("it is for %.50s/%.50s, not for %s/%s", got.OS, got.Architecture,
			p.system.OSChoice, strings.Join(archs, " or "))
	}
	return got.Architecture, nil
}

// checkImageBlobs refuses what no registry would hold.
func checkImageBlobs(i Image) error {
	if len(i.Blobs) > maxLayers {
		return fmt.Errorf("it has %d layers, more than %d", len(i.Blobs), maxLayers)
	}
	for n, b := range i.Blobs {
		if err := checkDigest(b.Digest); err != nil {
			return err
		}
		limit := int64(maxBlob)
		if n < 2 {
			limit = []int64{maxManifest, maxConfig}[n]
		}
		if b.Size <= 0 || b.Size > limit {
			return fmt.Errorf("a size of %d bytes for blob %s can't be", b.Size, b.Digest)
		}
	}
	return nil
}

// closeSource ends the use of an image's registry.
func (o *opened) closeSource() error {
	if err := o.source.Close(); err != nil {
		return fmt.Errorf("image %s: %w", o.image.Ref, err)
	}
	return nil
}
