package ssh

import (
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

var caller = Environment{Home: "/home/me", User: "me", AgentSocket: "/run/agent", SystemKnownHosts: []string{"/etc/ssh/ssh_known_hosts"}, Shell: "/bin/sh",
	Lookup: func(name string) (string, bool) { return "/keys", name == "KEYS" }}

// readers calls f once for each of the two readers of SSH configurations.
func readers(t *testing.T, text string, f func(*testing.T, *UserConfig, Environment)) {
	env := caller
	env.ConfigFiles = []string{filepath.Join(t.TempDir(), "config")}
	write(t, env.ConfigFiles[0], text)
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	env.LoginHome = account.HomeDir
	for _, name := range []string{"own reader", "OpenSSH"} {
		t.Run(name, func(t *testing.T) {
			env := env
			if name == "OpenSSH" {
				env.SSH = program(t, "ssh")
			}
			config, err := LoadConfig(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			f(t, config, env)
			if w := config.Warnings(); len(w) > 0 {
				t.Errorf("warnings %q", w)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	usual := []Identity{{Path: "/home/me/.ssh/id_rsa"}, {Path: "/home/me/.ssh/id_ecdsa"}, {Path: "/home/me/.ssh/id_ecdsa_sk"},
		{Path: "/home/me/.ssh/id_ed25519"}, {Path: "/home/me/.ssh/id_ed25519_sk"}}
	known := []string{"/home/me/.ssh/known_hosts", "/home/me/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts"}
	hop := func(name, host string, port int) Target {
		return Target{Name: "cp1 via " + name, Host: host, Port: port, User: "me", Identities: usual, AgentSocket: "/run/agent",
			KnownHosts: known, ConnectTimeout: DefaultConnectTimeout}
	}
	base := func(change func(*Target)) Target {
		out := Target{Name: "cp1", Host: "10.0.0.1", Port: 22, User: "me", Identities: usual, AgentSocket: "/run/agent",
			KnownHosts: known, ConnectTimeout: DefaultConnectTimeout}
		change(&out)
		return out
	}
	no := false
	for name, c := range map[string]struct {
		config string
		ssh    v1alpha1.SSH
		want   Target
	}{
		"nothing set": {"", v1alpha1.SSH{}, base(func(*Target) {})},
		"ssh_config by name, not beaten by the block for all": {
			"Host cp*\n User ops\n Port 2222\nHost *\n User everybody\n ConnectTimeout 3\n", v1alpha1.SSH{},
			base(func(o *Target) { o.User, o.Port, o.ConnectTimeout = "ops", 2222, 3*time.Second })},
		"ssh_config by address beats by name": {
			"Host cp1\n User byname\nHost 10.0.0.*\n User byaddress\n", v1alpha1.SSH{},
			base(func(o *Target) { o.User = "byaddress" })},
		"Cluster file beats ssh_config": {
			"Host *\n User root\n Port 2222\n IdentityFile ~/.ssh/other\n UserKnownHostsFile ~/k1 ~/k2\n",
			v1alpha1.SSH{User: "deb", Port: 23, IdentityFile: "~/lab/key", KnownHostsFile: "~/lab/known", Sudo: &no},
			base(func(o *Target) {
				o.User, o.Port, o.Sudo = "deb", 23, &no
				o.Identities = []Identity{{Path: "/home/me/lab/key", Required: true}}
				o.KnownHosts = []string{"/home/me/lab/known"}
			})},
		"host to connect to, with HostName": {
			"Host box\n HostName 192.0.2.7\n HostKeyAlias box-key\nHost 10.0.0.1\n User never\n", v1alpha1.SSH{Host: "box"},
			base(func(o *Target) { o.Host, o.HostKeyAlias = "192.0.2.7", "box-key" })},
		"keys and agent": {
			"Host *\n IdentityFile ~/.ssh/%r@%h\n IdentityFile \"/keys/two\"\n IdentitiesOnly yes\n IdentityAgent none\n UserKnownHostsFile ~/k1 ~/k2\n",
			v1alpha1.SSH{},
			base(func(o *Target) {
				o.Identities = []Identity{{Path: "/home/me/.ssh/me@10.0.0.1"}, {Path: "/keys/two"}}
				o.IdentitiesOnly, o.AgentSocket = true, ""
				o.KnownHosts = []string{"/home/me/k1", "/home/me/k2", "/etc/ssh/ssh_known_hosts"}
			})},
		"another agent": {"Host *\n IdentityAgent ~/agent.sock\n", v1alpha1.SSH{},
			base(func(o *Target) { o.AgentSocket = "/home/me/agent.sock" })},
		"Match blocks": {"Match host cp2,cp1\n User matched\nMatch all\n Port 2022\nMatch final all\n ConnectTimeout 9\n", v1alpha1.SSH{},
			base(func(o *Target) { o.User, o.Port, o.ConnectTimeout = "matched", 2022, 9*time.Second })},
		"the user of the Cluster file decides what matches": {"Match user root\n Port 99\n", v1alpha1.SSH{User: "root"},
			base(func(o *Target) { o.User, o.Port = "root", 99 })},
		"certificates, variables, revoked keys": {
			"Host *\n IdentityFile ${KEYS}/k#1\n CertificateFile ~/k-cert.pub\n RevokedHostKeys ~/revoked\n HashKnownHosts yes\n", v1alpha1.SSH{},
			base(func(o *Target) {
				o.Identities, o.Certificates = []Identity{{Path: "/keys/k#1"}}, []string{"/home/me/k-cert.pub"}
				o.RevokedHostKeys, o.HashKnownHosts = "/home/me/revoked", true
			})},
		"family and address": {"Host *\n AddressFamily inet6\n BindAddress fd00::9\n", v1alpha1.SSH{},
			base(func(o *Target) { o.Network, o.BindAddress = "tcp6", "fd00::9" })},
		"a command for a proxy": {"Host cp1\n User ops\n ProxyCommand nc -X 5 %h %p %r %% %n\n", v1alpha1.SSH{},
			base(func(o *Target) {
				o.User, o.Shell, o.ProxyCommand = "ops", "/bin/sh", "nc -X 5 10.0.0.1 22 ops % 10.0.0.1"
			})},
		"one name's command is not another's jump": {"Host cp1\n ProxyJump bastion\nHost 10.0.0.1\n ProxyCommand nc %h %p\n", v1alpha1.SSH{},
			base(func(o *Target) { o.Shell, o.ProxyCommand = "/bin/sh", "nc 10.0.0.1 22" })},
		"no command": {"Host *\n ProxyCommand none\n", v1alpha1.SSH{}, base(func(*Target) {})},
		"the jump host of a jump host": {"Host outer\n Port 2\nHost inner\n Port 3\n ProxyJump outer\nHost 10.0.0.1\n ProxyJump inner\n", v1alpha1.SSH{},
			base(func(o *Target) { o.Jump = []Target{hop("outer", "outer", 2), hop("inner", "inner", 3)} })},
		"only the first of a list goes its own way": {
			"Host outer\n ProxyCommand nc %h %p\nHost inner\n ProxyJump never\nHost 10.0.0.1\n ProxyJump outer,inner\n", v1alpha1.SSH{},
			base(func(o *Target) {
				first := hop("outer", "outer", 22)
				first.Shell, first.ProxyCommand = "/bin/sh", "nc outer 22"
				o.Jump = []Target{first, hop("inner", "inner", 22)}
			})},
		"the Cluster file's jump host goes its own way": {"Host outer\n Port 2\nHost inner\n ProxyJump outer\nHost 10.*\n ProxyCommand false\n",
			v1alpha1.SSH{JumpHost: "inner:3"},
			base(func(o *Target) { o.Jump = []Target{hop("outer", "outer", 2), hop("inner", "inner", 3)} })},
		"a jump host with tokens": {"Host 10.0.0.1\n User ops\n ProxyJump %r@bastion\n", v1alpha1.SSH{},
			base(func(o *Target) {
				o.User, o.Jump = "ops", []Target{hop("bastion", "bastion", 22)}
				o.Jump[0].User = "ops"
			})},
		"jump hosts, each with its own settings": {
			"Host bastion\n HostName 192.0.2.1\n User jumper\n IdentityFile ~/.ssh/bastion\nHost * !bastion\n ProxyJump bastion,other@[fd00::1]:2200\n",
			v1alpha1.SSH{IdentityFile: "/key"},
			base(func(o *Target) {
				o.Identities = []Identity{{Path: "/key", Required: true}}
				o.Jump = []Target{
					{Name: "cp1 via bastion", Host: "192.0.2.1", Port: 22, User: "jumper", AgentSocket: "/run/agent", KnownHosts: known,
						Identities: []Identity{{Path: "/home/me/.ssh/bastion"}, {Path: "/key"}}, ConnectTimeout: DefaultConnectTimeout},
					{Name: "cp1 via fd00::1", Host: "fd00::1", Port: 2200, User: "other", AgentSocket: "/run/agent", KnownHosts: known,
						Identities: []Identity{{Path: "/key"}}, ConnectTimeout: DefaultConnectTimeout},
				}
			})},
		"no jump although ssh_config has one": {"Host *\n ProxyJump bastion\n", v1alpha1.SSH{JumpHost: "none"}, base(func(*Target) {})},
	} {
		t.Run(name, func(t *testing.T) {
			readers(t, c.config, func(t *testing.T, config *UserConfig, env Environment) {
				got, err := Resolve(t.Context(), v1alpha1.Host{Name: "cp1", Address: "10.0.0.1"}, c.ssh, config, env)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestResolveErrors(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		ssh    v1alpha1.SSH
		change func(*Environment)
		want   string
	}{
		"port":      {"Host *\n Port twenty\n", v1alpha1.SSH{}, nil, "port"},
		"fdpass":    {"Host *\n ProxyCommand nc %h %p\n ProxyUseFdpass yes\n", v1alpha1.SSH{}, nil, "ProxyUseFdpass"},
		"jump":      {"", v1alpha1.SSH{JumpHost: "a b"}, nil, "jump host"},
		"jump port": {"", v1alpha1.SSH{JumpHost: "a:99999"}, nil, "not a port"},
		"no jump":   {"", v1alpha1.SSH{JumpHost: "me@"}, nil, "jump host"},
		"no user":   {"", v1alpha1.SSH{}, func(e *Environment) { e.User = "" }, "ssh.user"},
		"itself":    {"Host *\n ProxyJump bastion\n", v1alpha1.SSH{}, nil, "jump"},
		"in a circle": {"Host a\n ProxyJump b\nHost b\n ProxyJump a\nHost 10.0.0.1\n ProxyJump a\n", v1alpha1.SSH{}, nil,
			"reached through itself"},
		"an option as host":              {"", v1alpha1.SSH{Host: "-oProxyCommand=x"}, nil, "no host name"},
		"an option as jump host":         {"", v1alpha1.SSH{JumpHost: "-oProxyCommand=x"}, nil, "jump host"},
		"an option as jump host's user":  {"", v1alpha1.SSH{JumpHost: "-oProxyCommand=x@a"}, nil, "login name"},
		"a command as user":              {"Host *\n ProxyCommand nc %h %p %r\n", v1alpha1.SSH{User: "a;b"}, nil, "login name"},
		"a command as configured host":   {"Host *\n HostName $(x)\n ProxyCommand nc %h %p\n", v1alpha1.SSH{}, nil, "host name"},
		"a command as configured user":   {"Host *\n User $(x)\n ProxyCommand nc %h %p %r\n", v1alpha1.SSH{}, nil, "login name"},
		"an option as configured hop":    {"Host *\n ProxyJump -oProxyCommand=x\n", v1alpha1.SSH{}, nil, ""},
		"a command as configured hop":    {"Host *\n ProxyJump a;b\n", v1alpha1.SSH{}, nil, ""},
		"a command as a hop's own name ": {"Host 10.*\n ProxyJump a\nHost a\n HostName b;c\n ProxyCommand nc %h %p\n", v1alpha1.SSH{}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			readers(t, c.config, func(t *testing.T, config *UserConfig, env Environment) {
				if c.change != nil {
					c.change(&env)
				}
				_, err := Resolve(t.Context(), v1alpha1.Host{Name: "cp1", Address: "10.0.0.1"}, c.ssh, config, env)
				if e := kindOf(t, err); e.Kind != Config || !strings.Contains(e.Message, c.want) || e.Host != "cp1" {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
