package ssh

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

var caller = Environment{Home: "/home/me", User: "me", AgentSocket: "/run/agent", SystemKnownHosts: "/etc/ssh/ssh_known_hosts"}

func config(t *testing.T, text string) *UserConfig {
	t.Helper()
	c, err := ParseConfig(ConfigSource{Path: "config", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestResolve(t *testing.T) {
	usual := []Identity{{Path: "/home/me/.ssh/id_ed25519"}, {Path: "/home/me/.ssh/id_ecdsa"}, {Path: "/home/me/.ssh/id_rsa"}}
	known := []string{"/home/me/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"}
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
			"Host cp*\n User root\n Port 2222\nHost *\n User everybody\n ConnectTimeout 3\n", v1alpha1.SSH{},
			base(func(o *Target) { o.User, o.Port, o.ConnectTimeout = "root", 2222, 3*time.Second })},
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
		"Match blocks": {"Match host cp1\n User matched\nMatch exec true\n Port 99\nMatch all\n Port 2022\n", v1alpha1.SSH{},
			base(func(o *Target) { o.User, o.Port = "matched", 2022 })},
		"jump hosts, each with its own settings": {
			"Host bastion\n HostName 192.0.2.1\n User jumper\n IdentityFile ~/.ssh/bastion\nHost *\n ProxyJump bastion,other@[fd00::1]:2200\n",
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
			got, err := Resolve(v1alpha1.Host{Name: "cp1", Address: "10.0.0.1"}, c.ssh, config(t, c.config), caller)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestResolveErrors(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		ssh    v1alpha1.SSH
		env    Environment
		want   string
	}{
		"port":          {"Host *\n Port twenty\n", v1alpha1.SSH{}, caller, "not a port"},
		"proxy command": {"Host *\n ProxyCommand nc %h %p\n", v1alpha1.SSH{}, caller, "ProxyCommand"},
		"jump":          {"", v1alpha1.SSH{JumpHost: "a b"}, caller, "jump host"},
		"jump port":     {"", v1alpha1.SSH{JumpHost: "a:99999"}, caller, "not a port"},
		"empty jump":    {"", v1alpha1.SSH{JumpHost: "me@"}, caller, "jump host"},
		"no user":       {"", v1alpha1.SSH{}, Environment{}, "ssh.user"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Resolve(v1alpha1.Host{Name: "cp1", Address: "10.0.0.1"}, c.ssh, config(t, c.config), c.env)
			if e := kindOf(t, err); e.Kind != Config || !strings.Contains(e.Message, c.want) || e.Host != "cp1" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestIgnoredMatchBlocksAreTold(t *testing.T) {
	c := config(t, "Host a\n User x\nMatch user root\n Port 1\n")
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "config:3:") {
		t.Errorf("warnings %q", c.Warnings)
	}
}
