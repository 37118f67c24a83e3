package cmd

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

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
		o.Registry, o.Mirror, o.Mirrors, extra, o.NetworkPlugin})
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
