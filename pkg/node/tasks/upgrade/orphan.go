package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/ctrd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
)

const (
	// apiserverGrace is what a static pod is given to end when its manifest goes.
	apiserverGrace = 30 * time.Second
	// endTimeout bounds the whole of it.
	endTimeout = apiserverGrace + 15*time.Second

	// BackTimer is systemd's, by which the kubelet comes back when this task dies while
	// there is none: nobody else could start it. backAfter, in seconds, is longer than
	// the task needs.
	BackTimer = "kubectl-ha-kubelet-back.timer"
	backAfter = 90
)

// otherMinor tells whether a kubelet makes the static pods of another anew. It knows
// them by a digest over all fields of a Pod that its version has, so each minor version
// has another one, and what it does not know it ends within a second: too short for an
// apiserver to tell anybody (HandlePodCleanups in pkg/kubelet/kubelet_pods.go, applyDefaults
// in pkg/kubelet/config/common.go).
func otherMinor(a, b string) bool {
	x, errX := version.ParseSemantic(a)
	y, errY := version.ParseSemantic(b)
	return errX == nil && errY == nil && x.Minor() != y.Minor()
}

// endAPIServer ends the kubelet that runs, and then the apiserver in order: it tells
// that it is about to go, and does what is under way. The kubelet that comes next would
// end it as well, see otherMinor. What fails here is told and no more, since then that happens.
func (up upgrader) endAPIServer(ctx context.Context, env node.Env) error {
	h := env.Host
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil || !u.Active() || h.DryRun() {
		return err
	}
	socket, err := criSocket(h)
	if err != nil {
		return err
	}
	if err := h.RunLater(ctx, host.Later{Timer: BackTimer, Why: "the kubelet comes back if nobody else starts it", After: backAfter, Argv: []string{"systemctl", "start", kubeletUnit}}); err != nil {
		return err
	}
	// With the kubelet running the apiserver would be started again at once.
	if _, err := h.Run(ctx, "a kubelet of another minor version ends the apiserver without notice", host.Command{Argv: []string{"systemctl", "stop", kubeletUnit}, Timeout: time.Minute}); err != nil {
		return err
	}
	env.Progress("ending the apiserver in order, before the new kubelet makes it anew")
	ctx, cancel := context.WithTimeoutCause(ctx, endTimeout, fmt.Errorf("not done within %s", endTimeout))
	defer cancel()
	err = h.Do(ctx, host.ActionRun, apiserverPod, "end it in order; the kubelet starts it again", func(ctx context.Context) error { return up.endPod(ctx, socket) })
	if err != nil {
		env.Progress("the apiserver did not end in order: %v", err)
	}
	return nil
}

// apiserverPod begins the name of the apiserver's pod, which ends with the node's.
const apiserverPod = "kube-apiserver-"

// endPod ends the containers of this host's apiserver.
func endPod(ctx context.Context, socket string) error {
	pods, err := ctrd.Pods(ctx, socket)
	if err != nil {
		return err
	}
	var own []ctrd.Pod
	for _, p := range pods {
		if p.Namespace == "kube-system" && strings.HasPrefix(p.Name, apiserverPod) {
			own = append(own, p)
		}
	}
	return ctrd.StopPods(ctx, socket, own, apiserverGrace)
}

// criSocket is the path of the container runtime's socket, as the kubelet is configured.
// https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ (containerRuntimeEndpoint)
func criSocket(h *host.Host) (string, error) {
	for _, file := range []string{instanceConfig, kubeletConfig} {
		raw, err := h.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		var c struct {
			Endpoint string `json:"containerRuntimeEndpoint"`
		}
		if err := yaml.Unmarshal(raw, &c); err != nil {
			return "", fmt.Errorf("the kubelet's configuration %s: %w", file, err)
		}
		if c.Endpoint != "" {
			return strings.TrimPrefix(c.Endpoint, "unix://"), nil
		}
	}
	return prepare.Socket, nil
}
