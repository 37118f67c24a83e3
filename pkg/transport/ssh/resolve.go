package ssh

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// DefaultConnectTimeout bounds a connection until the login is done, each hop
// by itself. ssh_config's ConnectTimeout replaces it.
const DefaultConnectTimeout = 10 * time.Second

// Environment is what the caller's login gives: who they are, and where their
// keys and settings are. This package reads no environment variable.
type Environment struct {
	// Home is the caller's home directory, HOME.
	Home string
	// LoginHome is the home of the caller's account, by which ssh goes whatever
	// HOME says; empty when it is not known to differ.
	LoginHome string
	// User is the caller's login name, UID its number.
	User, UID string
	// Hostname is this machine's.
	Hostname string
	// AgentSocket is ssh-agent's, from SSH_AUTH_SOCK; empty for none.
	AgentSocket string
	// SSH is the path of an OpenSSH client; empty for none.
	SSH string
	// Shell runs a ProxyCommand, from SHELL; empty for /bin/sh. Windows has cmd for it.
	Shell string
	// ConfigFiles are the caller's ssh_config and the system's, in this order.
	ConfigFiles []string
	// SystemKnownHosts are the system's files of host keys.
	SystemKnownHosts []string
	// Lookup gives an environment variable, for ${NAME} in ssh_config; nil for none.
	Lookup func(name string) (string, bool)
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
	// Certificates are files of user certificates, for whichever of the keys
	// they are of; that of an identity may also be beside it (KEY-cert.pub).
	Certificates []string
	// IdentitiesOnly leaves keys of the agent aside that aren't among Identities.
	IdentitiesOnly bool
	// AgentSocket is ssh-agent's; empty for none.
	AgentSocket string
	// KnownHosts are the files with trusted host keys; new ones go to the first.
	KnownHosts []string
	// HashKnownHosts keeps the names of new ones from being read there.
	HashKnownHosts bool
	// RevokedHostKeys is a file of keys that no host may have; empty for none.
	RevokedHostKeys string
	// HostKeyAlias is looked up in KnownHosts instead of Host.
	HostKeyAlias string
	// Sudo is nil when the user's being root decides.
	Sudo *bool
	// Algorithms are those that the connection may use.
	Algorithms Algorithms
	// ConnectTimeout bounds connection and login.
	ConnectTimeout time.Duration
	// Network is tcp, or tcp4 or tcp6 where AddressFamily says so; empty for tcp.
	Network string
	// BindAddress is the address to connect from; empty for any.
	BindAddress string
	// ProxyCommand is a command line of Shell whose standard streams are the
	// connection; empty for none. When there are jump hosts it is the first's.
	ProxyCommand, Shell string
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
// file, else spec.ssh's (v1alpha1's SSHFor has merged the two), else what the
// caller's SSH configuration means for the host's address and then for its
// name, else the defaults.
func Resolve(ctx context.Context, h v1alpha1.Host, s v1alpha1.SSH, config *UserConfig, env Environment) (Target, error) {
	r := resolver{config: config, env: env, base: h.Name, name: h.Name, settings: s, aliases: []string{h.Address, h.Name}, host: h.Address}
	if s.Host != "" {
		r.aliases, r.host = []string{s.Host}, s.Host
	}
	t, err := r.target(ctx)
	if ctx.Err() != nil {
		return Target{}, ctx.Err()
	}
	if err != nil {
		return Target{}, &Error{Kind: Config, Host: h.Name, Message: err.Error(), Err: err,
			Hint: "correct spec.ssh (or the host's ssh) in the Cluster file, or ~/.ssh/config"}
	}
	return t, nil
}

type resolver struct {
	config *UserConfig
	env    Environment
	// base is the host's name in the Cluster file, name what the target is
	// called in messages.
	base, name string
	settings   v1alpha1.SSH
	// aliases are looked up in ssh_config; host is what to connect to unless it
	// says HostName.
	aliases []string
	host    string
	// hop is true for a jump host; direct for one that is connected to through
	// the one before it, so that its own ProxyJump does not count.
	hop, direct bool
	// path are the hosts that are being resolved, to notice a loop.
	path []string
}

func (r resolver) target(ctx context.Context) (Target, error) {
	t := Target{Name: r.name, Host: r.host, AgentSocket: r.env.AgentSocket, Sudo: r.settings.Sudo,
		ConnectTimeout: DefaultConnectTimeout}
	values, err := r.config.about(ctx, query{user: r.settings.User, port: int(r.settings.Port),
		noProxy: r.direct || r.settings.JumpHost != ""}, r.aliases...)
	if err != nil {
		return t, err
	}
	t.User = first(r.settings.User, values.value("user"), r.env.User)
	if t.User == "" {
		return t, fmt.Errorf("there is no user to log in as; set ssh.user")
	}
	if t.Port, err = port(int(r.settings.Port), values.value("port")); err != nil {
		return t, err
	}
	t.Host = first(values.value("hostname"), r.host)
	if n, ok := seconds(values.value("connecttimeout")); ok && n > 0 {
		t.ConnectTimeout = time.Duration(n) * time.Second
	}
	t.HostKeyAlias = strings.ToLower(values.value("hostkeyalias"))
	t.IdentitiesOnly = values.value("identitiesonly") == "yes"
	t.HashKnownHosts = values.value("hashknownhosts") == "yes"
	t.KnownHosts = r.knownHosts(values, t)
	if v := values.value("revokedhostkeys"); v != "" && v != "none" {
		t.RevokedHostKeys = r.expand(v, t)
	}
	if t.Algorithms, err = r.algorithms(values); err != nil {
		return t, err
	}
	r.notTaken(values)
	if v := values.value("bindaddress"); v != "none" {
		t.BindAddress = v
	}
	t.Network = map[string]string{"inet": "tcp4", "inet6": "tcp6"}[values.value("addressfamily")]
	r.identities(values, &t)
	return t, r.proxies(ctx, values, &t)
}

// notTaken warns of settings that would decide something for ssh, and can't here.
func (r resolver) notTaken(values settings) {
	for _, s := range []struct{ key, name, instead string }{
		{"knownhostscommand", "KnownHostsCommand", "is not run; host keys are looked up in files"},
		{"pkcs11provider", "PKCS11Provider", "is not loaded; have ssh-agent hold the token's keys: ssh-add -s PROVIDER"},
		{"securitykeyprovider", "SecurityKeyProvider", "is not loaded; keys on a security key are used by way of ssh-agent: ssh-add KEY"},
		{"verifyhostkeydns", "VerifyHostKeyDNS", "is not heeded; host keys are looked up in files"},
		{"pubkeyauthentication", "PubkeyAuthentication", "is not heeded; keys are the only way to log in from here"},
		{"bindinterface", "BindInterface", "is not heeded; use BindAddress"},
	} {
		switch v := values.value(s.key); strings.ToLower(v) {
		case "", "none", "internal":
		case "no", "false":
			if s.key == "pubkeyauthentication" {
				r.config.warn(s.name + " " + v + " of your SSH configuration " + s.instead)
			}
		default:
			if s.key != "pubkeyauthentication" {
				r.config.warn(s.name + " of your SSH configuration " + s.instead)
			}
		}
	}
}

// identities are the Cluster file's key, else ssh_config's, else the usual
// ones. A jump host tries ssh_config's first, since the Cluster file's key is
// named for the hosts behind it.
func (r resolver) identities(values settings, t *Target) {
	switch v := values.value("identityagent"); {
	case strings.EqualFold(v, "none"):
		t.AgentSocket = ""
	case strings.HasPrefix(v, "$") && !strings.HasPrefix(v, "${"):
		t.AgentSocket = ""
		if r.env.Lookup != nil {
			t.AgentSocket, _ = r.env.Lookup(v[1:])
		}
	case v != "" && v != "SSH_AUTH_SOCK":
		t.AgentSocket = r.expand(v, *t)
	}
	for _, c := range values.values("certificatefile") {
		if !strings.EqualFold(c, "none") {
			t.Certificates = append(t.Certificates, r.expand(c, *t))
		}
	}
	configured := values.values("identityfile")
	own := r.settings.IdentityFile
	if own != "" && !r.hop {
		t.Identities = []Identity{{Path: r.expand(own, *t), Required: true}}
		return
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
		for _, usual := range usualKeys() {
			t.Identities = append(t.Identities, Identity{Path: filepath.Join(r.env.Home, ".ssh", usual)})
		}
	}
}

// usualKeys are the files in ~/.ssh that are tried when none is configured, in
// the order of ssh_config(5), IdentityFile.
func usualKeys() []string {
	return []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"}
}

func (r resolver) knownHosts(values settings, t Target) []string {
	if own := r.settings.KnownHostsFile; own != "" {
		return []string{r.expand(own, t)}
	}
	files := func(key string, usual ...string) []string {
		configured := values.value(key)
		if configured == "" {
			return usual
		}
		var out []string
		for _, f := range splitPaths(configured) {
			if !strings.EqualFold(f, "none") {
				out = append(out, r.expand(f, t))
			}
		}
		return out
	}
	var usual []string
	if r.env.Home != "" {
		usual = []string{filepath.Join(r.env.Home, ".ssh", "known_hosts"), filepath.Join(r.env.Home, ".ssh", "known_hosts2")}
	}
	return append(slices.Clone(files("userknownhostsfile", usual...)), files("globalknownhostsfile", r.env.SystemKnownHosts...)...)
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

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
