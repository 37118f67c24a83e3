package addon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
)

// Listed is an addon that there is, or that is installed.
type Listed struct {
	Name string `json:"name"`
	// Version is this program's; "-" of one that does not come with it.
	Version string `json:"version"`
	// Installed is the version that is installed; empty when none is, or that is not known.
	Installed   string   `json:"installed,omitempty"`
	Variants    []string `json:"variants,omitempty"`
	Description string   `json:"description"`
	Images      []string `json:"images,omitempty"`
}

// List lists the addons that come with this program, in the order of their names, then others
// that are installed. Without a config, nothing is known of what is installed. What keeps that
// from being known is unknown: what there is does not depend on any cluster.
func List(ctx context.Context, config *rest.Config) (list []Listed, unknown, err error) {
	all, err := addon.BuiltIn()
	if err != nil {
		return nil, nil, err
	}
	s := &site{}
	if config != nil {
		if connected, err := connect(ctx, config); err != nil {
			unknown = err
		} else {
			s = connected
		}
	}
	return listed(all, s.installed), unknown, nil
}

// listed is pure.
func listed(all addon.Catalogue, installed []install.Inventory) []Listed {
	s := &site{installed: installed}
	var out []Listed
	for _, name := range all.Names() {
		a := all[name]
		inv, _ := s.find(name)
		out = append(out, Listed{Name: name, Version: a.Descriptor.Version, Installed: inv.Version, Description: a.Descriptor.Description,
			Images: a.Images(), Variants: slices.Sorted(maps.Keys(a.Descriptor.Variants))})
	}
	for _, inv := range installed {
		if all[inv.Name] == nil {
			out = append(out, Listed{Name: inv.Name, Version: "-", Installed: inv.Version, Description: "your own"})
		}
	}
	return out
}

// State is how an installed addon is.
type State struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Variants []string `json:"variants,omitempty"`
	// For is the addon that has brought it in; empty when a person did.
	For     string        `json:"for,omitempty"`
	State   install.State `json:"state"`
	Healthy bool          `json:"healthy"`
	// Lacks says what keeps it from being healthy.
	Lacks   []string         `json:"lacks,omitempty"`
	Objects []install.Object `json:"objects"`
}

// Status looks at the installed addons of these names, at all without one.
func Status(ctx context.Context, config *rest.Config, names []string) ([]State, error) {
	s, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if _, there := s.find(n); !there {
			return nil, action.Invalidf("%s is not installed", n)
		}
	}
	states := []State{}
	for _, inv := range s.installed {
		if len(names) > 0 && !slices.Contains(names, inv.Name) {
			continue
		}
		lacks, err := install.Unhealthy(ctx, s.clients, &inv)
		if err != nil {
			return nil, action.OfCluster(err)
		}
		states = append(states, stateOf(inv, lacks))
	}
	return states, nil
}

// stateOf judges: what is not installed to its end is not well, whatever its objects are. It
// is pure.
func stateOf(inv install.Inventory, lacks []string) State {
	return State{Name: inv.Name, Version: inv.Version, Variants: inv.Variants, For: inv.For, State: inv.State,
		Healthy: len(lacks) == 0 && inv.State == install.Installed, Lacks: lacks, Objects: inv.Objects}
}

// Unwell is an action.Findings that names the addons that are not well; nil when all are.
func Unwell(states []State) error {
	var sick []string
	for _, s := range states {
		if !s.Healthy {
			sick = append(sick, s.Name)
		}
	}
	if len(sick) == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("not healthy: %s", strings.Join(sick, ", ")))
}
