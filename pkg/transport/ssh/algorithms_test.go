package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestListsOfAlgorithms: both readers mean the same by a list, as far as both know its
// algorithms.
func TestListsOfAlgorithms(t *testing.T) {
	ssh := program(t, "ssh")
	for _, c := range []struct {
		config string
		get    func(Algorithms) []string
		// first and without are what the list begins with, and what is not in it.
		first, without string
	}{
		{"Ciphers aes256-ctr,aes128-ctr", func(a Algorithms) []string { return a.Ciphers }, "aes256-ctr", "aes128-gcm@openssh.com"},
		{"Ciphers ^aes192-ctr", func(a Algorithms) []string { return a.Ciphers }, "aes192-ctr", "3des-cbc"},
		{"Ciphers -*-ctr,chacha*", func(a Algorithms) []string { return a.Ciphers }, "aes128-gcm@openssh.com", "aes256-ctr"},
		{"Ciphers +aes128-cbc", func(a Algorithms) []string { return a.Ciphers }, "", "3des-cbc"},
		{"MACs -hmac-sha1*", func(a Algorithms) []string { return a.MACs }, "hmac-sha2-256-etm@openssh.com", "hmac-sha1"},
		{"KexAlgorithms ^ecdh-sha2-nistp521", func(a Algorithms) []string { return a.KeyExchanges }, "ecdh-sha2-nistp521", "diffie-hellman-group14-sha1"},
		{"KexAlgorithms +diffie-hellman-group14-sha1", func(a Algorithms) []string { return a.KeyExchanges }, "", "diffie-hellman-group1-sha1"},
		{"HostKeyAlgorithms +ssh-rsa", func(a Algorithms) []string { return a.HostKeys }, "ssh-ed25519-cert-v01@openssh.com", "ssh-dss"},
		{"HostKeyAlgorithms ssh-rsa,rsa-sha2-256", func(a Algorithms) []string { return a.HostKeys }, "ssh-rsa", "ssh-ed25519"},
		{"PubkeyAcceptedAlgorithms -ssh-ed25519*", func(a Algorithms) []string { return a.UserKeys }, "", "ssh-ed25519"},
		{"PubkeyAcceptedKeyTypes rsa-sha2-256,sk-ssh-ed25519@openssh.com", func(a Algorithms) []string { return a.UserKeys }, "rsa-sha2-256", "rsa-sha2-512"},
		{"CASignatureAlgorithms rsa-sha2-512", func(a Algorithms) []string { return a.CASignatures }, "rsa-sha2-512", "ssh-ed25519"},
	} {
		t.Run(c.config, func(t *testing.T) {
			var lists [2][]string
			for i, program := range []string{ssh, ""} {
				env := place(t, c.config+"\n")
				env.SSH = program
				config, err := LoadConfig(t.Context(), env)
				if err != nil {
					t.Fatal(err)
				}
				target, err := Resolve(t.Context(), v1alpha1.Host{Name: "cp1", Address: "192.0.2.1"}, v1alpha1.SSH{}, config, env)
				if err != nil {
					t.Fatal(err)
				}
				lists[i] = c.get(target.Algorithms)
				if c.first != "" && lists[i][0] != c.first || slices.Contains(lists[i], c.without) {
					t.Errorf("with ssh %q: %q", program, lists[i])
				}
				// A client of before or after this program may not have these.
				lists[i] = slices.DeleteFunc(slices.Clone(lists[i]), func(n string) bool { return strings.HasPrefix(n, "mlkem") || strings.HasSuffix(n, "@libssh.org") })
				slices.Sort(lists[i])
			}
			if !slices.Equal(lists[0], lists[1]) {
				t.Errorf("ssh: %q\nown: %q", lists[0], lists[1])
			}
		})
	}
}

// Nothing else is used in the place of what is not known here, and what can't be
// heeded is told.
func TestSettingsThatCantBeTaken(t *testing.T) {
	for config, want := range map[string]string{
		"Ciphers 3des-cbc\n":                                    "", // known, though old
		"MACs umac-64@openssh.com\n":                            "error: MACs umac-64@openssh.com: none of it is known",
		"PKCS11Provider /usr/lib/p11.so\n":                      "PKCS11Provider of your SSH configuration is not loaded",
		"SecurityKeyProvider /usr/lib/sk.so\n":                  "SecurityKeyProvider of your SSH configuration is not loaded",
		"PKCS11Provider none\nSecurityKeyProvider internal\n":   "",
		"KnownHostsCommand /bin/cat /keys\n":                    "KnownHostsCommand of your SSH configuration is not run",
		"VerifyHostKeyDNS ask\n":                                "VerifyHostKeyDNS of your SSH configuration is not heeded",
		"VerifyHostKeyDNS no\n":                                 "",
		"PubkeyAuthentication no\n":                             "PubkeyAuthentication false of your SSH configuration is not heeded",
		"PubkeyAuthentication yes\n":                            "",
		"BindInterface lo\n":                                    "BindInterface of your SSH configuration is not heeded",
		"RequiredRSASize 3072\n":                                "",
		"Host cp2\n PKCS11Provider /usr/lib/p11.so\nHost cp3\n": "",
	} {
		for _, ssh := range []string{program(t, "ssh"), ""} {
			env := place(t, config)
			env.SSH = ssh
			loaded, err := LoadConfig(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Resolve(t.Context(), v1alpha1.Host{Name: "cp1", Address: "192.0.2.1"}, v1alpha1.SSH{}, loaded, env)
			said := strings.Join(loaded.Warnings(), "; ")
			if err != nil {
				said = "error: " + kindOf(t, err).Message
			}
			if (said == "") != (want == "") || !strings.Contains(said, want) {
				t.Errorf("%q with ssh %q: %q, want %q", config, ssh, said, want)
			}
		}
	}
}

// TestAlgorithmsAsOpenSSHTakesThem: a login works here when it does with OpenSSH's
// client, with the same configuration and the same server.
func TestAlgorithmsAsOpenSSHTakesThem(t *testing.T) {
	for name, c := range map[string]struct {
		// server and client are lines of sshd_config and ssh_config.
		server, client string
		// key are arguments of ssh-keygen for the user's key; ed25519 when there are none.
		key []string
		// fails is the kind of the error; empty when it works.
		fails Kind
		says  string
	}{
		"one cipher":                       {server: "Ciphers aes256-ctr", client: "Ciphers aes128-gcm@openssh.com,aes256-ctr"},
		"no cipher in common":              {server: "Ciphers aes256-ctr", client: "Ciphers aes128-ctr", fails: Unreachable, says: "no algorithm in common"},
		"a cipher taken out":               {server: "Ciphers aes256-ctr,aes128-ctr", client: "Ciphers -aes256-ctr"},
		"the only cipher taken out":        {server: "Ciphers aes256-ctr", client: "Ciphers -aes256-ctr", fails: Unreachable, says: "Ciphers"},
		"an old cipher":                    {server: "Ciphers aes128-cbc", client: "Ciphers +aes128-cbc"},
		"an old cipher that is not named":  {server: "Ciphers aes128-cbc", fails: Unreachable, says: "no algorithm in common"},
		"one MAC":                          {server: "Ciphers aes256-ctr\nMACs hmac-sha2-512", client: "MACs hmac-sha2-512"},
		"no MAC in common":                 {server: "Ciphers aes256-ctr\nMACs hmac-sha2-512", client: "MACs hmac-sha2-256", fails: Unreachable, says: "no algorithm in common"},
		"one key exchange":                 {server: "KexAlgorithms ecdh-sha2-nistp384", client: "KexAlgorithms ecdh-sha2-nistp384"},
		"no key exchange in common":        {server: "KexAlgorithms ecdh-sha2-nistp384", client: "KexAlgorithms curve25519-sha256", fails: Unreachable, says: "no algorithm in common"},
		"an old key exchange":              {server: "KexAlgorithms diffie-hellman-group14-sha1", client: "KexAlgorithms +diffie-hellman-group14-sha1"},
		"an old one that is not named":     {server: "KexAlgorithms diffie-hellman-group14-sha1", fails: Unreachable, says: "no algorithm in common"},
		"the host's key by its type":       {client: "HostKeyAlgorithms ssh-ed25519"},
		"the host's key of another type":   {client: "HostKeyAlgorithms ecdsa-sha2-nistp256", fails: HostKeyChanged, says: "no key of that type"},
		"the user's key by its type":       {client: "PubkeyAcceptedAlgorithms ssh-ed25519"},
		"the user's key of another type":   {client: "PubkeyAcceptedAlgorithms rsa-sha2-512", fails: LoginRefused, says: "PubkeyAcceptedAlgorithms"},
		"the user's RSA key, one hash":     {key: []string{"-t", "rsa", "-b", "2048"}, server: "PubkeyAcceptedAlgorithms rsa-sha2-256", client: "PubkeyAcceptedAlgorithms rsa-sha2-256"},
		"the user's RSA key, another hash": {key: []string{"-t", "rsa", "-b", "2048"}, server: "PubkeyAcceptedAlgorithms rsa-sha2-256", client: "PubkeyAcceptedAlgorithms rsa-sha2-512", fails: LoginRefused},
		"a short RSA key":                  {key: []string{"-t", "rsa", "-b", "2048"}, client: "RequiredRSASize 3072", fails: LoginRefused, says: "RequiredRSASize"},
		"an RSA key that is long enough":   {key: []string{"-t", "rsa", "-b", "2048"}, client: "RequiredRSASize 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSSHD(t, c.server)
			target := s.target(t)
			dir := filepath.Dir(target.Identities[0].Path)
			id := target.Identities[0].Path
			if c.key != nil {
				id = filepath.Join(dir, "other")
				keygen(t, dir, append(slices.Clone(c.key), "-N", "", "-f", id)...)
				s.allow(readFile(t, id+".pub"))
			}
			file := filepath.Join(dir, "config")
			write(t, file, c.client+"\nHost cp1\n HostName 127.0.0.1\n Port "+strconv.Itoa(s.port)+"\n User "+me(t)+"\n IdentityFile "+id+
				"\n IdentitiesOnly yes\n UserKnownHostsFile "+target.KnownHosts[0]+"\n GlobalKnownHostsFile none\n")
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
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "":
				e := kindOf(t, err)
				if text := e.Message + e.Detail + e.Hint; e.Kind != c.fails || !strings.Contains(text, c.says) {
					t.Errorf("got %s %v, hint %q", e.Kind, e, e.Hint)
				}
			}
			if ok, out := clientLogin(t, "yes", target, file); ok != (c.fails == "") {
				t.Errorf("OpenSSH's client logs in: %v\n%s", ok, out)
			}
		})
	}
}

// A certificate goes by the algorithms of certificates.
func TestAlgorithmsOfUserKeys(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{"ed25519": private, "rsa": rsaKey}
	for _, c := range []struct {
		key         string
		certificate bool
		a           Algorithms
		want        string // algorithms, or why not
	}{
		{"ed25519", false, Algorithms{}, "ssh-ed25519"},
		{"ed25519", false, Algorithms{UserKeys: []string{"ssh-ed25519-cert-v01@openssh.com"}}, "none of its algorithms"},
		{"ed25519", true, Algorithms{UserKeys: []string{"ssh-ed25519-cert-v01@openssh.com"}}, "ssh-ed25519"},
		{"ed25519", true, Algorithms{UserKeys: []string{"ssh-ed25519"}}, "none of its algorithms"},
		{"rsa", false, Algorithms{UserKeys: []string{"rsa-sha2-256"}}, "rsa-sha2-256"},
		{"rsa", false, Algorithms{UserKeys: []string{"ssh-rsa", "rsa-sha2-512"}}, "ssh-rsa,rsa-sha2-512"},
		{"rsa", true, Algorithms{UserKeys: []string{"rsa-sha2-256", "rsa-sha2-512-cert-v01@openssh.com"}}, "rsa-sha2-512"},
		{"rsa", false, Algorithms{RSABits: 4096}, "2048 bits"},
		{"ed25519", false, Algorithms{RSABits: 4096}, "ssh-ed25519"},
	} {
		signer, err := xssh.NewSignerFromKey(keys[c.key])
		if err != nil {
			t.Fatal(err)
		}
		got, why := c.a.userKey(signer, c.certificate)
		said := why
		if why == "" {
			said = got.PublicKey().Type()
			if multi, ok := got.(xssh.MultiAlgorithmSigner); ok {
				said = strings.Join(multi.Algorithms(), ",")
			}
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%+v: %q", c, said)
		}
	}
	// Each list has something, or nobody could log in.
	for _, key := range slices.Sorted(maps.Keys(algorithmLists())) {
		if len(algorithmLists()[key].usual) < 2 {
			t.Errorf("%s: %v", key, algorithmLists()[key])
		}
	}
}
