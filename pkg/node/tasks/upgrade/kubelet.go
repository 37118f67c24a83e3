package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

const (
	healthInterval = 250 * time.Millisecond
	healthAsk      = 3 * time.Second
	versionTimeout = 20 * time.Second
)

// checkPlace refuses a host whose kubelet is somewhere else than where upgrades put it, as a
// package of the distribution has it: its unit would go on starting the old one.
func checkPlace(h *host.Host) error {
	place := path.Join(binDir, "kubelet")
	there, err := h.Exists(place)
	if err != nil || there {
		return err
	}
	return host.WithHint(fmt.Errorf("the kubelet of this host is not %s, which upgrades replace; a package of the distribution may have it elsewhere", place),
		"upgrade kubeadm, kubelet and kubectl of this host by its package manager")
}

// kubeletVersion asks the installed kubelet for its version.
func kubeletVersion(ctx context.Context, h *host.Host) (string, error) {
	out, err := h.Query(ctx, host.Command{Argv: []string{path.Join(binDir, "kubelet"), "--version"}, Timeout: versionTimeout})
	if err != nil {
		return "", fmt.Errorf("ask the installed kubelet for its version: %w", err)
	}
	// The one line that `kubelet --version` has, for programs as for people.
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out.Stdout)), "Kubernetes ")
	if !ok || checkVersion(version) != nil {
		return "", fmt.Errorf("ask the installed kubelet for its version: it says %.80q", out.Stdout)
	}
	return version, nil
}

// restartOwed tells whether the running kubelet is another program than the
// installed one, or older than its configuration.
func restartOwed(h *host.Host, u host.Unit) bool {
	return u.MainPID != 0 && !runsInstalled(h, u.MainPID) || h.Stale(u, path.Join(binDir, "kubelet"), kubeletConfig, instanceConfig, kubeletFlags)
}

// runsInstalled tells whether a process runs the kubelet that is installed. The
// link of a process leads to its program also when that was replaced since, and
// then no longer has its name.
func runsInstalled(h *host.Host, pid int) bool {
	exe, program := h.Path("/proc/"+strconv.Itoa(pid)+"/exe"), path.Join(binDir, "kubelet")
	if name, err := os.Readlink(exe); err == nil && name == program {
		return true
	}
	running, err := os.Stat(exe)
	if err != nil {
		// It has just ended, or this is another system: its start tells instead.
		return true
	}
	installed, err := os.Stat(h.Path(program))
	return err == nil && os.SameFile(running, installed)
}

// startKubelet restarts the kubelet where that is owed, and waits until the
// installed one runs and calls itself healthy.
func (up upgrader) startKubelet(ctx context.Context, env node.Env) (restarted bool, err error) {
	h := env.Host
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return false, err
	}
	owed := restartOwed(h, u)
	if owed || !u.Active() {
		env.Progress("restarting the kubelet")
	}
	if restarted, err = h.EnsureUnit(ctx, kubeletUnit, owed); err != nil || h.DryRun() {
		return restarted, err
	}
	if _, err := h.StopUnit(ctx, BackTimer, false); err != nil {
		return restarted, err
	}
	return restarted, up.waitKubelet(ctx, env)
}

func (up upgrader) waitKubelet(ctx context.Context, env node.Env) error {
	url, err := HealthURL(env.Host)
	if err != nil {
		return err
	}
	env.Progress("waiting for the kubelet to be healthy")
	return host.Until(ctx, up.kubeletReady, healthInterval, func(ctx context.Context) error { return kubeletHealth(ctx, env.Host, url) },
		func(seen error) error {
			return &node.Failure{Message: fmt.Sprintf("the kubelet is not healthy after %v; last seen: %v", up.kubeletReady, seen),
				Output: controlplane.KubeletLog(ctx, env.Host), Hint: "look at the output, and at journalctl -u kubelet on the host"}
		})
}

// kubeletHealth is nil when the unit is up, with the installed program, and that
// answers 200 to /healthz.
func kubeletHealth(ctx context.Context, h *host.Host, url string) error {
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return err
	}
	if u.ActiveState != "active" {
		return fmt.Errorf("its unit is %s (%s)", u.ActiveState, u.SubState)
	}
	if u.MainPID != 0 && !runsInstalled(h, u.MainPID) {
		return errors.New("the one that runs is not the one that is installed")
	}
	if url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, healthAsk)
	defer cancel()
	return controlplane.Ask(ctx, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url)
}

// HealthURL is where the kubelet's configuration says that its health is; empty
// when it is switched off.
// https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
func HealthURL(h *host.Host) (string, error) {
	raw, err := h.ReadFile(kubeletConfig)
	if err != nil {
		return "", err
	}
	var c struct {
		Address string `json:"healthzBindAddress"`
		Port    *int   `json:"healthzPort"`
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("the kubelet's configuration %s: %w", kubeletConfig, err)
	}
	port := 10248
	if c.Port != nil {
		port = *c.Port
	}
	if port == 0 {
		return "", nil
	}
	switch c.Address {
	case "", "0.0.0.0":
		c.Address = "127.0.0.1"
	case "::":
		c.Address = "::1"
	}
	return "http://" + net.JoinHostPort(c.Address, strconv.Itoa(port)) + "/healthz", nil
}
