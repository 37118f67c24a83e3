package vip

import (
	"context"
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// LookSpec has nothing to say: the watcher's configuration has the address.
type LookSpec struct{}

// Look tells whether this host has the virtual IP, in a DrainData. It changes nothing.
func Look(ctx context.Context, env node.Env, _ LookSpec) (any, error) {
	raw, err := env.Host.ReadFile(WatchConfigPath)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("this host takes no part in the virtual IP: %w", err), "only control planes do")
	}
	cfg, err := parseWatchConfig(raw)
	if err != nil {
		return nil, err
	}
	all, err := links(ctx, env.Host)
	return DrainData{Held: holds(all, cfg.VirtualIP)}, err
}
