package cmd

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
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// cacheDir is where bundles are kept between runs.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no place for bundles: %w; make one with `%s bundle create` and name it with --bundle", err, displayName)
	}
	return filepath.Join(dir, "kubectl-ha", "bundles"), nil
}

// ensureBundle opens the bundle that was named, else the one in the cache,
// which is made first when it is not there.
func ensureBundle(ctx context.Context, path string, c *v1alpha1.Cluster, arch string, sink report.Sink) (*bundle.Bundle, error) {
	if path != "" {
		return openBundle(path)
	}
	dir, err := cacheDir()
	if err != nil {
		return nil, err
	}
	opts := withClusterSources(bundle.CreateOptions{Arch: arch, WorkDir: filepath.Join(dir, "work")}, c)
	opts.Output = filepath.Join(dir, bundleName(opts))
	b, err := openVerified(ctx, opts.Output)
	if err == nil || ctx.Err() != nil {
		return b, err
	}
	if !errors.Is(err, os.ErrNotExist) {
		sink.Emit(report.Event{Kind: report.Warning, Message: fmt.Sprintf("the bundle in the cache can't be used and is made anew: %v", err)})
	}
	if _, err := bundle.Create(ctx, opts, sink); err != nil {
		return nil, err
	}
	return bundle.Open(opts.Output)
}

// cachedBundle is where ensureBundle keeps a cluster's bundle.
func cachedBundle(c *v1alpha1.Cluster, arch string) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, bundleName(withClusterSources(bundle.CreateOptions{Arch: arch, WorkDir: filepath.Join(dir, "work")}, c))), nil
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

// bundleName names a bundle in the cache after all that decides on its contents.
func bundleName(o bundle.CreateOptions) string {
	if o.EtcdVersion == "" {
		o.EtcdVersion = bundle.DefaultEtcdVersion
	}
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	extra := slices.Clone(o.ExtraImages)
	slices.Sort(extra)
	// Plain strings and a map, whose keys are written in order: that always encodes.
	key, _ := json.Marshal([]any{o.KubernetesVersion, o.EtcdVersion, bundle.ContainerdVersion, bundle.RuncVersion, bundle.CNIVersion,
		bundle.FlannelImage, bundle.FlannelCNIPluginImage,
		o.Registry, o.Mirror, o.Mirrors, o.TrustMirror, bundle.ReleaseDigestsFile, extra, o.NetworkPlugin})
	sum := sha256.Sum256(key)
	return o.KubernetesVersion + "-" + o.Arch + "-" + hex.EncodeToString(sum[:6]) + ".tar"
}

// expandHome replaces a leading ~/ by the caller's home.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		// Left as it is, opening it says what is missing.
		return path
	}
	return filepath.Join(home, rest)
}
