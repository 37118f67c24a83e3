package bundles

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Dir is where bundles are kept between runs.
func Dir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for bundles: %w; create a bundle with `%s bundle create` and pass it with --bundle", err, program.Name)
	}
	return filepath.Join(dir, "kubectl-ha", "bundles"), nil
}

// Ensure opens the bundle at path, else (path is empty) the one in the cache,
// which is made first when it is not there.
func Ensure(ctx context.Context, path string, c *v1alpha1.Cluster, arch string, sink report.Sink) (*bundle.Bundle, error) {
	if path != "" {
		return Open(path)
	}
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	opts := WithClusterSources(bundle.CreateOptions{Arch: arch, WorkDir: filepath.Join(dir, "work")}, c)
	opts.Output = filepath.Join(dir, Name(opts))
	b, err := openVerified(ctx, opts.Output)
	if err == nil || ctx.Err() != nil {
		return b, err
	}
	if !errors.Is(err, os.ErrNotExist) {
		sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("the cached bundle is unusable and is created again: %v", err)})
	}
	if _, err := bundle.Create(ctx, opts, sink); err != nil {
		return nil, err
	}
	return bundle.Open(opts.Output)
}

// Cached is where Ensure keeps a cluster's bundle.
func Cached(c *v1alpha1.Cluster, arch string) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, Name(WithClusterSources(bundle.CreateOptions{Arch: arch, WorkDir: filepath.Join(dir, "work")}, c))), nil
}

// openVerified opens a bundle and reads it through: one in the cache has lain
// there for who knows how long.
func openVerified(ctx context.Context, path string) (*bundle.Bundle, error) {
	b, err := bundle.Open(path)
	if err != nil {
		return nil, err
	}
	if err := b.Verify(ctx, report.Discard()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Name names a bundle in the cache after all that decides on its contents.
func Name(o bundle.CreateOptions) string {
	if o.EtcdVersion == "" && !o.StackedEtcd {
		o.EtcdVersion = bundle.DefaultEtcdVersion
	}
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	extra := slices.Clone(o.ExtraImages)
	slices.Sort(extra)
	// Plain strings and a map, whose keys are written in order: that always encodes. Names of bundles for external
	// etcd are as they were before there was the other.
	parts := []any{o.KubernetesVersion, o.EtcdVersion, bundle.ContainerdVersion, bundle.RuncVersion, bundle.CNIVersion,
		bundle.FlannelImage, bundle.FlannelCNIPluginImage,
		o.Registry, o.Mirror, o.Mirrors, o.TrustMirror, bundle.ReleaseDigestsFile, extra, o.NetworkPlugin}
	if o.StackedEtcd {
		parts = append(parts, v1alpha1.EtcdStacked)
	}
	key, _ := json.Marshal(parts)
	sum := sha256.Sum256(key)
	return o.KubernetesVersion + "-" + o.Arch + "-" + hex.EncodeToString(sum[:6]) + ".tar"
}

// Versions are those of Kubernetes that bundles in the cache have. Where there is no cache there
// is none.
func Versions() []string {
	dir, err := Dir()
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(dir) // None is no error: there are no bundles then.
	var out []string
	for _, e := range entries {
		if v := versionIn(e.Name()); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// versionIn is the version in what Name has named; empty in any other name.
func versionIn(name string) string {
	parts := strings.Split(strings.TrimSuffix(name, ".tar"), "-")
	if !strings.HasSuffix(name, ".tar") || len(parts) < 3 {
		return ""
	}
	// A version before its release has a hyphen itself.
	return strings.Join(parts[:len(parts)-2], "-")
}

// WithClusterSources fills in what is not set from a Cluster file.
func WithClusterSources(opts bundle.CreateOptions, c *v1alpha1.Cluster) bundle.CreateOptions {
	images := c.Spec.Images
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&opts.KubernetesVersion, c.Spec.KubernetesVersion}, {&opts.EtcdVersion, c.Spec.Etcd.Version},
		{&opts.Registry, images.Registry}, {&opts.Mirror, images.Mirror}, {&opts.AuthFile, ExpandHome(images.AuthFile)},
	} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	opts.StackedEtcd = opts.StackedEtcd || c.Stacked()
	if opts.NetworkPlugin == "" {
		opts.NetworkPlugin = c.Spec.Network.Plugin
	}
	if len(opts.Mirrors) == 0 {
		opts.Mirrors = images.Mirrors
	}
	opts.TrustMirror = opts.TrustMirror || images.TrustMirror
	opts.ExtraImages = append(opts.ExtraImages, images.ExtraImages...)
	return opts
}
