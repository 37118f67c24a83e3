package addon

import (
	"context"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
)

// choice is one addon that is about to be installed.
type choice struct {
	addon  *addon.Addon
	item   v1alpha1.AddonItem
	packed []byte
}

// chooser says which addons are installed.
type chooser struct {
	InstallOptions
	all addon.Catalogue
	// names are what the options' Names mean.
	names []string
	// find is what is known of an installed addon.
	find func(name string) (install.Inventory, bool)
	// fetch brings what an addon lacks.
	fetch func(context.Context, *addon.Addon) error
}

// choose says which addons are installed, in which order, with what. What is only needed, and
// is there as it is to be, is left out.
func (c chooser) choose(ctx context.Context) ([]choice, error) {
	order, err := c.all.Order(append(slices.Clone(c.names), c.Companions...)...)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	used := map[string]bool{}
	var out []choice
	for _, a := range order {
		if err := c.fetch(ctx, a); err != nil {
			return nil, err
		}
		packed, digest, err := a.Pack()
		if err != nil {
			return nil, err
		}
		name, named := a.Descriptor.Name, slices.Contains(c.names, a.Descriptor.Name)
		inv, there := c.find(name)
		if there && !named && inv.Digest == digest && inv.State == install.Installed && !slices.Contains(c.Companions, name) {
			continue // It is what is needed already.
		}
		item := v1alpha1.AddonItem{Name: name, Version: a.Descriptor.Version, Digest: digest, Variants: c.variants(a, inv, there, used)}
		if !named {
			item.For = c.neededBy(order, name)
			if there {
				item.For = inv.For
			}
		}
		out = append(out, choice{addon: a, item: item, packed: packed})
	}
	for _, v := range slices.Concat(c.With, c.Without) {
		if !used[v] {
			return nil, action.Invalidf("no installed addon has a variant %s", v)
		}
	}
	return out, nil
}

// neededBy is the addon for which another one is brought in.
func (c chooser) neededBy(order []*addon.Addon, name string) string {
	for _, a := range order {
		if slices.Contains(c.all[a.Descriptor.Name].Descriptor.Needs, name) {
			return a.Descriptor.Name
		}
	}
	return c.names[0]
}

// variants are those that are asked for; without a word those that there are, or
// that are usual.
func (c chooser) variants(a *addon.Addon, inv install.Inventory, there bool, used map[string]bool) []string {
	var out []string
	for name, v := range a.Descriptor.Variants {
		with, without := slices.Contains(c.With, name), slices.Contains(c.Without, name)
		used[name] = used[name] || with || without
		usual := v.Default
		if there {
			usual = slices.Contains(inv.Variants, name)
		}
		if with || usual && !without {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
