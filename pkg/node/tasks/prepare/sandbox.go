package prepare

import (
	"context"
	"fmt"

	"github.com/pelletier/go-toml/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// SandboxImage asks the host's containerd which image it makes pods' sandboxes
// of; empty when its configuration names none.
func SandboxImage(ctx context.Context, h *host.Host) (string, error) {
	path, err := h.LookPath("containerd")
	if err != nil {
		return "", err
	}
	out, err := h.Query(ctx, host.Command{Argv: []string{path, "config", "dump"}, Timeout: askWithin})
	if err != nil {
		return "", fmt.Errorf("ask containerd for its configuration: %w", err)
	}
	return sandboxImage(out.Stdout)
}

func sandboxImage(dump []byte) (string, error) {
	var t table
	if err := toml.Unmarshal(dump, &t); err != nil {
		return "", fmt.Errorf("containerd's own configuration can't be read: %w", err)
	}
	ref, ok := value(t, "plugins", criImages, "pinned_images", "sandbox").(string)
	if !ok {
		ref, _ = value(t, "plugins", criV2, "sandbox_image").(string)
	}
	return ref, nil
}
