package addon

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/manifests"
)

// Load reads an addon's folder. Its descriptor has its release.
func Load(fsys fs.FS) (*Addon, error) {
	a, err := read(fsys)
	if err != nil {
		return nil, err
	}
	return a, a.Validate()
}

func read(fsys fs.FS) (*Addon, error) {
	document, err := fs.ReadFile(fsys, DescriptorFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder has no %s, so it is no addon: %w", DescriptorFile, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the addon's descriptor: %w", err)
	}
	a := &Addon{Files: map[string][]byte{}}
	if err := yaml.UnmarshalStrict(document, &a.Descriptor); err != nil {
		return nil, fmt.Errorf("%s: %w", DescriptorFile, err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read the addon's folder: %w", err)
	}
	size := 0
	for _, e := range entries {
		if e.IsDir() || !manifest(e.Name()) {
			continue
		}
		content, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read the addon's manifest: %w", err)
		}
		if size += len(content); size > maxFiles {
			return nil, fmt.Errorf("the addon's manifests have more than %d bytes", maxFiles)
		}
		a.Files[e.Name()] = content
	}
	return a, nil
}

// Catalogue is a set of addons, by name.
type Catalogue map[string]*Addon

// BuiltIn are the addons that come with kubectl-ha.
func BuiltIn() (Catalogue, error) {
	return LoadCatalogue(manifests.Addons, manifests.AddonsDir, manifests.AddonVersions)
}

// LoadCatalogue reads the folders below dir; their releases stand in the file
// versions, and there only.
func LoadCatalogue(fsys fs.FS, dir, versions string) (Catalogue, error) {
	document, err := fs.ReadFile(fsys, versions)
	if err != nil {
		return nil, fmt.Errorf("read the versions of addons: %w", err)
	}
	releases := map[string]Release{}
	if err := yaml.UnmarshalStrict(document, &releases); err != nil {
		return nil, fmt.Errorf("%s: %w", versions, err)
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("list the addons: %w", err)
	}
	out := Catalogue{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub, err := fs.Sub(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		a, err := read(sub)
		if err != nil {
			return nil, fmt.Errorf("addon %s: %w", e.Name(), err)
		}
		if a.Descriptor.Name != e.Name() || a.Descriptor.Version != "" || a.Descriptor.Images != nil || a.Descriptor.Files != nil {
			return nil, fmt.Errorf("addon %s: it is named as its folder, and its release stands in %s", e.Name(), versions)
		}
		release, ok := releases[e.Name()]
		if !ok {
			return nil, fmt.Errorf("addon %s: %s has no release of it", e.Name(), versions)
		}
		a.Descriptor.Release = release
		if err := a.Validate(); err != nil {
			return nil, err
		}
		out[e.Name()] = a
	}
	for name := range releases {
		if out[name] == nil {
			return nil, fmt.Errorf("%s: there is no addon %s", versions, name)
		}
	}
	return out, out.checkNeeds()
}

func (c Catalogue) checkNeeds() error {
	for name, a := range c {
		if _, err := c.Order(name); err != nil {
			return fmt.Errorf("addon %s: %w", a.Descriptor.Name, err)
		}
	}
	return nil
}

// Order is what has to be installed for some addons to work, each after what it
// needs; the addons themselves are among them.
func (c Catalogue) Order(names ...string) ([]*Addon, error) {
	var out []*Addon
	state := map[string]int{} // 1: its needs are being looked at; 2: done
	var visit func(name, by string) error
	visit = func(name, by string) error {
		a := c[name]
		switch {
		case a == nil && by == "":
			return fmt.Errorf("there is no addon %s", name)
		case a == nil:
			return fmt.Errorf("%s needs the addon %s, which there is not", by, name)
		case state[name] == 1:
			return fmt.Errorf("%s and %s need each other", by, name)
		case state[name] == 2:
			return nil
		}
		state[name] = 1
		for _, need := range a.Descriptor.Needs {
			if err := visit(need, name); err != nil {
				return err
			}
		}
		state[name] = 2
		out = append(out, a)
		return nil
	}
	for _, name := range names {
		if err := visit(name, ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Names are the addons that a person may ask for, in order.
func (c Catalogue) Names() []string {
	var out []string
	for name, a := range c {
		if !a.Descriptor.Hidden {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
