package etcdmember

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Note brings a member's own configuration up to date with who the members are.
// etcd reads that only when it begins without data, so nothing is restarted; it is
// for whoever reads it, and for a restore.
func Note(ctx context.Context, h *host.Host, members map[string]string) (changed bool, err error) {
	for path, edit := range map[string]func([]byte, map[string]string) ([]byte, error){ConfigPath: noteSettings, YAMLPath: noteYAML} {
		raw, err := h.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return changed, err
		}
		out, err := edit(raw, members)
		if err != nil {
			return changed, fmt.Errorf("%s can't be read: %w", path, err)
		}
		if bytes.Equal(out, raw) {
			continue
		}
		wrote, err := h.WriteFile(ctx, host.File{Path: path, Mode: 0o644, Content: out, Note: "etcd's configuration"})
		if err != nil {
			return changed, err
		}
		changed = changed || wrote
	}
	return changed, nil
}

func noteSettings(raw []byte, members map[string]string) ([]byte, error) {
	if members[Setting(raw, "name")] == "" {
		return raw, nil // It is no member any more.
	}
	return withSetting(raw, initialCluster, strings.Join(initial(members), ",")), nil
}

// noteYAML is for a member that an earlier version of this program has set up.
func noteYAML(raw []byte, members map[string]string) ([]byte, error) {
	config := map[string]any{}
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	if name, _ := config["name"].(string); members[name] == "" {
		return raw, nil
	}
	config[initialCluster] = strings.Join(initial(members), ",")
	return yaml.Marshal(config)
}
