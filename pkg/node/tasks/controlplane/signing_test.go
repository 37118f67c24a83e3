package controlplane

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func TestSetFlag(t *testing.T) {
	for name, c := range map[string]struct{ manifest, want, err string }{
		"set":       {"    - --a=/x\n    - --b=/y\n", "    - --a=/z\n    - --b=/y\n", ""},
		"not there": {"    - --ab=/x\n", "", "exactly once"},
		"twice":     {"    - --a=/x\n    - --a=/y\n", "", "exactly once"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SetFlag([]byte(c.manifest), "a", "/z")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestSignWithOne: who joins in the middle of a rotation signs with the CA whose key it was given.
func TestSignWithOne(t *testing.T) {
	old, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := pki.NextCA(old.CertPEM, 0)
	if err != nil {
		t.Fatal(err)
	}
	const manifest = "    - --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt\n"
	for name, c := range map[string]struct {
		trusted, key string
		signs, err   string
	}{
		"no rotation":       {string(old.CertPEM), string(old.KeyPEM), "", ""},
		"the phase trust":   {string(old.CertPEM) + string(fresh.CertPEM), string(old.KeyPEM), string(old.CertPEM), ""},
		"the phase issue":   {string(fresh.CertPEM) + string(old.CertPEM), string(fresh.KeyPEM), string(fresh.CertPEM), ""},
		"somebody else's":   {string(fresh.CertPEM) + string(fresh.CertPEM), string(old.KeyPEM), "", "belongs to none"},
		"the key is broken": {string(fresh.CertPEM) + string(old.CertPEM), "x", "", "belongs to none"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t, hosttest.NewCommander(t))
			hosttest.Write(t, h, caCert, c.trusted, 0o644)
			hosttest.Write(t, h, pkiDir+"/ca.key", c.key, 0o600)
			hosttest.Write(t, h, controllerManagerManifest, manifest, 0o600)
			err := signWithOne(t.Context(), h)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			now, err := h.ReadFile(controllerManagerManifest)
			if err != nil || strings.Contains(string(now), SigningCA) != (c.signs != "") {
				t.Errorf("%s, %v", now, err)
			}
			if c.signs == "" {
				return
			}
			if got, err := h.ReadFile(SigningCA); err != nil || string(got) != c.signs {
				t.Errorf("it signs with another one: %v", err)
			}
		})
	}
}
