package prepare

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// The names of CRI's plugins in containerd's configuration: version 3 splits
// in two what is one in version 2.
// https://github.com/containerd/containerd/blob/main/docs/cri/config.md
const (
	criV2      = "io.containerd.grpc.v1.cri"
	criImages  = "io.containerd.cri.v1.images"
	criRuntime = "io.containerd.cri.v1.runtime"
	runcType   = "io.containerd.runc.v2"
)

// table is a part of a TOML document.
type table = map[string]any

// at finds or makes the table at a path.
func at(t table, path ...string) (table, error) {
	for _, name := range path {
		switch next := t[name].(type) {
		case nil:
			made := table{}
			t[name] = made
			t = made
		case table:
			t = next
		default:
			return nil, fmt.Errorf("%s in containerd's configuration is not a table", strings.Join(path, "."))
		}
	}
	return t, nil
}

// value looks a value up without making anything.
func value(t table, path ...string) any {
	for _, name := range path[:len(path)-1] {
		next, ok := t[name].(table)
		if !ok {
			return nil
		}
		t = next
	}
	return t[path[len(path)-1]]
}

// criDisabled tells whether an entry of disabled_plugins turns CRI off.
func criDisabled(entry any) bool {
	name, _ := entry.(string)
	return name == "cri" || name == criV2 || name == criImages || name == criRuntime
}

// lacking compares a containerd's effective configuration with what the kubelet
// needs, and says what is to be changed.
func lacking(dump []byte, spec Spec) ([]string, error) {
	var t table
	if err := toml.Unmarshal(dump, &t); err != nil {
		return nil, fmt.Errorf("containerd's own configuration can't be read: %w", err)
	}
	var wrong []string
	if disabled, _ := t["disabled_plugins"].([]any); slices.ContainsFunc(disabled, criDisabled) {
		wrong = append(wrong, "CRI is turned on")
	}
	plugin, sandbox, config := criRuntime, value(t, "plugins", criImages, "pinned_images", "sandbox"),
		value(t, "plugins", criImages, "registry", "config_path")
	if value(t, "plugins", criRuntime) == nil {
		plugin, sandbox, config = criV2, value(t, "plugins", criV2, "sandbox_image"), value(t, "plugins", criV2, "registry", "config_path")
	}
	if on, _ := value(t, "plugins", plugin, "containerd", "runtimes", "runc", "options", "SystemdCgroup").(bool); !on {
		wrong = append(wrong, "runc's cgroups are made by systemd")
	}
	if spec.SandboxImage != "" && sandbox != spec.SandboxImage {
		wrong = append(wrong, "the sandbox image is "+spec.SandboxImage)
	}
	if path, _ := config.(string); len(spec.RegistryMirrors) > 0 && !slices.Contains(strings.Split(path, ":"), certsDir) {
		wrong = append(wrong, "registry mirrors are read from "+certsDir)
	}
	return wrong, nil
}

// correct makes those changes in a configuration file, and leaves the rest of
// it as it is, but for comments.
func correct(old []byte, spec Spec) ([]byte, error) {
	t := table{}
	if err := toml.Unmarshal(old, &t); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", containerdConfig, err)
	}
	if disabled, ok := t["disabled_plugins"].([]any); ok {
		t["disabled_plugins"] = slices.DeleteFunc(disabled, criDisabled)
	}
	number, _ := t["version"].(int64)
	if number < 2 {
		if _, has := t["plugins"]; has {
			return nil, host.WithHint(fmt.Errorf("%s has the old format, version 1, and must be changed", containerdConfig),
				"put the output of `containerd config migrate` in its place")
		}
		// What else there may be is the same in version 2, which every containerd here reads.
		number = 2
		t["version"] = number
	}
	if err := setCRI(t, number, spec); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("# Changed by kubectl-ha; the original is noted in " + host.StateDir + "/ledger.jsonl.\n")
	if err := toml.NewEncoder(&out).Encode(t); err != nil {
		return nil, fmt.Errorf("%s can't be written: %w", containerdConfig, err)
	}
	return out.Bytes(), nil
}

func setCRI(t table, number int64, spec Spec) error {
	imagesPlugin, runtimePlugin := criImages, criRuntime
	if number == 2 {
		imagesPlugin, runtimePlugin = criV2, criV2
	}
	runc, err := at(t, "plugins", runtimePlugin, "containerd", "runtimes", "runc")
	if err != nil {
		return err
	}
	if runc["runtime_type"] == nil {
		runc["runtime_type"] = runcType
	}
	options, err := at(runc, "options")
	if err != nil {
		return err
	}
	options["SystemdCgroup"] = true
	images, err := at(t, "plugins", imagesPlugin)
	if err != nil {
		return err
	}
	if spec.SandboxImage != "" && number == 2 {
		images["sandbox_image"] = spec.SandboxImage
	} else if spec.SandboxImage != "" {
		pinned, err := at(images, "pinned_images")
		if err != nil {
			return err
		}
		pinned["sandbox"] = spec.SandboxImage
	}
	if len(spec.RegistryMirrors) > 0 {
		registry, err := at(images, "registry")
		if err != nil {
			return err
		}
		registry["config_path"] = certsDir
	}
	return nil
}
