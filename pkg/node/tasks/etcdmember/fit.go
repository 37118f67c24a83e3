package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// FitSpec asks whether a member's host has all that its way to some versions needs.
type FitSpec struct {
	// Versions to go through, in order: v3.6.16.
	Versions []string `json:"versions"`
}

// FitData is what was found.
type FitData struct {
	// Installed is the version of the program in place.
	Installed string `json:"installed"`
}

// Fit reads the programs to come, and has each of them judge the member's own settings: one that
// does not take a setting would not come up. It changes nothing.
func Fit(ctx context.Context, env node.Env, spec FitSpec) (any, error) {
	h := env.Host
	config, err := h.ReadFile(ConfigPath)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "a member that another tool has set up is upgraded by that tool"
		if old, _ := h.Exists(YAMLPath); old {
			hint = "run kubectl ha bootstrap with the Cluster file once: it gives the member the settings in the way of this version"
		}
		return nil, host.WithHint(errors.New("this host has no etcd member whose settings are known"), hint)
	}
	if err != nil {
		return nil, err
	}
	settings := flags(config)
	if err := noV2(settings); err != nil {
		return nil, err
	}
	var data FitData
	if data.Installed, err = versionOf(ctx, h, binary, nil); err != nil {
		return nil, fmt.Errorf("the etcd in place: %w", err)
	}
	for _, v := range spec.Versions {
		r, err := toCome(h, v)
		if err != nil {
			return nil, err
		}
		got, err := versionOf(ctx, h, r.path("etcd"), settings)
		if err != nil {
			return nil, host.WithHint(fmt.Errorf("etcd %s does not take the member's settings: %w", v, err),
				"take the setting out of spec.etcd.extraArgs, or give it its new name, then run kubectl ha etcd apply; nothing was changed")
		}
		if got != v {
			return nil, fmt.Errorf("the etcd that was brought as %s says that it is %s", v, got)
		}
	}
	return data, nil
}

// noV2 refuses a member that serves etcd's version 2: what was stored by that is gone with 3.6.
// kubectl-ha never turns it on; from 3.4 on it is off unless a setting turns it on.
// https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/ (V2 Store)
func noV2(settings map[string]string) error {
	for _, flag := range []string{"enable-v2", "experimental-enable-v2v3"} {
		if v := settings[flag]; v != "" && !strings.EqualFold(v, "false") {
			return host.WithHint(fmt.Errorf("the member serves etcd's version 2: its setting %s is %s", flag, v),
				"move what is in the v2 store, take the setting out and run kubectl ha etcd apply; then `etcdutl check v2store --data-dir DIR` says whether anything is left")
		}
	}
	return nil
}
