// Package addon installs addons, tells what is installed, and takes it away.
package addon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
)

// isFolder tells a user's own addon from the name of one.
func isFolder(arg string) bool {
	return arg == "." || arg == ".." || strings.ContainsRune(arg, filepath.Separator) || strings.Contains(arg, "/")
}

// Catalogue are the addons that come with this program and those of folders among
// the arguments; names are what the arguments mean.
func Catalogue(args []string) (all addon.Catalogue, names []string, err error) {
	if all, err = addon.BuiltIn(); err != nil {
		return nil, nil, err
	}
	for _, arg := range args {
		if !isFolder(arg) {
			if all[arg] == nil {
				return nil, nil, action.Invalidf("unknown addon %s; available are %s, or specify a folder, such as ./%s", arg, strings.Join(all.Names(), ", "), arg)
			}
			names = append(names, arg)
			continue
		}
		a, err := addon.Load(os.DirFS(arg))
		if err != nil {
			return nil, nil, action.As(action.Invalid, fmt.Errorf("%s: %w", arg, err))
		}
		name := a.Descriptor.Name
		if all[name] != nil {
			return nil, nil, action.Invalidf("%s: an addon named %s already exists; use another name", arg, name)
		}
		all[name] = a
		names = append(names, name)
	}
	return all, names, nil
}
