package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Settings are what a member's own file says, as far as it matters to others.
type Settings struct {
	Name       string `json:"name"`
	QuotaBytes int64  `json:"quotaBytes,omitempty"`
}

// ReadSettings reads the settings of this host's member; nil when it has none that kubectl-ha
// has set up.
func ReadSettings(h *host.Host) (*Settings, error) {
	raw, err := h.ReadFile(ConfigPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &Settings{Name: Setting(raw, "name")}
	if text := Setting(raw, "quota-backend-bytes"); text != "" {
		if out.QuotaBytes, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fmt.Errorf("%s: quota-backend-bytes: %w", ConfigPath, err)
		}
	}
	return out, nil
}

// flags are the settings in a member's file by their flags.
func flags(config []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(config)) {
		name, _, ok := strings.Cut(line, "=")
		name, own := strings.CutPrefix(name, "ETCD_")
		if !ok || !own {
			continue
		}
		flag := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		out[flag] = Setting(config, flag)
	}
	return out
}

// SettingsSpec gives a member the further flags that the Cluster document has.
type SettingsSpec struct {
	// Name and Address of this member.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Members maps all members' names to addresses.
	Members map[string]string `json:"members"`
	// Args are spec.etcd.extraArgs.
	Args map[string]string `json:"args,omitempty"`
}

// SettingsData is what was done.
type SettingsData struct {
	// Restarted tells whether the member was; it has the settings either way.
	Restarted bool `json:"restarted"`
}

// Apply writes the member's settings anew, as its bootstrap did, and restarts it when they differ
// or when it was not restarted since they last did: only when the others are a quorum without it.
// A leader hands over first. It ends when all members are well, but for NOSPACE, which a larger quota is for. Settings that the member does not
// come up with are put back.
func Apply(ctx context.Context, env node.Env, spec SettingsSpec) (any, error) {
	return apply(ctx, env, spec, probes{dial: dialPeer, spare: handedOver, healthy: waitButFull})
}

func apply(ctx context.Context, env node.Env, spec SettingsSpec, p probes) (any, error) {
	h := env.Host
	full, before, err := spec.asItIs(h)
	if err != nil {
		return nil, err
	}
	if err := full.validate(); err != nil {
		return nil, err
	}
	if err := full.checkArgs(ctx, h); err != nil {
		return nil, err
	}
	changed, err := h.WriteFile(ctx, host.File{Path: ConfigPath, Mode: 0o644, Content: full.config(), Note: "etcd's configuration"})
	if err != nil {
		return nil, err
	}
	restarted, err := restart(ctx, env, full, changed, p)
	if err == nil || !changed || ctx.Err() != nil {
		return SettingsData{Restarted: restarted}, err
	}
	was := host.File{Path: ConfigPath, Mode: 0o644, Content: before, Note: "etcd's configuration, as it was"}
	return nil, full.takeBack(ctx, env, was, restarted, err, "look at journalctl -u etcd on the host and at spec.etcd.extraArgs; members that are done keep the new settings", p)
}

// asItIs is the Spec that the member would be set up by, with the certificates that it has, and its
// configuration as it is.
func (s SettingsSpec) asItIs(h *host.Host) (full Spec, config []byte, err error) {
	m, err := readMark(h)
	if err != nil {
		return full, nil, err
	}
	config, err = h.ReadFile(ConfigPath)
	if m == nil || errors.Is(err, fs.ErrNotExist) {
		return full, nil, host.WithHint(errors.New("this host has no etcd member that kubectl-ha has set up"), "members of other tools have their settings elsewhere")
	}
	if err != nil {
		return full, nil, err
	}
	if m.Name != s.Name || s.Members[s.Name] != s.Address {
		return full, nil, fmt.Errorf("this host's etcd member is %s, not %s at %s", m.Name, s.Name, s.Address)
	}
	full, err = s.whole(h, *m, config)
	return full, config, err
}

// restart restarts the member where that is owed, and waits until all are well.
func restart(ctx context.Context, env node.Env, full Spec, changed bool, p probes) (restarted bool, err error) {
	h := env.Host
	restarted, err = start(ctx, h, changed, func() error { return p.spare(ctx, env, full) })
	if err != nil || h.DryRun() || !restarted {
		return restarted, err
	}
	if err := waitUp(ctx, h, peerAddress(full.Address), p.dial); err != nil {
		return true, err
	}
	return true, p.healthy(ctx, env, full)
}

// takeBack puts a file of before back, with which the member ran.
func (s Spec) takeBack(ctx context.Context, env node.Env, was host.File, restarted bool, cause error, hint string, p probes) error {
	env.Progress("putting %s of before back", was.Path)
	h := env.Host
	_, err := h.WriteFile(ctx, was)
	if err == nil && restarted {
		// It is not well: nobody is asked whether it can be spared.
		if _, err = start(ctx, h, true, func() error { return nil }); err == nil {
			err = waitUp(ctx, h, peerAddress(s.Address), p.dial)
		}
	}
	if err != nil {
		return fmt.Errorf("%w; and %s of before could not be put back: %w", cause, was.Path, err)
	}
	return host.WithHint(fmt.Errorf("%w; the member runs with %s of before again", cause, was.Path), hint)
}

// whole is the Spec of which the member's file is made, with what is on the host.
func (s SettingsSpec) whole(h *host.Host, m mark, config []byte) (Spec, error) {
	out := Spec{Name: s.Name, Address: s.Address, Token: m.Token, Members: s.Members, DataDir: m.DataDir, Args: maps.Clone(s.Args),
		Join: Setting(config, "initial-cluster-state") == "existing"}
	for _, f := range []struct {
		to   *[]byte
		file string
	}{{&out.CA, caFile}, {&out.ServerCert, serverCert}, {&out.ServerKey, serverKey}, {&out.PeerCert, peerCert}, {&out.PeerKey, peerKey}} {
		var err error
		if *f.to, err = h.ReadFile(f.file); err != nil {
			return out, fmt.Errorf("the member's certificates: %w", err)
		}
	}
	return out, nil
}

// handedOver waits until the cluster can do without the member, and has it hand over when it leads.
func handedOver(ctx context.Context, env node.Env, spec Spec) (err error) {
	if err := waitSpare(ctx, env, spec); err != nil {
		return err
	}
	client, err := spec.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	_, err = client.MoveLeader(ctx, httpsURL(spec.Address, ClientPort), spec.others(), spareTimeout, told(env))
	return err
}

// others are the endpoints of the other members, in the order of their names.
func (s Spec) others() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		if name != s.Name {
			out = append(out, httpsURL(s.Members[name], ClientPort))
		}
	}
	return out
}
