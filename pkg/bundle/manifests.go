package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/manifest"
)

// The bounds of Kubernetes manifests: more in one file than any release of any
// project has, and deeper than any object.
const (
	maxManifestFile = 64 << 20
	maxDepth        = 100
)

// ImagesInManifests lists the images that pods in Kubernetes manifests name:
// YAML or JSON, files or directories (with all below them, of which .yaml, .yml
// and .json are read). A pod is known by its structure and not by the kind that
// it is in, so that pod templates of custom resources count as well: whatever
// has a list of containers, initContainers or ephemeralContainers with images,
// or volumes that are images. They are read as kubectl reads what it applies.
// References come normalized, each once, in order.
func ImagesInManifests(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		files, err := manifestFiles(path)
		if err != nil {
			return nil, fmt.Errorf("manifests: %w", err)
		}
		for _, file := range files {
			refs, err := imagesInFile(file)
			if err != nil {
				return nil, fmt.Errorf("manifest %w", err)
			}
			out = append(out, refs...)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) == 0 && len(paths) > 0 {
		return nil, fmt.Errorf("no pod in the manifests %s names any image", strings.Join(paths, ", "))
	}
	return out, nil
}

// manifestFiles are the file itself, or those in a directory.
func manifestFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var out []string
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch strings.ToLower(filepath.Ext(name)) {
		case ".yaml", ".yml", ".json":
			out = append(out, name)
		}
		return nil
	})
	return out, err
}

func imagesInFile(name string) (refs []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxManifestFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > maxManifestFile {
		return nil, fmt.Errorf("%s: it is larger than %s", name, formatBytes(maxManifestFile))
	}
	documents, err := manifest.Documents(data, name)
	if err != nil {
		return nil, fmt.Errorf("%w; a template must be rendered first", err)
	}
	for _, d := range documents {
		found, err := imagesIn(d, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		refs = append(refs, found...)
	}
	return refs, nil
}

// imagesIn looks through a document.
func imagesIn(node any, depth int) (refs []string, err error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	var below []any
	switch n := node.(type) {
	case []any:
		below = n
	case map[string]any:
		for key, value := range n {
			below = append(below, value)
			for _, ref := range podImages(key, value) {
				full, err := normalizeRef(ref)
				if err != nil {
					return nil, err
				}
				refs = append(refs, full)
			}
		}
	}
	for _, b := range below {
		more, err := imagesIn(b, depth+1)
		if err != nil {
			return nil, err
		}
		refs = append(refs, more...)
	}
	return refs, nil
}

// podImages are the images in one field of a pod's spec. Image volumes:
// https://kep.k8s.io/4639
func podImages(key string, value any) (refs []string) {
	list, ok := value.([]any)
	if !ok {
		return nil
	}
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		var ref any
		switch key {
		case "containers", "initContainers", "ephemeralContainers":
			ref = fields["image"]
		case "volumes":
			volume, ok := fields["image"].(map[string]any)
			if !ok {
				continue
			}
			ref = volume["reference"]
		}
		// A container without an image is one that somebody sets it for.
		if text, ok := ref.(string); ok && text != "" {
			refs = append(refs, text)
		}
	}
	return refs
}
