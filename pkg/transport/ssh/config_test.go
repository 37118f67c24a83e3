package ssh

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// program is one of OpenSSH's, which `hack/setup.sh` installs.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Debian has it where only root's PATH looks.
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil {
			t.Skipf("there is no %s on this machine, which the test compares with: `make setup` installs OpenSSH's programs", name)
		}
	}
	return path
}

// place is a home directory with an SSH configuration.
func place(t *testing.T, config string) Environment {
	t.Helper()
	home := t.TempDir()
	env := Environment{Home: home, LoginHome: "/nonexistent", User: "me", UID: "1000", Hostname: "ws.example.com",
		ConfigFiles: []string{filepath.Join(home, ".ssh", "config"), filepath.Join(home, "system_config")},
		Lookup: func(name string) (string, bool) {
			v, ok := map[string]string{"KEYS": "/keys", "SOCK": "/run/sock"}[name]
			return v, ok
		}}
	write(t, env.ConfigFiles[0], config)
	return env
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configurations are what both readers have to understand alike. HOME stands
// for the folder of the files. The names are asked for as `ssh NAME` would.
var configurations = []struct {
	name, config string
	included     map[string]string // by path below HOME
	query        query
}{
	{name: "nothing", query: query{host: "cp1"}},
	{name: "a host", config: "Host cp1\n HostName 10.0.0.1\n User root\n Port 2222\n", query: query{host: "cp1"}},
	{name: "another host", config: "Host cp2\n User root\n", query: query{host: "cp1"}},
	{name: "the first value counts", config: "Host *\n Port 1\nHost cp1\n Port 2\n", query: query{host: "cp1"}},
	{name: "before any Host", config: "User early\nHost cp1\n User late\n", query: query{host: "cp1"}},
	{name: "a tab between patterns", config: "Host cp2\tcp1\n\tPort\t7\n", query: query{host: "cp1"}},
	{name: "an equals sign", config: "Host=cp1\n Port=7\n User = me2\n", query: query{host: "cp1"}},
	{name: "quoted keyword values", config: "Host \"cp1\"\n User \"root\"\n IdentityFile \"/k/with space\"\n", query: query{host: "cp1"}},
	{name: "a negated pattern", config: "Host * !cp1\n Port 7\n", query: query{host: "cp1"}},
	{name: "only negated", config: "Host !cp2\n Port 7\n", query: query{host: "cp1"}},
	{name: "one character for ?", config: "Host web?\n Port 7\n", query: query{host: "web"}},
	{name: "one character for ?, there", config: "Host web?\n Port 7\n", query: query{host: "web1"}},
	{name: "star inside", config: "Host c*1\n Port 7\n", query: query{host: "cp-x-1"}},
	{name: "dots are dots", config: "Host 10.0.0.1\n Port 7\n", query: query{host: "10x0x0x1"}},
	{name: "case of names", config: "Host cp1\n Port 7\n", query: query{host: "CP1"}},
	{name: "case of keywords", config: "hOST cp1\n pORT 7\n", query: query{host: "cp1"}},
	{name: "a number sign in a file's name", config: "Host *\n IdentityFile /keys/a#1\n", query: query{host: "cp1"}},
	{name: "a comment after a value", config: "Host *\n IdentityFile /keys/a # the old one\n Port 7 # why\n", query: query{host: "cp1"}},
	{name: "comments", config: "# one\n\n  # two\nHost cp1\n # three\n Port 7\n", query: query{host: "cp1"}},
	{name: "carriage returns", config: "Host cp1\r\n Port 7\r\n User root\r\n", query: query{host: "cp1"}},
	{name: "Match all", config: "Match all\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match host with a list", config: "Match host cp2,cp1\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match host negated in the list", config: "Match host cp*,!cp1\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match not host", config: "Match !host cp2\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match host is after HostName", config: "Host cp1\n HostName real.example.com\nMatch host real.*\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match originalhost", config: "Host cp1\n HostName real.example.com\nMatch originalhost cp1 host real.example.com\n Port 7\n",
		query: query{host: "cp1"}},
	{name: "Match user told", config: "Match user root\n Port 7\n", query: query{host: "cp1", user: "root"}},
	{name: "Match user set", config: "Host cp1\n User admin\nMatch user admin,root\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match user, another", config: "Match user admin\n Port 7\n", query: query{host: "cp1", user: "root"}},
	{name: "Match final all", config: "Match final all\n Port 7\nHost *\n User u\n", query: query{host: "cp1"}},
	{name: "Match final does not beat", config: "Match final all\n Port 7\nHost *\n Port 1\n", query: query{host: "cp1"}},
	{name: "Match final host", config: "Host cp1\n HostName real.example.com\nMatch final host real.example.com\n Port 7\n", query: query{host: "cp1"}},
	{name: "Match in an included file", config: "Include extra\nHost *\n Port 1\n", query: query{host: "cp1"},
		included: map[string]string{".ssh/extra": "Match final all\n GSSAPIAuthentication yes\n User u\n"}},
	{name: "Include by a pattern", config: "Include conf.d/*.conf\n", query: query{host: "cp1"},
		included: map[string]string{".ssh/conf.d/a.conf": "Host cp1\n Port 7\n", ".ssh/conf.d/b.conf": "Port 8\nUser b\n", ".ssh/conf.d/c": "User c\n"}},
	{name: "Include of nothing", config: "Include none.d/*\nPort 7\n", query: query{host: "cp1"}},
	{name: "Include under a Host", config: "Host cp2\n Include HOME/extra\nHost *\n Port 1\n", query: query{host: "cp1"},
		included: map[string]string{"extra": "Host *\n Port 7\n"}},
	{name: "a block ends with its file", config: "Host cp1\n Include HOME/extra\n Port 7\n", query: query{host: "cp1"},
		included: map[string]string{"extra": "Host other\n User u\n"}},
	{name: "Include of two, one in the other", config: "Include HOME/a HOME/b\n", query: query{host: "cp1"},
		included: map[string]string{"a": "Include HOME/c\n", "b": "Port 8\n", "c": "Port 9\n"}},
	{name: "keys collect", config: "Host cp1\n IdentityFile /k/1\nHost *\n IdentityFile /k/2\n IdentityFile /k/1\n CertificateFile /k/c-cert.pub\n",
		query: query{host: "cp1"}},
	{name: "only these keys", config: "Host *\n IdentitiesOnly yes\n IdentityFile none\n IdentityAgent none\n", query: query{host: "cp1"}},
	{name: "true is yes", config: "Host *\n IdentitiesOnly true\n HashKnownHosts true\n", query: query{host: "cp1"}},
	{name: "another agent", config: "IdentityAgent /run/agent.sock\n", query: query{host: "cp1"}},
	{name: "files of host keys", config: "UserKnownHostsFile /a/k1 /a/k2\nGlobalKnownHostsFile /b/k3\nHostKeyAlias Cluster\nRevokedHostKeys /b/rev\n",
		query: query{host: "cp1"}},
	{name: "times", config: "ConnectTimeout 1m30s\n", query: query{host: "cp1"}},
	{name: "family and address", config: "AddressFamily inet6\nBindAddress 192.0.2.1\n", query: query{host: "cp1"}},
	{name: "HostName with the name in it", config: "Host cp1\n HostName %h.example.com\n", query: query{host: "cp1"}},
	{name: "ProxyJump", config: "Host cp1\n ProxyJump a,b@c:2200\n", query: query{host: "cp1"}},
	{name: "ProxyJump before ProxyCommand", config: "Host cp1\n ProxyJump a\nHost *\n ProxyCommand nc %h %p\n", query: query{host: "cp1"}},
	{name: "ProxyCommand before ProxyJump", config: "Host cp1\n ProxyCommand nc -x \"a b\" %h %p # all\nHost *\n ProxyJump a\n", query: query{host: "cp1"}},
	{name: "ProxyCommand none", config: "Host cp1\n ProxyCommand none\nHost *\n ProxyCommand nc %h %p\n", query: query{host: "cp1"}},
	{name: "ProxyUseFdpass", config: "Host cp1\n ProxyCommand nc %h %p\n ProxyUseFdpass yes\n", query: query{host: "cp1"}},
	{name: "lists of algorithms", config: "Ciphers aes256-ctr,aes128-ctr\nMACs hmac-sha2-512\nKexAlgorithms ecdh-sha2-nistp256\n" +
		"HostKeyAlgorithms rsa-sha2-512,ssh-ed25519\nPubkeyAcceptedAlgorithms ssh-ed25519\nCASignatureAlgorithms ssh-ed25519\nRequiredRSASize 3072\n", query: query{host: "cp1"}},
	{name: "the first list counts", config: "Host cp1\n Ciphers aes256-ctr\nHost *\n Ciphers aes128-ctr\n", query: query{host: "cp1"}},
	{name: "keywords of before", config: "PubkeyAcceptedKeyTypes ssh-ed25519\n", query: query{host: "cp1"}},
	{name: "what is not taken", config: "PKCS11Provider /usr/lib/p11.so\nSecurityKeyProvider /usr/lib/sk.so\nVerifyHostKeyDNS yes\n" +
		"PubkeyAuthentication no\nBindInterface lo\nKnownHostsCommand /bin/cat /keys\n", query: query{host: "cp1"}},
	{name: "told already", config: "Host *\n User config\n Port 1\n ProxyJump a\n", query: query{host: "cp1", user: "root", port: 23, noProxy: true}},
	{name: "an address of IPv6", config: "Host fd00::*\n Port 7\n", query: query{host: "fd00::1"}},
}

func TestOwnReaderMeansWhatOpenSSHMeans(t *testing.T) {
	ssh := program(t, "ssh")
	for _, c := range configurations {
		t.Run(c.name, func(t *testing.T) {
			env := place(t, "")
			write(t, env.ConfigFiles[0], strings.ReplaceAll(c.config, "HOME", env.Home))
			for path, text := range c.included {
				text = strings.ReplaceAll(text, "HOME", env.Home)
				write(t, filepath.Join(env.Home, path), text)
			}
			own := &ownReader{env: env, warn: func(m string) { t.Errorf("warned: %s", m) }}
			if err := own.load(); err != nil {
				t.Fatal(err)
			}
			got, err := own.ask(t.Context(), c.query)
			if err != nil {
				t.Fatal(err)
			}
			client := &openSSH{program: ssh, env: env, warn: func(m string) { t.Errorf("ssh warned: %s", m) }}
			defaults, err := client.withoutConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Relative files are in ~/.ssh, which for ssh is the account's.
			client.env.ConfigFiles = []string{absolute(t, env, c.config)}
			want, err := client.ask(t.Context(), c.query)
			if err != nil {
				t.Fatal(err)
			}
			for key := range want {
				// What nobody has set is no part of our own reader's answer.
				if !wanted(key) || got[key] == nil && slices.Equal(want[key], defaults[key]) {
					delete(want, key)
				}
			}
			if c.query.noProxy {
				delete(got, "proxyjump") // ssh prints no "none"
			}
			for _, key := range []string{"proxycommand", "proxyjump"} {
				if slices.Equal(got[key], []string{"none"}) {
					delete(got, key)
				}
				if slices.Equal(want[key], []string{"none"}) {
					delete(want, key)
				}
			}
			if slices.Equal(got["user"], nil) {
				delete(want, "user")
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("ssh -G (-) and own reader (+):\n%s", d)
			}
		})
	}
	if len(configurations) < 30 {
		t.Errorf("%d configurations", len(configurations))
	}
}

// absolute writes the configuration anew with absolute names in its Includes.
func absolute(t *testing.T, env Environment, config string) string {
	t.Helper()
	path := filepath.Join(env.Home, "absolute")
	config = strings.ReplaceAll(config, "HOME", env.Home)
	for _, relative := range []string{"extra\n", "conf.d/*.conf", "none.d/*"} {
		config = strings.ReplaceAll(config, "Include "+relative, "Include "+filepath.Join(env.Home, ".ssh")+"/"+relative)
	}
	write(t, path, config)
	return path
}

// What our own reader can't evaluate is told, and nothing ends for it.
func TestOwnReaderWarns(t *testing.T) {
	for name, c := range map[string]struct{ config, warns string }{
		"Match exec":            {"Match exec \"test -e /run/vpn\"\n Port 9\n", "config:1: Match exec needs an OpenSSH client"},
		"Match of later times":  {"Match localnetwork 10.0.0.0/8\n Port 9\n", "config:1: Match localnetwork needs"},
		"Match without a value": {"Match host\n Port 9\n", "config:1: Match host without a value"},
		"an open quote":         {"Host \"cp1\n Port 9\n", "config:1: a quote is not closed"},
		"canonical names":       {"CanonicalizeHostname yes\n", "config:1: CanonicalizeHostname needs"},
		"a time":                {"ConnectTimeout soon\n", "config:1: ConnectTimeout \"soon\" is no time"},
		"nothing to set":        {"Host *\n Port\n", "config:2: port without a value"},
		"itself":                {"Include config\n", "files include each other"},
	} {
		t.Run(name, func(t *testing.T) {
			env := place(t, c.config+"Host *\n Port 7\n")
			config, err := LoadConfig(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			s, err := config.about(t.Context(), query{}, "cp1")
			if err != nil || s.value("port") != "7" {
				t.Errorf("port %q, %v", s.value("port"), err)
			}
			if w := config.Warnings(); len(w) != 1 || !strings.Contains(w[0], c.warns) {
				t.Errorf("warnings %q", w)
			}
		})
	}
}

func TestWhoReadsTheConfiguration(t *testing.T) {
	env := place(t, "Host cp1\n Port 7\nMatch exec \"exit 0\"\n User ex\n")
	write(t, env.ConfigFiles[1], "Host *\n ConnectTimeout 4\n")
	other := filepath.Join(env.Home, "ssh")
	write(t, other, "#!/bin/sh\necho 'Unknown option -G' >&2\nexit 1\n")
	if err := os.Chmod(other, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ ssh, user, warns string }{
		"OpenSSH":      {program(t, "ssh"), "ex", ""},
		"none":         {"", "", "Match exec"},
		"another":      {other, "", "Unknown option -G"},
		"not there":    {"/nonexistent/ssh", "", "does not tell"},
		"its own home": {program(t, "ssh"), "ex", ""},
	} {
		t.Run(name, func(t *testing.T) {
			env := env
			env.SSH = c.ssh
			config, err := LoadConfig(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			s, err := config.about(t.Context(), query{}, "cp1")
			if err != nil {
				t.Fatal(err)
			}
			if s.value("port") != "7" || s.value("user") != c.user || s.value("connecttimeout") != "4" {
				t.Errorf("port %q, user %q, timeout %q", s.value("port"), s.value("user"), s.value("connecttimeout"))
			}
			if all := strings.Join(config.Warnings(), "\n"); c.warns == "" && all != "" || !strings.Contains(all, c.warns) {
				t.Errorf("warnings %q, want %q", all, c.warns)
			}
		})
	}
}

// What ssh refuses is an error with its own words, before anything is connected to.
func TestConfigurationThatSSHRefuses(t *testing.T) {
	env := place(t, "Host *\n NoSuchThing yes\n")
	env.SSH = program(t, "ssh")
	config, err := LoadConfig(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.about(t.Context(), query{}, "cp1")
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "nosuchthing") {
		t.Errorf("got %v", err)
	}
}

func TestNamesThatAreOptions(t *testing.T) {
	env := place(t, "")
	env.SSH = program(t, "ssh")
	config, err := LoadConfig(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"-oProxyCommand=x", "a b", "a;b", "$(x)", "`x`", "a\nb", "a'b", "a|b"} {
		if _, err := config.about(t.Context(), query{}, name); err == nil || !strings.Contains(err.Error(), "no host name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, user := range []string{"-oProxyCommand=x", "a;b", "$(x)", `a\`, "a b"} {
		if _, err := config.about(t.Context(), query{user: user}, "cp1"); err == nil || !strings.Contains(err.Error(), "no login name") {
			t.Errorf("%q: %v", user, err)
		}
	}
	for _, user := range []string{`DOMAIN\me`, "me@example.com", "svc$"} {
		if _, err := config.about(t.Context(), query{user: user}, "cp1"); err != nil {
			t.Errorf("%q: %v", user, err)
		}
	}
}

func TestHangingMatchExecEnds(t *testing.T) {
	env := place(t, "Match exec \"sleep 600\"\n Port 9\n")
	client := &openSSH{program: program(t, "ssh"), env: env, timeout: 300 * time.Millisecond}
	if _, err := client.ask(t.Context(), query{host: "cp1"}); err == nil || !strings.Contains(err.Error(), "Match exec") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client.timeout = 0
	if _, err := client.ask(ctx, query{host: "cp1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
