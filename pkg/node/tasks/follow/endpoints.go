package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	apiserverManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	// exchangeTimeout bounds the wait until the kubelet runs the apiserver that the
	// manifest asks for. It looks at the manifests every 20 seconds at the latest.
	exchangeTimeout  = 3 * time.Minute
	exchangeInterval = 250 * time.Millisecond
)

// Endpoints gives the host's apiserver the list of etcd members, and notes it in the
// configuration of the host's own member. A changed list restarts the apiserver; the
// virtual IP is elsewhere meanwhile. It ends when the new one is ready.
func Endpoints(ctx context.Context, env node.Env, spec Spec) (any, error) {
	return endpoints(ctx, env, spec, deps{move: move, ready: controlplane.WaitLocal})
}

// deps are the parts that tests replace.
type deps struct {
	// move lets the virtual IP be elsewhere, or back.
	move  func(ctx context.Context, env node.Env, away bool) error
	ready func(ctx context.Context, env node.Env, endpoint string) error
}

func move(ctx context.Context, env node.Env, away bool) error {
	_, err := vip.Drain(ctx, env, vip.DrainSpec{Drain: away})
	return err
}

func endpoints(ctx context.Context, env node.Env, spec Spec, d deps) (data Data, err error) {
	h := env.Host
	if _, err := etcdmember.Note(ctx, h, spec.EtcdMembers); err != nil {
		return data, err
	}
	if len(spec.EtcdEndpoints) == 0 {
		return data, nil
	}
	raw, err := h.ReadFile(apiserverManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return data, nil // It is no control plane yet; its manifest will be right.
	}
	if err != nil {
		return data, err
	}
	wanted, err := withServers(raw, spec.EtcdEndpoints)
	if err != nil {
		return data, fmt.Errorf("%s: %w", apiserverManifest, err)
	}
	runs, err := running(h, spec.EtcdEndpoints)
	if err != nil || bytes.Equal(raw, wanted) && runs || h.DryRun() {
		if err == nil && !bytes.Equal(raw, wanted) {
			_, err = write(ctx, h, wanted)
		}
		return data, err
	}
	if spec.Elsewhere {
		if err := d.move(ctx, env, true); err != nil {
			return data, err
		}
		// It may come back however this ends: a reboot would let it as well.
		defer func() { err = errors.Join(err, d.move(context.WithoutCancel(ctx), env, false)) }()
	}
	if _, err := write(ctx, h, wanted); err != nil {
		return data, err
	}
	data.Restarted = true
	env.Progress("waiting until the apiserver has the new list of etcd members")
	if err := exchanged(ctx, h, spec.EtcdEndpoints); err != nil {
		return data, err
	}
	return data, d.ready(ctx, env, spec.LocalEndpoint)
}

func write(ctx context.Context, h *host.Host, manifest []byte) (bool, error) {
	return h.WriteFile(ctx, host.File{Path: apiserverManifest, Mode: 0o600, Content: manifest, Note: "the apiserver's static pod, with the etcd members"})
}

// serversLine is the flag as kubeadm writes it, an argument on a line of its own.
var serversLine = regexp.MustCompile(`(?m)^(\s*- --etcd-servers=)(\S+)$`)

// withServers puts the list of members into an apiserver's manifest, and leaves all
// else as it is.
func withServers(manifest []byte, endpoints []string) ([]byte, error) {
	found := serversLine.FindAllSubmatchIndex(manifest, -1)
	if len(found) != 1 {
		return nil, host.WithHint(fmt.Errorf("--etcd-servers is there %d times, not once", len(found)), "correct it by hand, as kubeadm would write it")
	}
	at := found[0]
	return slices.Concat(manifest[:at[4]], []byte(strings.Join(endpoints, ",")), manifest[at[5]:]), nil
}

// exchanged waits until only an apiserver with the list runs.
func exchanged(ctx context.Context, h *host.Host, endpoints []string) error {
	wait, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	for {
		ok, err := running(h, endpoints)
		if err == nil && ok {
			return nil
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return host.WithHint(errors.Join(fmt.Errorf("the kubelet has not exchanged the apiserver within %v", exchangeTimeout), err),
				"look at journalctl -u kubelet and /var/log/pods on the host")
		case <-time.After(exchangeInterval):
		}
	}
}

// running tells whether an apiserver runs, and every one that does has the list: the
// old one may still be ending.
func running(h *host.Host, endpoints []string) (bool, error) {
	entries, err := h.ReadDir("/proc")
	if err != nil {
		return false, fmt.Errorf("look for the apiserver: %w", err)
	}
	flag := "--etcd-servers=" + strings.Join(endpoints, ",")
	found := false
	for _, e := range entries {
		if name := e.Name(); name[0] < '1' || name[0] > '9' {
			continue
		}
		line, err := h.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil {
			continue // It has ended since.
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if args[0] != "kube-apiserver" && !strings.HasSuffix(args[0], "/kube-apiserver") {
			continue
		}
		if !slices.Contains(args, flag) {
			return false, nil
		}
		found = true
	}
	return found, nil
}
