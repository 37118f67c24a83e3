package ssh

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// FuzzConfig: whatever a user's ssh_config has in it, our own reader answers for any host,
// and nothing that the configuration says takes the place of what was asked for.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "Host a b !c\n  HostName 10.0.0.%n\n  Port 22\n", "Match exec \"true\"\n  User x\nHost *\n  User y\n", "Match host a\nUser=x\n",
		"Host\n", "ProxyJump a,b:22,[::1]:2\n", "IdentityFile \"a b\"\r\n", "Host [a-\n", "Match all\nKex +x # y", "Match final all\nPort 3\n"} {
		f.Add([]byte(seed), "a")
	}
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		if strings.Contains(strings.ToLower(string(data)), "include") {
			t.Skip("it would read the files of this machine that are named")
		}
		o := &ownReader{warn: func(string) {}, files: []configFile{{path: "config", folder: t.TempDir(), text: string(data)}}}
		got, err := o.ask(t.Context(), query{host: host, user: "u", port: 7})
		if err != nil {
			return
		}
		if !slices.Equal(got["user"], []string{"u"}) || !slices.Equal(got["port"], []string{"7"}) || len(got["hostname"]) != 1 {
			t.Errorf("user %q, port %q, hostname %q", got["user"], got["port"], got["hostname"])
		}
	})
}

// FuzzAnswer: whatever stands for the answer of ssh -G is read without a panic.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"", "hostname 10.0.0.1\nport 22\n", "identityfile ~/.ssh/id\nidentityfile\n", "proxyjump a,b:22,[::1]:2\n", "port x\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { parseAnswer(data) })
}

// noKey is a key that nobody has.
type noKey struct{}

// Type is that of a common key.
func (noKey) Type() string { return xssh.KeyAlgoED25519 }

// Marshal is no key's.
func (noKey) Marshal() []byte { return []byte("no key") }

// Verify never does.
func (noKey) Verify([]byte, *xssh.Signature) error { return errors.New("no key") }

// FuzzKnownHosts: no known_hosts file makes a key that is not in it a known one.
func FuzzKnownHosts(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJRmxnUuEkLlS0zJbUBsaYHNWOLHTpzJKkcGsxyqkj9a"
	for _, seed := range []string{"", "a " + key + "\n", "[a]:2222," + "10.0.0.* " + key + " comment\n", "@revoked a " + key + "\n", "@cert-authority *.b " + key + "\n",
		"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= " + key + "\n", "# x\n\n", "a ssh-rsa AAAA\n", "|1||\n", "a"} {
		f.Add([]byte(seed), "a", 22)
	}
	f.Fuzz(func(t *testing.T, data []byte, name string, port int) {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		target := Target{Name: "n", Host: name, Port: port, User: "u", KnownHosts: []string{file}}
		c, err := (&hostKeys{policy: Strict}).forTarget(target, nil)
		if err != nil {
			var own *Error
			if !errors.As(err, &own) || own.Hint == "" {
				t.Errorf("the error says nothing of what to do: %v", err)
			}
			return
		}
		if err := c.callback("", nil, noKey{}); err == nil || c.seen {
			t.Errorf("a key that nobody has is accepted by %q", data)
		}
	})
}

// FuzzMessages: whatever comes from a host is either a result, or no result.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{"", "Welcome!\n{\"event\":{\"kind\":\"started\"}}\n{\"result\":{}}\n", "{\"result\":{\"failure\":{\"message\":\"x\"}}}", "{}\n", "{\"event\":{}}\nnoise\n",
		"{\"event\":{\"elapsed\":1e300}}\n", "{\"event\":null,\"result\":null}\n", "[1]\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seen := 0
		x := &exchange{host: "h", req: node.Request{Task: "t"}, process: &Process{Stdout: strings.NewReader(text)},
			sink: report.SinkFunc(func(e report.Event) {
				if seen++; e.Host != "h" {
					t.Errorf("an event is of %q", e.Host)
				}
			})}
		result, noise, err := x.read()
		if result != nil && (err != nil || noise != "") {
			t.Errorf("a result, and %q, %v", noise, err)
		}
		if len(noise) > stderrKept+maxLine+1 {
			t.Errorf("%d bytes of noise are kept", len(noise))
		}
	})
}
