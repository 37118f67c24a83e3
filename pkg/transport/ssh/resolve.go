package ssh

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// DefaultConnectTimeout bounds a connection until the login is done, each hop
// by itself. ssh_config's ConnectTimeout replaces it.
const DefaultConnectTimeout = 10 * time.Second

// Environment is what the caller's login gives: who they are, and where their
// keys are. This package reads no environment variable.
type Environment struct {
	// Home is the caller's home directory.
	Home string
	// User is the caller's login name.
	User string
	// AgentSocket is ssh-agent's, from SSH_AUTH_SOCK; empty for none.
	AgentSocket string
	// SystemKnownHosts is /etc/ssh/ssh_known_hosts; empty for none.
	SystemKnownHosts string
}

// Target is everything needed to log in to one host.
type Target struct {
	// Name is the host's name in the Cluster file, for messages.
	Name string
	// Host and Port are connected to.
	Host string
	Port int
	User string
	// Identities are private key files in the order to be tried.
	Identities []Identity
	// IdentitiesOnly leaves keys of the agent aside that aren't among Identities.
	IdentitiesOnly bool
	// AgentSocket is ssh-agent's; empty for none.
	AgentSocket string
	// KnownHosts are the files with trusted host keys; new ones go to the first.
	KnownHosts []string
	// HostKeyAlias is looked up in KnownHosts instead of Host.
	HostKeyAlias string
	// Sudo is nil when the user's being root decides.
	Sudo *bool
	// ConnectTimeout bounds connection and login.
	ConnectTimeout time.Duration
	// Jump are the hosts to go through, the first one first.
	Jump []Target
}

// Identity is a private key file.
type Identity struct {
	Path string
	// Required: the user named it in the Cluster file, so that it must be there.
	Required bool
}

// Addr is host:port.
func (t Target) Addr() string { return net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) }

// String is user@host:port.
func (t Target) String() string { return t.User + "@" + t.Addr() }

// Resolve finds out how to log in to a host: its own settings in the Cluster
// file, else spec.ssh's (v1alpha1's SSHFor has merged the two), else
// ssh_config's under the host's address and then its name, else the defaults.
func Resolve(h v1alpha1.Host, s v1alpha1.SSH, config *UserConfig, env Environment) (Target, error) {
	r := resolver{config: config, env: env, name: h.Name, settings: s, aliases: []string{h.Address, h.Name}, host: h.Address}
	if s.Host != "" {
		r.aliases, r.host = []string{s.Host}, s.Host
	}
	t, err := r.target()
	if err != nil {
		return Target{}, &Error{Kind: Config, Host: h.Name, Message: err.Error(), Err: err,
			Hint: "correct spec.ssh (or the host's ssh) in the Cluster file, or ~/.ssh/config"}
	}
	return t, nil
}

type resolver struct {
	config   *UserConfig
	env      Environment
	name     string
	settings v1alpha1.SSH
	// aliases are looked up in ssh_config; host is what to connect to unless it
	// says HostName.
	aliases []string
	host    string
	// hop is true for a jump host, which has no jump hosts of its own here.
	hop bool
}

func (r resolver) target() (Target, error) {
	t := Target{Name: r.name, Host: r.host, AgentSocket: r.env.AgentSocket, Sudo: r.settings.Sudo,
		ConnectTimeout: DefaultConnectTimeout}
	values, err := r.lookups()
	if err != nil {
		return t, err
	}
	t.User = first(r.settings.User, values["User"], r.env.User)
	if t.User == "" {
		return t, fmt.Errorf("there is no user to log in as; set ssh.user")
	}
	if t.Port, err = port(int(r.settings.Port), values["Port"]); err != nil {
		return t, err
	}
	if v := values["HostName"]; v != "" {
		t.Host = r.expand(v, Target{Host: r.host, User: t.User})
	}
	if seconds, err := strconv.Atoi(values["ConnectTimeout"]); err == nil && seconds > 0 {
		t.ConnectTimeout = time.Duration(seconds) * time.Second
	}
	t.HostKeyAlias = values["HostKeyAlias"]
	t.IdentitiesOnly = strings.EqualFold(values["IdentitiesOnly"], "yes")
	t.KnownHosts = r.knownHosts(values["UserKnownHostsFile"], t)
	if err := r.identities(values, &t); err != nil {
		return t, err
	}
	if r.hop {
		return t, nil
	}
	t.Jump, err = r.jumps(values)
	return t, err
}

func (r resolver) lookups() (map[string]string, error) {
	out := map[string]string{}
	for _, key := range []string{"HostName", "User", "Port", "UserKnownHostsFile", "IdentityAgent", "IdentitiesOnly",
		"HostKeyAlias", "ProxyJump", "ProxyCommand", "ConnectTimeout"} {
		v, err := r.config.lookup(key, r.aliases...)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}

// identities are the Cluster file's key, else ssh_config's, else the usual
// ones. A jump host tries ssh_config's first, since the Cluster file's key is
// named for the hosts behind it.
func (r resolver) identities(values map[string]string, t *Target) error {
	switch v := values["IdentityAgent"]; {
	case strings.EqualFold(v, "none"):
		t.AgentSocket = ""
	case v != "" && v != "SSH_AUTH_SOCK":
		t.AgentSocket = r.expand(v, *t)
	}
	configured, err := r.config.all("IdentityFile", r.aliases...)
	if err != nil {
		return err
	}
	own := r.settings.IdentityFile
	if own != "" && !r.hop {
		t.Identities = []Identity{{Path: r.expand(own, *t), Required: true}}
		return nil
	}
	for _, c := range configured {
		if !strings.EqualFold(c, "none") {
			t.Identities = append(t.Identities, Identity{Path: r.expand(c, *t)})
		}
	}
	if own != "" {
		t.Identities = append(t.Identities, Identity{Path: r.expand(own, *t)})
	}
	if len(configured) == 0 && own == "" && r.env.Home != "" {
		for _, usual := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.Identities = append(t.Identities, Identity{Path: filepath.Join(r.env.Home, ".ssh", usual)})
		}
	}
	return nil
}

func (r resolver) knownHosts(configured string, t Target) []string {
	if own := r.settings.KnownHostsFile; own != "" {
		return []string{r.expand(own, t)}
	}
	var out []string
	for _, f := range strings.Fields(configured) {
		out = append(out, r.expand(f, t))
	}
	if len(out) == 0 && r.env.Home != "" {
		out = []string{filepath.Join(r.env.Home, ".ssh", "known_hosts")}
	}
	if r.env.SystemKnownHosts != "" {
		out = append(out, r.env.SystemKnownHosts)
	}
	return out
}

func (r resolver) jumps(values map[string]string) ([]Target, error) {
	spec := first(r.settings.JumpHost, values["ProxyJump"])
	if spec == "" || strings.EqualFold(spec, "none") {
		if c := values["ProxyCommand"]; spec == "" && c != "" && !strings.EqualFold(c, "none") {
			return nil, fmt.Errorf("ssh_config has a ProxyCommand for it, which is not supported; use ProxyJump or ssh.jumpHost")
		}
		return nil, nil
	}
	var out []Target
	for _, hop := range strings.Split(spec, ",") {
		user, host, p, err := splitHop(strings.TrimSpace(hop))
		if err != nil {
			return nil, err
		}
		sub := resolver{config: r.config, env: r.env, name: r.name + " via " + host, aliases: []string{host}, host: host, hop: true}
		sub.settings = v1alpha1.SSH{User: user, Port: int32(p), IdentityFile: r.settings.IdentityFile, KnownHostsFile: r.settings.KnownHostsFile}
		t, err := sub.target()
		if err != nil {
			return nil, fmt.Errorf("jump host %s: %w", host, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// splitHop reads [user@]host[:port], with an IPv6 address in brackets, and
// ssh:// before it as ssh_config allows.
func splitHop(hop string) (user, host string, p int, err error) {
	rest := strings.TrimPrefix(hop, "ssh://")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, rest = rest[:i], rest[i+1:]
	}
	host = strings.Trim(rest, "[]")
	if h, ps, e := net.SplitHostPort(rest); e == nil {
		host = h
		if p, err = port(0, ps); err != nil {
			return "", "", 0, fmt.Errorf("jump host %q: %w", hop, err)
		}
	}
	if host == "" || strings.ContainsAny(host, " \t/") {
		return "", "", 0, fmt.Errorf("jump host %q is not [user@]host[:port]", hop)
	}
	return user, host, p, nil
}

func port(own int, configured string) (int, error) {
	if own != 0 {
		return own, nil
	}
	if configured == "" {
		return 22, nil
	}
	p, err := strconv.Atoi(configured)
	if err != nil || p < 1 || p > 65535 {
		return 0, fmt.Errorf("%q is not a port", configured)
	}
	return p, nil
}

// expand replaces a leading ~/ and the tokens of ssh_config(5) that make sense here.
func (r resolver) expand(path string, t Target) string {
	path = strings.NewReplacer("%%", "%", "%d", r.env.Home, "%h", t.Host, "%n", r.host,
		"%r", t.User, "%u", r.env.User, "%p", strconv.Itoa(t.Port)).Replace(path)
	if path == "~" || strings.HasPrefix(path, "~/") {
		path = filepath.Join(r.env.Home, strings.TrimPrefix(path, "~"))
	}
	return path
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
