package ssh

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// proxies finds out what the target is reached through: the Cluster file's jump
// host, else ssh_config's ProxyJump or ProxyCommand.
func (r resolver) proxies(ctx context.Context, values settings, t *Target) error {
	if r.direct {
		return nil
	}
	spec := r.settings.JumpHost
	if spec == "" {
		spec = expandTokens(values.value("proxyjump", "proxycommand"), proxyTokens(r, *t))
	}
	if spec == "" {
		return r.command(values, t)
	}
	if strings.EqualFold(spec, "none") {
		return nil
	}
	r.path = append(slices.Clone(r.path), strings.ToLower(fmt.Sprintf("%s@%s port %d", r.settings.User, r.aliases[0], r.settings.Port)))
	for i, hop := range strings.Split(spec, ",") {
		sub, err := r.through(strings.TrimSpace(hop), i > 0)
		if err != nil {
			return err
		}
		at := strings.ToLower(fmt.Sprintf("%s@%s port %d", sub.settings.User, sub.host, sub.settings.Port))
		if slices.Contains(r.path, at) && i == 0 {
			return fmt.Errorf("jump host %s is to be reached through itself; exclude it in ~/.ssh/config (Host * !%s)", sub.host, sub.host)
		}
		h, err := sub.target(ctx)
		if err != nil {
			return fmt.Errorf("jump host %s: %w", sub.host, err)
		}
		before := h.Jump
		h.Jump = nil
		t.Jump = append(append(t.Jump, before...), h)
	}
	return nil
}

// through is the resolver of a jump host. OpenSSH reaches the first of a list
// as that one's own settings say, with jump hosts or a ProxyCommand of its own,
// and each other one through the one before it (ssh -J A -W … B).
func (r resolver) through(hop string, direct bool) (resolver, error) {
	user, host, p, err := splitHop(hop)
	if err != nil {
		return resolver{}, err
	}
	sub := resolver{config: r.config, env: r.env, base: r.base, name: r.base + " via " + host, aliases: []string{host}, host: host,
		hop: true, direct: direct, path: r.path}
	sub.settings = v1alpha1.SSH{User: user, Port: int32(p), IdentityFile: r.settings.IdentityFile, KnownHostsFile: r.settings.KnownHostsFile}
	return sub, nil
}

// command is the ProxyCommand, ready for the shell. What the tokens stand for
// may come from a file of somebody else's, and goes into a shell's line: it is
// checked first.
func (r resolver) command(values settings, t *Target) error {
	line := strings.TrimSpace(values.value("proxycommand", "proxyjump"))
	if line == "" || strings.EqualFold(line, "none") {
		return nil
	}
	if values.value("proxyusefdpass") == "yes" {
		return fmt.Errorf("ssh_config has ProxyUseFdpass for it, which is not supported: its ProxyCommand has to carry the connection itself")
	}
	for _, name := range []string{t.Host, r.host, first(t.HostKeyAlias, r.host)} {
		if err := checkHost(name); err != nil {
			return fmt.Errorf("ProxyCommand: %w", err)
		}
	}
	if err := checkUser(t.User); err != nil {
		return fmt.Errorf("ProxyCommand: %w", err)
	}
	t.ProxyCommand, t.Shell = expandTokens(line, proxyTokens(r, *t)), r.env.Shell
	return nil
}

// proxyTokens are those of ProxyCommand and ProxyJump (ssh_config(5), TOKENS).
func proxyTokens(r resolver, t Target) map[byte]string {
	all := r.tokens(t)
	return map[byte]string{'h': all['h'], 'k': all['k'], 'n': all['n'], 'p': all['p'], 'r': all['r']}
}

// splitHop reads [user@]host[:port], with an IPv6 address in brackets, and
// ssh:// before it as ssh_config allows.
func splitHop(hop string) (user, host string, p int, err error) {
	rest, uri := strings.CutPrefix(hop, "ssh://")
	if uri {
		rest = strings.TrimSuffix(rest, "/")
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, rest = rest[:i], rest[i+1:]
		if user != "" && checkUser(user) != nil {
			return "", "", 0, fmt.Errorf("jump host %q: %q is no login name", hop, user)
		}
	}
	host = strings.Trim(rest, "[]")
	if h, ps, e := net.SplitHostPort(rest); e == nil {
		host = h
		if p, err = port(0, ps); err != nil {
			return "", "", 0, fmt.Errorf("jump host %q: %w", hop, err)
		}
	}
	if checkHost(host) != nil || strings.ContainsRune(host, '/') {
		return "", "", 0, fmt.Errorf("jump host %q is not [user@]host[:port]", hop)
	}
	return user, host, p, nil
}
