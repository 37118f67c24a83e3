package addon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
)

// shop has an addon `front` that needs `base`, and `extra` beside them.
func shop() addon.Catalogue {
	one := func(name string, needs ...string) *addon.Addon {
		return &addon.Addon{Descriptor: addon.Descriptor{Name: name, Release: addon.Release{Version: "v2"}, Needs: needs,
			Variants: map[string]addon.Variant{name + "-usual": {Default: true}, name + "-rare": {}}}}
	}
	return addon.Catalogue{"front": one("front", "base"), "base": one("base"), "extra": one("extra")}
}

// digestOf is what an addon of the shop is installed with.
func digestOf(t *testing.T, name string) string {
	t.Helper()
	_, digest, err := shop()[name].Pack()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestChoose(t *testing.T) {
	base := install.Inventory{Name: "base", Digest: digestOf(t, "base"), State: install.Installed, For: "other", Variants: []string{"base-rare"}}
	older, half := base, base
	older.Digest, half.State = "sha256:older", install.Installing
	for name, c := range map[string]struct {
		options   InstallOptions
		names     []string
		installed []install.Inventory
		// want are lines: NAME for WHOM: VARIANTS.
		want []string
		err  string
	}{
		"what is needed comes before": {names: []string{"front"}, want: []string{"base for front: base-usual", "front for : front-usual"}},
		"what is needed is there":     {names: []string{"front"}, installed: []install.Inventory{base}, want: []string{"front for : front-usual"}},
		"what is needed is older":     {names: []string{"front"}, installed: []install.Inventory{older}, want: []string{"base for other: base-rare", "front for : front-usual"}},
		"what is needed is half there": {names: []string{"front"}, installed: []install.Inventory{half},
			want: []string{"base for other: base-rare", "front for : front-usual"}},
		"what is named is done again": {names: []string{"base"}, installed: []install.Inventory{base}, want: []string{"base for : base-rare"}},
		"companion":                   {names: []string{"base"}, options: InstallOptions{Companions: []string{"extra"}}, want: []string{"base for : base-usual", "extra for base: extra-usual"}},
		"companion that is there": {names: []string{"extra"}, options: InstallOptions{Companions: []string{"base"}}, installed: []install.Inventory{base},
			want: []string{"extra for : extra-usual", "base for other: base-rare"}},
		"variants": {names: []string{"front"}, options: InstallOptions{With: []string{"front-rare"}, Without: []string{"base-usual"}},
			want: []string{"base for front: ", "front for : front-rare front-usual"}},
		"a variant that none has": {names: []string{"front"}, options: InstallOptions{With: []string{"extra-rare"}}, err: "has a variant extra-rare"},
		"an addon that is none":   {names: []string{"none"}, err: "none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{installed: c.installed}
			chosen, err := chooser{InstallOptions: c.options, all: shop(), names: c.names, find: s.find,
				fetch: func(context.Context, *addon.Addon) error { return nil }}.choose(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || action.KindOf(err) != action.Invalid {
					t.Errorf("got %v (%s)", err, action.KindOf(err))
				}
				return
			}
			var got []string
			for _, one := range chosen {
				got = append(got, fmt.Sprintf("%s for %s: %s", one.item.Name, one.item.For, strings.Join(one.item.Variants, " ")))
			}
			if err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestChooseWithoutManifests: nothing is chosen when upstream's manifests can't be had.
func TestChooseWithoutManifests(t *testing.T) {
	away := errors.New("no route to host")
	_, err := chooser{all: shop(), names: []string{"front"}, find: (&site{}).find, fetch: func(context.Context, *addon.Addon) error { return away }}.choose(t.Context())
	if !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
}

func TestCheckInstall(t *testing.T) {
	for want, o := range map[string]InstallOptions{
		"unknown addon nothing":    {Names: []string{"nothing"}},
		"specify it with --bundle": {Names: []string{"dashboard"}, Source: Source{Trust: trustOf("sha256:1")}},
		"./missing":                {Names: []string{"./missing"}},
	} {
		if err := CheckInstall(o); err == nil || !strings.Contains(err.Error(), want) || action.KindOf(err) != action.Invalid {
			t.Errorf("%s: got %v (%s)", want, err, action.KindOf(err))
		}
	}
	if err := CheckInstall(InstallOptions{Names: []string{"dashboard"}}); err != nil {
		t.Error(err)
	}
}

func TestDashboardInstall(t *testing.T) {
	for name, c := range map[string]struct {
		monitoring, admin bool
		with, companions  int
	}{
		"plain": {}, "monitoring": {monitoring: true, companions: 1}, "administrator": {admin: true, with: 1}, "both": {true, true, 1, 1},
	} {
		o := DashboardInstall(InstallOptions{Without: []string{"grafana"}}, c.monitoring, c.admin)
		if len(o.Names) != 1 || len(o.With) != c.with || len(o.Companions) != c.companions || len(o.Without) != 1 {
			t.Errorf("%s: %+v", name, o)
		}
		if err := CheckInstall(o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, names, err := Catalogue(append(o.Names, o.Companions...)); err != nil || len(names) != 1+c.companions {
			t.Errorf("%s: %v, %v", name, names, err)
		}
	}
}
