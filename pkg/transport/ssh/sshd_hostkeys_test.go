package ssh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each known_hosts is tried with OpenSSH's client as well, on the same server,
// with strict checking and with accept-new.
func TestHostKeysAsOpenSSHTakesThem(t *testing.T) {
	const other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPyiiUkRKMnLCTILCm0pm7TFfYnL1WdtC8fl6+4F0dDk"
	for name, c := range map[string]struct {
		// certificate are arguments of ssh-keygen for the host's; none for a plain key.
		certificate []string
		// known is known_hosts: NAME is the host's, KEY its key, CA the authority's, OTHER another key.
		known string
		alias string
		// revoked is RevokedHostKeys' file.
		revoked string
		// strict and acceptNew are the kinds of the errors; empty when it logs in.
		strict, acceptNew Kind
	}{
		"plain key known":                     {nil, "NAME KEY", "", "", "", ""},
		"plain key unknown":                   {nil, "", "", "", HostKeyUnknown, ""},
		"plain key changed":                   {nil, "NAME OTHER", "", "", HostKeyChanged, HostKeyChanged},
		"one of two keys":                     {nil, "NAME OTHER\nNAME KEY", "", "", "", ""},
		"known without its port":              {nil, "127.0.0.1 KEY", "", "", "", ""},
		"another one without its port":        {nil, "127.0.0.1 OTHER", "", "", HostKeyUnknown, ""},
		"known by a pattern":                  {nil, "[127.0.0.?]:* KEY", "", "", "", ""},
		"left out of a pattern":               {nil, "!NAME,[127.*]:* KEY", "", "", HostKeyUnknown, ""},
		"known by an alias":                   {nil, "cluster KEY", "cluster", "", "", ""},
		"an alias has no port":                {nil, "NAME KEY", "cluster", "", HostKeyUnknown, ""},
		"beside lines that can't be read":     {nil, "torn ssh-ed25519 AAAAC3NzaC1lZDI1\nold 1024 35 123456\nnew ssh-newalgo AAAA\n@what NAME KEY\nNAME KEY", "", "", "", ""},
		"revoked here":                        {nil, "@revoked NAME KEY\nNAME KEY", "", "", HostKeyChanged, HostKeyChanged},
		"revoked everywhere":                  {nil, "@revoked * KEY\nNAME KEY", "", "", HostKeyChanged, HostKeyChanged},
		"revoked in a file":                   {nil, "NAME KEY", "", "KEY", HostKeyChanged, HostKeyChanged},
		"another revoked":                     {nil, "@revoked * OTHER\nNAME KEY", "", "OTHER", "", ""},
		"certificate, plain key known":        {[]string{"-n", "127.0.0.1"}, "NAME KEY", "", "", "", ""},
		"certificate, another's authority":    {[]string{"-n", "127.0.0.1"}, "@cert-authority *.example.com OTHER\nNAME KEY", "", "", "", ""},
		"certificate, its own elsewhere":      {[]string{"-n", "127.0.0.1"}, "@cert-authority *.example.com CA\nNAME KEY", "", "", "", ""},
		"certificate, unknown":                {[]string{"-n", "127.0.0.1"}, "", "", "", HostKeyUnknown, ""},
		"certificate, unknown, an authority":  {[]string{"-n", "127.0.0.1"}, "@cert-authority *.example.com OTHER", "", "", HostKeyUnknown, ""},
		"certificate, changed":                {[]string{"-n", "127.0.0.1"}, "NAME OTHER", "", "", HostKeyChanged, HostKeyChanged},
		"certificate, authority":              {[]string{"-n", "127.0.0.1"}, "@cert-authority NAME CA", "", "", "", ""},
		"certificate, authority for all":      {[]string{"-n", "127.0.0.1"}, "@cert-authority * CA", "", "", "", ""},
		"certificate, another authority":      {[]string{"-n", "127.0.0.1"}, "@cert-authority * OTHER", "", "", HostKeyUnknown, ""},
		"certificate, both":                   {[]string{"-n", "127.0.0.1"}, "@cert-authority * CA\nNAME KEY", "", "", "", ""},
		"certificate, authority, changed key": {[]string{"-n", "127.0.0.1"}, "@cert-authority * CA\nNAME OTHER", "", "", "", ""},
		"certificate for a pattern":           {[]string{"-n", "127.0.0.*"}, "@cert-authority * CA", "", "", HostKeyUnknown, ""},
		"certificate for every host":          {[]string{}, "@cert-authority * CA", "", "", "", ""},
		"certificate for another":             {[]string{"-n", "127.0.0.2"}, "@cert-authority * CA", "", "", HostKeyUnknown, ""},
		"certificate for another, key known":  {[]string{"-n", "127.0.0.2"}, "@cert-authority * CA\nNAME KEY", "", "", "", ""},
		"certificate for the alias":           {[]string{"-n", "cluster"}, "@cert-authority cluster CA", "cluster", "", "", ""},
		"certificate expired":                 {[]string{"-n", "127.0.0.1", "-V", "20200101:20210101"}, "@cert-authority * CA", "", "", HostKeyUnknown, ""},
		"certificate expired, key known":      {[]string{"-n", "127.0.0.1", "-V", "20200101:20210101"}, "@cert-authority * CA\nNAME KEY", "", "", "", ""},
		"certificate, authority revoked":      {[]string{"-n", "127.0.0.1"}, "@revoked * CA\n@cert-authority * CA\nNAME KEY", "", "", HostKeyChanged, HostKeyChanged},
		"certificate, its key revoked":        {[]string{"-n", "127.0.0.1"}, "@revoked * KEY\n@cert-authority * CA", "", "", HostKeyChanged, HostKeyChanged},
		"certificate, authority without port": {[]string{"-n", "127.0.0.1"}, "@cert-authority 127.0.0.1 CA", "", "", "", ""},
		"an authority is no host":             {[]string{"-n", "127.0.0.1"}, "NAME CA", "", "", HostKeyChanged, HostKeyChanged},
	} {
		t.Run(name, func(t *testing.T) {
			s := certifiedSSHD(t, c.certificate)
			target := s.target(t)
			target.HostKeyAlias = c.alias
			fill := strings.NewReplacer("NAME", s.name(), "KEY", s.key("host.pub"), "CA", s.key("ca.pub"), "OTHER", other)
			if c.revoked != "" {
				target.RevokedHostKeys = filepath.Join(s.dir, "revoked")
				write(t, target.RevokedHostKeys, fill.Replace(c.revoked)+"\n")
			}
			policies := map[HostKeyPolicy]Kind{Strict: c.strict}
			if c.strict != "" { // what is known is no matter of policy
				policies[AcceptNew] = c.acceptNew
			}
			for policy, want := range policies {
				known := fill.Replace(c.known) + "\n"
				write(t, target.KnownHosts[0], known)
				err := login(t, policy, target)
				var got Kind
				if err != nil {
					got = kindOf(t, err).Kind
				}
				if got != want {
					t.Errorf("%s: got %q, want %q: %v", policy, got, want, err)
				}
				after, readErr := os.ReadFile(target.KnownHosts[0])
				if readErr != nil {
					t.Fatal(readErr)
				}
				if added := string(after) != known; added != (policy == AcceptNew && c.strict == HostKeyUnknown) {
					t.Errorf("%s: known_hosts was changed: %v\n%s", policy, added, after)
				}
				write(t, target.KnownHosts[0], known)
				how := map[HostKeyPolicy]string{Strict: "yes", AcceptNew: "accept-new"}[policy]
				if ok, out := clientLogin(t, how, target, ""); ok != (want == "") {
					t.Errorf("%s: OpenSSH's client logs in: %v\n%s", policy, ok, out)
				}
			}
		})
	}
}

// certifiedSSHD has a host certificate, unless there are no arguments for it.
func certifiedSSHD(t *testing.T, certificate []string) *sshd {
	t.Helper()
	var config []string
	if certificate != nil {
		config = append(config, "HostCertificate DIR/host-cert.pub")
	}
	s := startSSHD(t, config...)
	s.keygen("-t", "ed25519", "-f", "ca", "-N", "")
	if certificate != nil {
		s.keygen(append(append([]string{"-s", "ca", "-I", "host", "-h"}, certificate...), "host.pub")...)
	}
	return s
}

func TestHashedHostKeys(t *testing.T) {
	s := startSSHD(t)
	target := s.target(t)
	keygen(t, filepath.Dir(target.KnownHosts[0]), "-H", "-f", target.KnownHosts[0]) // OpenSSH's hash
	if data, err := os.ReadFile(target.KnownHosts[0]); err != nil || !strings.HasPrefix(string(data), "|1|") {
		t.Fatalf("known_hosts %q, %v", data, err)
	}
	if err := login(t, Strict, target); err != nil {
		t.Error(err)
	}
	target.KnownHosts[0] += "-new"
	target.HashKnownHosts = true
	if err := login(t, AcceptNew, target); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(target.KnownHosts[0]); err != nil || !strings.HasPrefix(string(data), "|1|") {
		t.Errorf("known_hosts %q, %v", data, err)
	}
	if ok, out := clientLogin(t, "yes", target, ""); !ok {
		t.Errorf("OpenSSH's client does not know the host: %s", out)
	}
}

// What can't be read is told once, although there are many hosts.
func TestUnreadableLinesAreToldOnce(t *testing.T) {
	s := startSSHD(t)
	target := s.target(t)
	write(t, target.KnownHosts[0], "torn ssh-ed25519 AAAAC3NzaC1lZDI1\n# fine\nold 1024 35 123\n"+s.name()+" "+s.key("host.pub")+"\n")
	target.KnownHosts = append(target.KnownHosts, t.TempDir()) // a folder is no file
	d := NewDialer(Strict)
	defer d.Close()
	var warned []string
	d.Warn = func(m string) { warned = append(warned, m) }
	for range 2 {
		conn, err := d.Dial(testContext(t), target)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if len(warned) != 2 || !strings.Contains(warned[0], "is a directory") ||
		!strings.Contains(warned[1], "known_hosts:1, ") || !strings.HasSuffix(warned[1], "known_hosts:3") {
		t.Errorf("warned %q", warned)
	}
	// A line that may be the host's own is named when the host is unknown.
	write(t, target.KnownHosts[0], s.name()+" ssh-ed25519 AAAA\n")
	if e := kindOf(t, login(t, Strict, target)); e.Kind != HostKeyUnknown || !strings.Contains(e.Detail, "known_hosts:1") {
		t.Errorf("got %v, detail %q", e, e.Detail)
	}
}

func TestRevokedKeysThatCantBeRead(t *testing.T) {
	s := startSSHD(t)
	target := s.target(t)
	s.keygen("-k", "-f", "krl", "host.pub")
	write(t, filepath.Join(s.dir, "garbled"), "what\n")
	for _, name := range []string{"krl", "garbled", "none"} {
		target.RevokedHostKeys = filepath.Join(s.dir, name)
		if e := kindOf(t, login(t, Strict, target)); e.Kind != Config || !strings.Contains(e.Message, "revoked") {
			t.Errorf("%s: %v", name, e)
		}
	}
}
