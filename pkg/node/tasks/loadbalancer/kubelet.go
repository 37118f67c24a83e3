// Package loadbalancer is what a host has to do for the load balancer: its kubelet
// uses another endpoint. The load balancer itself needs nothing of the host.
package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// kubeletConf is the kubelet's login, as kubeadm writes it.
	kubeletConf = "/etc/kubernetes/kubelet.conf"
	kubeletUnit = "kubelet.service"
	// settleTimeout bounds the wait for systemd to say that the kubelet runs.
	settleTimeout = time.Minute
)

// KubeletSpec says where the kubelet is to find the API.
type KubeletSpec struct {
	// Server is the URL that it is to use.
	Server string `json:"server"`
	// From lists the URLs that it is taken away from. A kubelet that uses another one was
	// given that by somebody else, and keeps it.
	From []string `json:"from"`
}

// KubeletData tells what was found.
type KubeletData struct {
	// Kept is the URL that the kubelet keeps, since somebody else chose it.
	Kept string `json:"kept,omitempty"`
}

// Kubelet points the host's kubelet at another endpoint, once that was seen to answer from this
// host, and restarts it. Pods don't notice.
func Kubelet(ctx context.Context, env node.Env, spec KubeletSpec) (any, error) {
	return pointKubelet(ctx, env, spec, answers)
}

// pointKubelet is Kubelet, with what looks whether an access file's endpoint answers.
func pointKubelet(ctx context.Context, env node.Env, spec KubeletSpec, answers func(context.Context, []byte) error) (any, error) {
	h := env.Host
	raw, err := h.ReadFile(kubeletConf)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("the kubelet's login: %w", err), "is this host a node of the cluster?")
	}
	content, before, err := kubeconfig.SetServer(raw, spec.Server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kubeletConf, err)
	}
	if before != spec.Server && !slices.Contains(spec.From, before) {
		return KubeletData{Kept: before}, nil
	}
	if before != spec.Server {
		if err := answers(ctx, content); err != nil {
			return nil, host.WithHint(fmt.Errorf("%s does not answer from this host, and the kubelet goes on using %s: %w", spec.Server, before, err),
				"look at the network between this host and that address, and resume")
		}
		if _, err := h.WriteFile(ctx, host.File{Path: kubeletConf, Mode: 0o600, Content: content, Note: "the kubelet uses " + spec.Server}); err != nil {
			return nil, err
		}
	}
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return nil, err
	}
	// Stale also when an earlier run wrote the file and did not get to the restart.
	if !h.Stale(u, kubeletConf) {
		return KubeletData{}, nil
	}
	env.Progress("restarting the kubelet")
	if _, err := h.EnsureUnit(ctx, kubeletUnit, true); err != nil {
		return nil, fmt.Errorf("restart the kubelet with %s: %w", spec.Server, err)
	}
	return KubeletData{}, settle(ctx, h)
}

// settle waits until the kubelet runs. Whether it reaches the API its node tells.
func settle(ctx context.Context, h *host.Host) error {
	if h.DryRun() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		u, err := h.Unit(ctx, kubeletUnit)
		if err == nil && u.ActiveState == "active" {
			return nil
		}
		select {
		case <-ctx.Done():
			return host.WithHint(errors.Join(fmt.Errorf("the kubelet does not run after its restart, it is %s", u.ActiveState), err),
				"look at journalctl -u kubelet on the host")
		case <-time.After(200 * time.Millisecond):
		}
	}
}
