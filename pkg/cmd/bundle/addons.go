package bundle

import (
	addons "github.com/kubectl-ha/kubectl-ha/pkg/action/addon"

	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// allAddons stands for every addon that comes with this program.
const allAddons = "all"

// addAddons puts what addons and their needs consist of into the bundle.
func (o *bundleCreateOptions) addAddons() error {
	args := slices.DeleteFunc(slices.Clone(o.addons), func(a string) bool { return a == allAddons })
	all, names, err := addons.Catalogue(args)
	if err != nil {
		return err
	}
	if len(args) < len(o.addons) {
		names = append(names, all.Names()...)
	}
	order, err := all.Order(names...)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	for _, a := range order {
		d := a.Descriptor
		o.opts.Addons = append(o.opts.Addons, bundle.Addon{Name: d.Name, Version: d.Version, Images: a.Images()})
		o.opts.ExtraImages = append(o.opts.ExtraImages, a.Images()...)
		for _, f := range d.Files {
			o.opts.Files = append(o.opts.Files, bundle.PinnedFile{URL: f.URL, SHA256: f.SHA256})
		}
	}
	return nil
}
