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

// need is one thing that the kubelet needs of containerd's configuration.
type need struct {
	// says is what is so when it is there.
	says string
	// lacks tells whether the configuration that is in force lacks it.
	lacks func(t table) bool
	// against tells whether a single file says otherwise.
	against func(file table) bool
}

// needs are what the kubelet needs.
func needs(spec Spec) []need {
	out := []need{{says: "CRI is turned on", lacks: disablesCRI, against: disablesCRI}, {
		says: "runc's cgroups are made by systemd",
		lacks: func(t table) bool {
			return slices.ContainsFunc(runcRuntimes(t), func(name string) bool { return runtimeOption(t, criPlugin(t), name) != true })
		},
		against: func(file table) bool {
			return eachRuntime(file, func(plugin, name string) bool {
				set := runtimeOption(file, plugin, name)
				return set != nil && set != true
			})
		},
	}}
	if spec.SandboxImage != "" {
		out = append(out, need{says: "the sandbox image is " + spec.SandboxImage,
			lacks: func(t table) bool { return sandboxOf(t) != spec.SandboxImage },
			against: func(file table) bool {
				v2, v3 := value(file, "plugins", criV2, "sandbox_image"), value(file, "plugins", criImages, "pinned_images", "sandbox")
				return v2 != nil && v2 != spec.SandboxImage || v3 != nil && v3 != spec.SandboxImage
			}})
	}
	if len(spec.RegistryMirrors) > 0 {
		out = append(out, need{says: "registry mirrors are read from " + certsDir,
			lacks: func(t table) bool { return !readsMirrors(registryOf(t)["config_path"]) },
			against: func(file table) bool {
				return slices.ContainsFunc([]string{criV2, criImages}, func(plugin string) bool {
					set := value(file, "plugins", plugin, "registry", "config_path")
					return set != nil && !readsMirrors(set)
				})
			}})
	}
	return out
}

// disablesCRI tells whether disabled_plugins has it.
func disablesCRI(t table) bool {
	disabled, _ := t["disabled_plugins"].([]any)
	return slices.ContainsFunc(disabled, criDisabled)
}

// criPlugin is the name of the plugin that has the runtimes in a whole configuration.
func criPlugin(t table) string {
	if value(t, "plugins", criRuntime) == nil {
		return criV2
	}
	return criRuntime
}

// runcRuntimes are the runtimes whose cgroups the kubelet's must agree with: runc, and what
// pods get that ask for none, if it is run like runc.
func runcRuntimes(t table) []string {
	out := []string{"runc"}
	plugin := criPlugin(t)
	name, _ := value(t, "plugins", plugin, "containerd", "default_runtime_name").(string)
	if name != "" && name != "runc" && value(t, "plugins", plugin, "containerd", "runtimes", name, "runtime_type") == runcType {
		out = append(out, name)
	}
	return out
}

func runtimeOption(t table, plugin, name string) any {
	return value(t, "plugins", plugin, "containerd", "runtimes", name, "options", "SystemdCgroup")
}

// eachRuntime tells whether any runtime that a file names is so.
func eachRuntime(file table, is func(plugin, name string) bool) bool {
	return slices.ContainsFunc([]string{criV2, criRuntime}, func(plugin string) bool {
		runtimes, _ := value(file, "plugins", plugin, "containerd", "runtimes").(table)
		for name := range runtimes {
			if is(plugin, name) {
				return true
			}
		}
		return false
	})
}

// sandboxOf is the sandbox image of a whole configuration.
func sandboxOf(t table) any {
	if criPlugin(t) == criRuntime {
		return value(t, "plugins", criImages, "pinned_images", "sandbox")
	}
	return value(t, "plugins", criV2, "sandbox_image")
}

// registryOf is what a whole configuration says of registries.
func registryOf(t table) table {
	plugin := criV2
	if criPlugin(t) == criRuntime {
		plugin = criImages
	}
	out, _ := value(t, "plugins", plugin, "registry").(table)
	return out
}

func readsMirrors(configPath any) bool {
	path, _ := configPath.(string)
	return slices.Contains(strings.Split(path, ":"), certsDir)
}

// lacking lists what a whole configuration, as `containerd config dump` prints it, lacks.
func lacking(t table, spec Spec) []need {
	return slices.DeleteFunc(needs(spec), func(n need) bool { return !n.lacks(t) })
}

// sayings are the needs in words.
func sayings(list []need) string {
	var out []string
	for _, n := range list {
		out = append(out, n.says)
	}
	return strings.Join(out, ", ")
}

// correct makes those changes in a configuration file, and leaves the rest of
// it as it is, but for comments.
func correct(old []byte, config string, spec Spec) ([]byte, error) {
	t := table{}
	if err := toml.Unmarshal(old, &t); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", config, err)
	}
	if disabled, ok := t["disabled_plugins"].([]any); ok {
		t["disabled_plugins"] = slices.DeleteFunc(disabled, criDisabled)
	}
	number, _ := t["version"].(int64)
	if number < 2 {
		// In version 2 other plugins that are turned off have other names as well.
		rest, _ := t["disabled_plugins"].([]any)
		if _, has := t["plugins"]; has || len(rest) > 0 {
			return nil, host.WithHint(fmt.Errorf("%s has the old format, version 1, and must be changed", config),
				"put the output of `containerd config migrate` in its place")
		}
		// What else there may be is the same in version 2, which every containerd here reads.
		number = 2
		t["version"] = number
	}
	if err := setCRI(t, number, runcRuntimes(t), spec); err != nil {
		return nil, err
	}
	return encode(t, "Changed by kubectl-ha; the original is noted in "+host.StateDir+"/ledger.jsonl.")
}

// encode writes a configuration, with a comment on top.
func encode(t table, comment string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# " + comment + "\n")
	if err := toml.NewEncoder(&out).Encode(t); err != nil {
		return nil, fmt.Errorf("containerd's configuration can't be written: %w", err)
	}
	return out.Bytes(), nil
}

// setCRI sets what the kubelet needs in a table of the given version of the format.
func setCRI(t table, number int64, runtimes []string, spec Spec) error {
	imagesPlugin, runtimePlugin := criImages, criRuntime
	if number == 2 {
		imagesPlugin, runtimePlugin = criV2, criV2
	}
	for _, name := range runtimes {
		runtime, err := at(t, "plugins", runtimePlugin, "containerd", "runtimes", name)
		if err != nil {
			return err
		}
		if runtime["runtime_type"] == nil {
			runtime["runtime_type"] = runcType
		}
		options, err := at(runtime, "options")
		if err != nil {
			return err
		}
		options["SystemdCgroup"] = true
	}
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
		theirs, _ := registry["config_path"].(string)
		switch {
		case theirs == "":
			registry["config_path"] = certsDir
		case !readsMirrors(theirs):
			// The first directory that has something of a registry counts.
			registry["config_path"] = certsDir + ":" + theirs
		}
	}
	return nil
}
