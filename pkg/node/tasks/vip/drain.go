package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// drainTimeout bounds the wait for the address to move. With the default
	// advertisements it takes less than a second.
	drainTimeout  = 15 * time.Second
	drainInterval = 100 * time.Millisecond
)

// Drain makes this host the last healthy one to have the virtual IP, and waits
// until it has moved; or takes that back, which moves nothing. A reboot takes it
// back too. While the address moves new connections are held, so that none is
// lost; where the kernel can't do that the move goes on without.
func Drain(ctx context.Context, env node.Env, spec DrainSpec) (any, error) {
	return drain(ctx, env, spec, hold)
}

// holder is hold, or what a test puts in its place.
type holder func(netip.Addr) (release func() error, err error)

func drain(ctx context.Context, env node.Env, spec DrainSpec, hold holder) (any, error) {
	h := env.Host
	raw, err := h.ReadFile(WatchConfigPath)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("this host takes no part in the virtual IP: %w", err), "only control planes can be drained of it")
	}
	cfg, err := parseWatchConfig(raw)
	if err != nil {
		return nil, err
	}
	value := 0
	if spec.Drain {
		value = 1
	}
	release := func() error { return nil }
	if spec.Drain && !h.DryRun() {
		if release, err = holdHeld(ctx, env, cfg, hold); err != nil {
			return nil, err
		}
	}
	if _, err := h.WriteFile(ctx, host.File{Path: DrainFile, Mode: 0o644, Content: []byte(content(value)), Note: "whether the virtual IP is to be elsewhere"}); err != nil {
		return nil, errors.Join(err, release())
	}
	if h.DryRun() {
		return DrainData{}, nil
	}
	if !spec.Drain {
		all, err := links(ctx, h)
		return DrainData{Held: holds(all, cfg.VirtualIP)}, err
	}
	env.Progress("waiting until %s has moved to another control plane", cfg.VirtualIP)
	data, err := waitGone(ctx, h, cfg.VirtualIP)
	if failed := release(); failed != nil {
		// The kernel ends it by itself a moment later.
		env.Progress("%v", failed)
	}
	return data, err
}

// holdHeld holds new connections when this host has the address.
func holdHeld(ctx context.Context, env node.Env, cfg WatchConfig, hold holder) (release func() error, err error) {
	none := func() error { return nil }
	all, err := links(ctx, env.Host)
	if err != nil || !holds(all, cfg.VirtualIP) {
		return none, err
	}
	address, err := netip.ParseAddr(cfg.VirtualIP)
	if err != nil {
		return none, fmt.Errorf("the watcher's configuration: %w", err)
	}
	release, err = hold(address)
	if err != nil {
		env.Progress("new connections can't be held, so that one may be cut while %s moves: %v", cfg.VirtualIP, err)
		return none, nil
	}
	return release, nil
}

func waitGone(ctx context.Context, h *host.Host, address string) (DrainData, error) {
	wait, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		all, err := links(wait, h)
		if err == nil && !holds(all, address) {
			return DrainData{}, nil
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return DrainData{Held: true}, context.Cause(ctx)
			}
			if err != nil {
				return DrainData{Held: true}, fmt.Errorf("whether %s has moved can't be told: %w", address, err)
			}
			return DrainData{Held: true}, host.WithHint(fmt.Errorf("%s has not moved to another control plane after %v", address, drainTimeout),
				"another control plane takes it only when its own apiserver is ready and keepalived runs there: look at journalctl -u kubectl-ha-vip -u keepalived on the others")
		case <-time.After(drainInterval):
		}
	}
}
