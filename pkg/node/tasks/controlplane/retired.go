package controlplane

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// RetireTimer is systemd's, by which the kubelet of a host ends that was taken out of the
// cluster: the task that does that runs in one of its pods.
const RetireTimer = "kubectl-ha-retire.timer"

// KeepKubelet ends the timer of a host that was retired a moment ago and is bare, or a
// node, again: it would stop the kubelet that is there by then.
func KeepKubelet(ctx context.Context, h *host.Host) error {
	_, err := h.StopUnit(ctx, RetireTimer, false)
	return err
}
