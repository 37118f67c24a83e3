package ssh

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// The server knows the users' authority only, or a plain key as well.
func TestUserCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		// sign are arguments of ssh-keygen for the certificate; it is written beside the key as id-cert.pub.
		sign []string
		// change prepares the folder and the target further.
		change func(t *testing.T, dir string, target *Target)
		plain  bool // the plain key is let in
		ok     bool
		hint   string // of the error
	}{
		"beside the key": {sign: []string{"-n", "USER"}, ok: true},
		"named": {sign: []string{"-n", "USER"}, ok: true, change: func(t *testing.T, dir string, target *Target) {
			target.Certificates = []string{filepath.Join(dir, "elsewhere")}
			rename(t, filepath.Join(dir, "id-cert.pub"), target.Certificates[0])
		}},
		"of a key that ssh-agent holds": {sign: []string{"-n", "USER"}, ok: true, change: func(t *testing.T, dir string, target *Target) {
			target.AgentSocket = serveAgent(t, filepath.Join(dir, "id"))
			rename(t, filepath.Join(dir, "id"), filepath.Join(dir, "gone"))
		}},
		"none":                              {ok: false},
		"of another user":                   {sign: []string{"-n", "somebody"}, ok: false},
		"of another user, plain key let in": {sign: []string{"-n", "somebody"}, plain: true, ok: true},
		"expired":                           {sign: []string{"-n", "USER", "-V", "20200101:20210101"}, ok: false, hint: "valid until 20"},
		"expired, plain key let in":         {sign: []string{"-n", "USER", "-V", "20200101:20210101"}, plain: true, ok: true},
		"a host's":                          {sign: []string{"-h", "-n", "USER"}, ok: false, hint: "not one for users"},
		"garbled, plain key let in": {sign: []string{"-n", "USER"}, plain: true, ok: true, change: func(t *testing.T, dir string, _ *Target) {
			write(t, filepath.Join(dir, "id-cert.pub"), "what\n")
		}},
		"named, not there": {hint: "elsewhere is not used", change: func(_ *testing.T, dir string, target *Target) {
			target.Certificates = []string{filepath.Join(dir, "elsewhere")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSSHD(t, "TrustedUserCAKeys DIR/users.pub")
			s.keygen("-t", "ed25519", "-f", "users", "-N", "")
			target := s.target(t)
			dir := filepath.Dir(target.Identities[0].Path)
			if !c.plain {
				s.allow()
			}
			if c.sign != nil {
				argv := []string{"-s", filepath.Join(s.dir, "users"), "-I", "me"}
				for _, a := range c.sign {
					argv = append(argv, strings.ReplaceAll(a, "USER", me(t)))
				}
				keygen(t, dir, append(argv, "id.pub")...)
			}
			if c.change != nil {
				c.change(t, dir, &target)
			}
			err := login(t, Strict, target)
			if (err == nil) != c.ok {
				t.Fatalf("error %v, want success %v", err, c.ok)
			}
			if err != nil {
				if e := kindOf(t, err); e.Kind != LoginRefused || !strings.Contains(e.Hint, c.hint) {
					t.Errorf("got %v, hint %q", e, e.Hint)
				}
			}
			if target.AgentSocket == "" {
				if ok, out := clientLogin(t, "yes", target, ""); ok != c.ok {
					t.Errorf("OpenSSH's client logs in: %v\n%s", ok, out)
				}
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// serveAgent is an ssh-agent with the key of a file; it returns its socket.
func serveAgent(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.ParseRawPrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key.(*ed25519.PrivateKey)}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }() // ends with the client
		}
	}()
	return socket
}

// Keys that can't be used are passed over, and named when no other is accepted.
func TestUnusableKeys(t *testing.T) {
	s := startSSHD(t)
	target := s.target(t)
	dir := filepath.Dir(target.Identities[0].Path)
	keygen(t, dir, "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret", "-f", "locked")
	keygen(t, dir, "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret", "-f", "bare")
	keygen(t, dir, "-t", "ed25519", "-N", "", "-f", "stranger")
	if err := os.Remove(filepath.Join(dir, "bare.pub")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "text"), "no key\n")
	id := func(name string, required bool) Identity { return Identity{filepath.Join(dir, name), required} }
	for name, c := range map[string]struct {
		identities []Identity
		agent      bool // holds the good key
		kind       Kind
		hint       string
	}{
		"a passphrase, beside a good one":              {[]Identity{id("locked", false), id("id", false)}, false, "", ""},
		"a passphrase and no .pub, beside a good one":  {[]Identity{id("bare", false), id("id", false)}, false, "", ""},
		"no key, beside a good one":                    {[]Identity{id("text", false), id("id", false)}, false, "", ""},
		"a folder, beside a good one":                  {[]Identity{{dir, false}, id("id", false)}, false, "", ""},
		"no key, told to, and a good one in the agent": {[]Identity{id("text", true)}, true, "", ""},
		"not there, told to, one in the agent":         {[]Identity{id("none", true)}, true, "", ""},
		"no key, told to":                              {[]Identity{id("text", true)}, false, Config, "private key"},
		"a passphrase alone":                           {[]Identity{id("bare", false)}, false, LoginRefused, "ssh-add"},
		"no key alone":                                 {[]Identity{id("text", false)}, false, LoginRefused, "text can't be used"},
		"no key, beside a stranger":                    {[]Identity{id("text", false), id("stranger", false)}, false, LoginRefused, "text can't be used"},
	} {
		t.Run(name, func(t *testing.T) {
			target := target
			target.Identities = c.identities
			if c.agent {
				target.AgentSocket = serveAgent(t, filepath.Join(dir, "id"))
			}
			err := login(t, Strict, target)
			if c.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := kindOf(t, err); e.Kind != c.kind || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v, hint %q", e, e.Hint)
			}
		})
	}
}

// The way to a host is that of OpenSSH's client, with the same configuration.
func TestProxiesAsOpenSSHTakesThem(t *testing.T) {
	for name, c := range map[string]struct {
		// config has PORT1, PORT2 and PORT3 for the servers', CLIENT for OpenSSH's client with its settings.
		config string
		// count is how many connections each server sees.
		count [3]int
		// fails is what the error and its detail say; empty when it works.
		fails, detail string
	}{
		"none":     {config: "Host cp1\n Port PORT1\n", count: [3]int{1, 0, 0}},
		"one jump": {config: "Host a\n Port PORT2\nHost cp1\n Port PORT1\n ProxyJump a\n", count: [3]int{1, 1, 0}},
		"a jump host of a jump host": {config: "Host a\n Port PORT2\nHost b\n Port PORT3\n ProxyJump a\nHost cp1\n Port PORT1\n ProxyJump b\n",
			count: [3]int{1, 1, 1}},
		"a list, in which only the first goes its own way": {
			config: "Host a\n Port PORT2\n ProxyCommand CLIENT -p PORT3 -W 127.0.0.1:%p 127.0.0.1\nHost b\n Port PORT3\n ProxyJump never\n" +
				"Host cp1\n Port PORT1\n ProxyJump a,b\n", count: [3]int{1, 1, 2}},
		"a command": {config: "Host cp1\n Port PORT1\n ProxyCommand CLIENT -p PORT2 -W 127.0.0.1:%p 127.0.0.1\n", count: [3]int{1, 1, 0}},
		"a command that is more than one": {config: "Host cp1\n Port PORT1\n ProxyCommand sh -c 'CLIENT -p PORT2 -W \"127.0.0.1:$1\" 127.0.0.1' - \"%p\"\n",
			count: [3]int{1, 1, 0}},
		"a jump host with a command": {config: "Host a\n Port PORT2\n ProxyCommand CLIENT -p PORT3 -W 127.0.0.1:%p 127.0.0.1\n" +
			"Host cp1\n Port PORT1\n ProxyJump a\n", count: [3]int{1, 1, 1}},
		"Match says which": {config: "Match host cp1 originalhost cp1\n Port PORT1\n ProxyJump a\nMatch originalhost a\n Port PORT2\n", count: [3]int{1, 1, 0}},
		"a command that fails": {config: "Host cp1\n Port PORT1\n ProxyCommand sh -c 'echo no route >&2; exit 3'\n",
			fails: "ProxyCommand ended: exit status 3", detail: "no route"},
		"a command that is not there": {config: "Host cp1\n Port PORT1\n ProxyCommand /nonexistent/proxy %h\n", fails: "ProxyCommand ended", detail: "/nonexistent/proxy"},
		"a command that says nothing": {config: "Host cp1\n Port PORT1\n ConnectTimeout 1\n ProxyCommand sleep 600\n", fails: "within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			servers := []*sshd{startSSHD(t), startSSHD(t), startSSHD(t)}
			target := servers[0].target(t)
			dir := filepath.Dir(target.Identities[0].Path)
			known := ""
			for _, s := range servers {
				s.allow(readFile(t, filepath.Join(dir, "id.pub")))
				known += s.name() + " " + s.key("host.pub") + "\n"
			}
			write(t, target.KnownHosts[0], known)
			file := filepath.Join(dir, "config")
			client := program(t, "ssh") + " -o BatchMode=yes -F " + filepath.Join(dir, "common")
			common := "Host *\n HostName 127.0.0.1\n User " + me(t) + "\n IdentityFile " + target.Identities[0].Path + "\n IdentitiesOnly yes\n" +
				" UserKnownHostsFile " + target.KnownHosts[0] + "\n GlobalKnownHostsFile none\n"
			write(t, filepath.Join(dir, "common"), common)
			fill := []string{"CLIENT", client}
			for i, s := range servers {
				fill = append(fill, "PORT"+strconv.Itoa(i+1), strconv.Itoa(s.port))
			}
			write(t, file, strings.NewReplacer(fill...).Replace(c.config)+common)

			env := Environment{Home: dir, LoginHome: "/nonexistent", User: me(t), SSH: program(t, "ssh"), Shell: "/bin/sh", ConfigFiles: []string{file}}
			config, err := LoadConfig(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			resolved, err := Resolve(t.Context(), v1alpha1.Host{Name: "cp1", Address: "192.0.2.1"}, v1alpha1.SSH{Host: "cp1"}, config, env)
			if err != nil {
				t.Fatal(err)
			}
			err = login(t, Strict, resolved)
			if c.fails != "" {
				if e := kindOf(t, err); e.Kind != Unreachable || !strings.Contains(e.Message, c.fails) || !strings.Contains(e.Detail, c.detail) {
					t.Errorf("got %v, detail %q", e, e.Detail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ours := [3]int{servers[0].connections(), servers[1].connections(), servers[2].connections()}
			if ok, out := clientLogin(t, "yes", target, file); !ok {
				t.Errorf("OpenSSH's client: %s", out)
			}
			theirs := [3]int{servers[0].connections(), servers[1].connections(), servers[2].connections()}
			if ours != c.count || theirs != c.count {
				t.Errorf("connections: %v, OpenSSH's client %v, want %v", ours, theirs, c.count)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The child of a ProxyCommand is gone once the connection is closed.
func TestProxyCommandEndsWithItsConnection(t *testing.T) {
	c, err := startProxy(Target{Host: "cp1", Port: 22, ProxyCommand: "sh -c 'trap \"\" HUP; sleep 600 & echo here; wait'", Shell: "/bin/sh"})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "here\n" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-c.ended:
	case <-testContext(t).Done():
		t.Error("it runs on")
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("written to a closed connection")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
