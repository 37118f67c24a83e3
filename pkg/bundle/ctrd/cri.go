package ctrd

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The plugin by which containerd serves the kubelet, of all versions from 1.7;
// plugins/cri in containerd.
const (
	criType = "io.containerd.grpc.v1"
	criID   = "cri"
)

// BrokenError is a daemon that answers, but serves no kubelet: its CRI plugin
// did not load, which it only tries when it starts.
type BrokenError struct {
	// Reason is containerd's own; empty when the plugin is disabled.
	Reason string
}

// Error is one line.
func (e *BrokenError) Error() string {
	if e.Reason == "" {
		return "containerd runs without its CRI plugin, which the kubelet needs: it is disabled"
	}
	return "containerd runs, but its CRI plugin, which the kubelet needs, did not load: " + e.Reason
}

// CheckCRI asks the daemon whether it can serve a kubelet; the error is a
// *BrokenError when it can't until it is started again.
func CheckCRI(ctx context.Context, socket string) (err error) {
	ctx, client, err := connect(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	answer, err := client.IntrospectionService().Plugins(ctx, "type=="+criType+",id=="+criID)
	if err != nil {
		return fmt.Errorf("ask containerd for its plugins: %w", err)
	}
	for _, p := range answer.Plugins {
		if p.InitErr != nil {
			return &BrokenError{Reason: strings.TrimSpace(p.InitErr.Message)}
		}
	}
	if len(answer.Plugins) == 0 {
		return &BrokenError{}
	}
	return nil
}
