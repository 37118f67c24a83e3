package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const controllerManagerYAML = `apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-controller-manager
    - --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt
    - --cluster-signing-key-file=/etc/kubernetes/pki/ca.key
    - --root-ca-file=/etc/kubernetes/pki/ca.crt
`

// rotationWorld adds to a world what a rotation asks; die ends an attempt at its n-th question.
type rotationWorld struct {
	world
	asked, die int
	signer     pki.KeyPair
	former     []byte
}

var errKilled = errors.New("killed")

func (w *rotationWorld) alive() error {
	if w.asked++; w.asked == w.die {
		return errKilled
	}
	return nil
}

func (w *rotationWorld) deps(t *testing.T) deps {
	d := w.world.deps()
	restart := d.restart
	d.restart = func(ctx context.Context, env node.Env, program string, files []string) (bool, error) {
		if err := w.alive(); err != nil {
			return false, err
		}
		return restart(ctx, env, program, files)
	}
	d.rotationDeps = rotationDeps{
		well:     func(context.Context, node.Env, string) error { return nil },
		runsWith: func(*host.Host, string, string) error { return nil },
		accepts:  func(context.Context, node.Env, []byte, []byte) error { return w.alive() },
		certify: func(_ context.Context, env node.Env, request, _ []byte, signer string, usages []certificatesv1.KeyUsage) ([]byte, error) {
			if err := w.alive(); err != nil {
				return nil, err
			}
			if len(usages) != 2 || signer == "" {
				t.Errorf("asked for %s %v", signer, usages)
			}
			name := Kubelet
			if signer == certificatesv1.KubeletServingSignerName {
				name = kubeletServer
			}
			raw, err := env.Host.ReadFile(kubeletPKI + "/" + map[string]string{Kubelet: "kubelet-client", kubeletServer: "kubelet-server"}[name] + "-current.pem")
			if err != nil {
				return nil, err
			}
			return pki.Reissue(w.signer, w.former, raw, request, 0)
		},
	}
	return d
}

// keeper is a control plane node with a CA of its own.
func keeper(t *testing.T, ca, front pki.KeyPair) *host.Host {
	t.Helper()
	commands := hosttest.NewCommander(t).OnUnit(kubeletUnit, "ActiveState=active", "LoadState=loaded")
	h := hosttest.New(t, commands)
	put(t, h, pkiDir+"/ca", ca)
	put(t, h, pkiDir+"/front-proxy-ca", front)
	put(t, h, pkiDir+"/apiserver", issue(t, ca, pki.Request{CommonName: "kube-apiserver", DNSNames: []string{"kubernetes"}, IPs: []net.IP{net.ParseIP("10.0.0.1")}, Server: true}))
	put(t, h, pkiDir+"/apiserver-kubelet-client", issue(t, ca, pki.Request{CommonName: "kube-apiserver-kubelet-client", Client: true}))
	put(t, h, pkiDir+"/front-proxy-client", issue(t, front, pki.Request{CommonName: "front-proxy-client", Client: true}))
	for _, name := range []string{Admin, ControllerManager, Scheduler} {
		writeKubeconfig(t, h, name, "https://10.0.0.1:6443", ca.CertPEM, issue(t, ca, pki.Request{CommonName: name, Client: true}))
	}
	writeKubeconfig(t, h, "kubelet.conf", "https://10.0.0.1:6443", ca.CertPEM, pki.KeyPair{})
	for _, kind := range []string{"client", "server"} {
		pair := issue(t, ca, pki.Request{CommonName: nodeUser + "cp1", Organization: []string{"system:nodes"}, IPs: []net.IP{net.ParseIP("10.0.0.1")}, Client: kind == "client", Server: kind == "server"})
		hosttest.Write(t, h, kubeletPKI+"/kubelet-"+kind+"-first.pem", string(pair.CertPEM)+string(pair.KeyPEM), 0o600)
		if err := os.Symlink("kubelet-"+kind+"-first.pem", h.Path(kubeletPKI+"/kubelet-"+kind+"-current.pem")); err != nil {
			t.Fatal(err)
		}
	}
	hosttest.Write(t, h, controllerManagerManifest, controllerManagerYAML, 0o600)
	hosttest.Write(t, h, apiserverManifest, "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.0.0.1\n", 0o600)
	return h
}

// next is the CA to come, as a host has created it.
func next(t *testing.T, h *host.Host, a Authority) []byte {
	t.Helper()
	data, err := RotationOffer(t.Context(), newEnv(h), RotationOfferSpec{Authority: a})
	if err != nil {
		t.Fatal(err)
	}
	again, err := RotationOffer(t.Context(), newEnv(h), RotationOfferSpec{Authority: a})
	if err != nil || !pki.Same(again.(RotationOfferData).Next, data.(RotationOfferData).Next) {
		t.Fatalf("asked twice, it creates two: %v", err)
	}
	return data.(RotationOfferData).Next
}

func content(t *testing.T, h *host.Host, file string) []byte {
	t.Helper()
	raw, err := h.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// look is what a host is like, in words.
func look(t *testing.T, h *host.Host, old, fresh []byte) string {
	t.Helper()
	name := func(c []byte) string {
		switch {
		case pki.Same(c, old):
			return "old"
		case pki.Same(c, fresh):
			return "new"
		}
		return "?"
	}
	var all []string
	for _, c := range pki.Certs(content(t, h, pkiDir+"/ca.crt")) {
		all = append(all, name(c))
	}
	out := "trusts " + strings.Join(all, "+")
	key := content(t, h, pkiDir+"/ca.key")
	for _, c := range [][]byte{old, fresh} {
		if pki.Holds(key, c) {
			out += ", signs " + name(c)
		}
	}
	by := map[string]bool{}
	for _, u := range catalogue() {
		pair, err := u.current(h)
		if errors.Is(err, os.ErrNotExist) || u.signer != SignerKubernetes || u.name == Kubelet {
			continue
		}
		if err != nil || pair.Check() != nil {
			t.Fatalf("%s: %v %v", u.name, err, pair.Check())
		}
		for _, c := range [][]byte{old, fresh} {
			if ok, err := pki.SignedBy(pair.CertPEM, c); err == nil && ok {
				by[name(c)] = true
			}
		}
	}
	out += fmt.Sprintf(", signed by %v, manager signs with %s", by, path.Base(flag(h, controllerManagerManifest, controlplane.SigningFlag)))
	l, err := readLogin(content(t, h, path.Join(kubernetesDir, ControllerManager)))
	if err != nil {
		t.Fatal(err)
	}
	return out + fmt.Sprintf(", kubeconfigs trust %d", len(pki.Certs(l.ca)))
}

// trusted reports whether who trusts only a CA trusts what the apiserver shows.
func trusted(t *testing.T, h *host.Host, ca []byte) bool {
	t.Helper()
	roots, rest := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	raw := content(t, h, pkiDir+"/apiserver.crt")
	rest.AppendCertsFromPEM(raw)
	leaf, err := pki.ParseCert(raw)
	if err != nil {
		t.Fatal(err)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, DNSName: "kubernetes"})
	return err == nil
}

// noKeyOf looks through all of the host for the private key of a CA.
func noKeyOf(t *testing.T, h *host.Host, ca []byte) {
	t.Helper()
	err := filepath.WalkDir(h.Path("/"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(file)
		if err == nil && pki.Holds(raw, ca) {
			t.Errorf("the private key of the authority that is gone is in %s", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRotateKubernetes(t *testing.T) {
	const (
		oldOnly = "trusts old, signs old, signed by map[old:true], manager signs with ca.crt, kubeconfigs trust 1"
		both    = "trusts old+new, signs old, signed by map[old:true], manager signs with ca-signing.crt, kubeconfigs trust 2"
		issued  = "trusts new+old, signs new, signed by map[new:true], manager signs with ca-signing.crt, kubeconfigs trust 2"
		newOnly = "trusts new, signs new, signed by map[new:true], manager signs with ca.crt, kubeconfigs trust 1"
		undone  = "trusts old+new, signs old, signed by map[old:true], manager signs with ca-signing.crt, kubeconfigs trust 2"
	)
	type turn struct {
		phase Phase
		back  bool
		want  string
	}
	for name, turns := range map[string][]turn{
		"forwards":                 {{PhaseTrust, false, both}, {PhaseIssue, false, issued}, {PhaseFinish, false, newOnly}},
		"taken back after trust":   {{PhaseTrust, false, both}, {PhaseFinish, true, oldOnly}},
		"taken back after issue":   {{PhaseTrust, false, both}, {PhaseIssue, false, issued}, {PhaseIssue, true, undone}, {PhaseFinish, true, oldOnly}},
		"each phase twice":         {{PhaseTrust, false, both}, {PhaseTrust, false, both}, {PhaseIssue, false, issued}, {PhaseIssue, false, issued}, {PhaseFinish, false, newOnly}, {PhaseFinish, false, newOnly}},
		"a host that missed trust": {{PhaseIssue, false, issued}, {PhaseFinish, false, newOnly}},
	} {
		// Each attempt may end at each of its questions, and be followed by another one.
		for die := range 8 {
			t.Run(fmt.Sprintf("%s, killed at %d", name, die), func(t *testing.T) {
				ca, front := newCA(t, "kubernetes"), newCA(t, "front")
				h := keeper(t, ca, front)
				to := next(t, h, AuthorityKubernetes)
				for i, turn := range turns {
					spec := RotationSpec{Authority: AuthorityKubernetes, Phase: turn.phase, From: ca.CertPEM, To: to}
					if turn.back {
						spec.From, spec.To = spec.To, spec.From
					}
					w := &rotationWorld{die: die}
					_, err := rotate(t.Context(), newEnv(h), spec, w.deps(t))
					if die > 0 && errors.Is(err, errKilled) {
						w.die = 0
						_, err = rotate(t.Context(), newEnv(h), spec, w.deps(t))
					}
					if err != nil {
						t.Fatalf("%d: %v", i, err)
					}
					if turn.phase == PhaseIssue {
						held, err := AuthorityKubernetes.held(h)
						if err != nil {
							t.Fatal(err)
						}
						w := &rotationWorld{signer: held[pki.ID(spec.To)], former: spec.From}
						if _, err := refresh(t.Context(), newEnv(h), spec, w.deps(t)); err != nil {
							t.Fatal(err)
						}
					}
					if got := look(t, h, ca.CertPEM, to); got != turn.want {
						t.Fatalf("%d: got  %s\nwant %s", i, got, turn.want)
					}
					oldTrusts, newTrusts := trusted(t, h, ca.CertPEM), trusted(t, h, to)
					if wantOld, wantNew := turn.want != newOnly, turn.phase == PhaseIssue || turn.want == newOnly; oldTrusts != wantOld || newTrusts != wantNew {
						t.Errorf("%d: who trusts the old CA trusts the apiserver: %t, the new one: %t", i, oldTrusts, newTrusts)
					}
				}
				if there, err := h.Exists(AuthorityKubernetes.dir()); err != nil || there {
					t.Errorf("keys are left: %v", err)
				}
				if gone := ca.CertPEM; !turns[len(turns)-1].back {
					noKeyOf(t, h, gone)
				} else {
					noKeyOf(t, h, to)
				}
				if there, err := h.Exists(controlplane.SigningCA); err != nil || there {
					t.Errorf("%s is left: %v", controlplane.SigningCA, err)
				}
			})
		}
	}
}

// TestRotateRefuses: nothing is changed then.
func TestRotateRefuses(t *testing.T) {
	ca, front, stranger := newCA(t, "kubernetes"), newCA(t, "front"), newCA(t, "kubernetes")
	for name, c := range map[string]struct {
		spec  func(to []byte) RotationSpec
		spoil func(t *testing.T, h *host.Host)
		want  string
	}{
		"no such authority": {func(to []byte) RotationSpec {
			return RotationSpec{Authority: "x", Phase: PhaseTrust, From: ca.CertPEM, To: to}
		}, nil, `no authority called "x"`},
		"no such phase": {func(to []byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: "x", From: ca.CertPEM, To: to}
		}, nil, `no phase called "x"`},
		"the same twice": {func([]byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseTrust, From: ca.CertPEM, To: ca.CertPEM}
		}, nil, "same authority twice"},
		"nothing named": {func([]byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseTrust, From: ca.CertPEM}
		}, nil, "no two authorities"},
		"another CA signs": {func(to []byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseTrust, From: stranger.CertPEM, To: to}
		}, nil, "neither of the two"},
		"the key never came": {func([]byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseIssue, From: ca.CertPEM, To: stranger.CertPEM}
		}, nil, "is not on this host"},
		"finish before issue": {func(to []byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseFinish, From: ca.CertPEM, To: to}
		}, nil, "still in use"},
		"no key in use": {func(to []byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseTrust, From: ca.CertPEM, To: to}
		},
			func(t *testing.T, h *host.Host) { remove(t, h, pkiDir+"/ca.key") }, "private key is not on this host"},
		"another signing file": {func(to []byte) RotationSpec {
			return RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseTrust, From: ca.CertPEM, To: to}
		},
			func(t *testing.T, h *host.Host) {
				hosttest.Write(t, h, controllerManagerManifest, strings.Replace(controllerManagerYAML, "cert-file=/etc/kubernetes/pki/ca.crt", "cert-file=/etc/kubernetes/pki/mine.crt", 1), 0o600)
			}, "signs with"},
	} {
		t.Run(name, func(t *testing.T) {
			h := keeper(t, ca, front)
			to := next(t, h, AuthorityKubernetes)
			before := look(t, h, ca.CertPEM, to)
			if c.spoil != nil {
				c.spoil(t, h)
			}
			w := &rotationWorld{}
			_, err := rotate(t.Context(), newEnv(h), c.spec(to), w.deps(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if c.spoil != nil {
				return
			}
			if after := look(t, h, ca.CertPEM, to); after != before {
				t.Errorf("it was changed: %s", after)
			}
		})
	}
}

func remove(t *testing.T, h *host.Host, file string) {
	t.Helper()
	if err := os.Remove(h.Path(file)); err != nil {
		t.Fatal(err)
	}
}

// TestRotationKeys: a key gets to another host encrypted, and to no other.
func TestRotationKeys(t *testing.T) {
	ca, front := newCA(t, "kubernetes"), newCA(t, "front")
	first, second, third := keeper(t, ca, front), keeper(t, ca, front), keeper(t, ca, front)
	to := next(t, first, AuthorityKubernetes)
	recipients := map[string]string{}
	for name, h := range map[string]*host.Host{"cp2": second, "cp3": third} {
		d, err := RotationReceive(t.Context(), newEnv(h), RotationLookSpec{Authority: AuthorityKubernetes})
		if err != nil {
			t.Fatal(err)
		}
		recipients[name] = d.(RotationReceiveData).Recipient
	}
	got, err := RotationOffer(t.Context(), newEnv(first), RotationOfferSpec{Authority: AuthorityKubernetes, Next: to, Recipients: recipients})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(got)
	if err != nil || strings.Contains(string(raw), "PRIVATE") || strings.Contains(string(raw), base64.StdEncoding.EncodeToString([]byte("-----BEGIN EC PRIVATE"))) {
		t.Fatalf("a key is in it: %v", err)
	}
	sealed := got.(RotationOfferData).Sealed
	spec := RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseTrust, From: ca.CertPEM, To: to}
	spec.SealedKey = sealed["cp3"]
	w := &rotationWorld{}
	if _, err := rotate(t.Context(), newEnv(second), spec, w.deps(t)); err == nil || !strings.Contains(err.Error(), "encrypted to another host") {
		t.Fatalf("another host's: %v", err)
	}
	spec.SealedKey = sealed["cp2"]
	if _, err := rotate(t.Context(), newEnv(second), spec, w.deps(t)); err != nil {
		t.Fatal(err)
	}
	d, err := RotationLook(t.Context(), newEnv(second), RotationLookSpec{Authority: AuthorityKubernetes})
	if err != nil || !d.(RotationLookData).Holds(to) || !d.(RotationLookData).Holds(ca.CertPEM) || !d.(RotationLookData).Trusts(to) || !pki.Same(d.(RotationLookData).Signs, ca.CertPEM) {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := RotationOffer(t.Context(), newEnv(third), RotationOfferSpec{Authority: AuthorityKubernetes, Next: to}); err == nil {
		t.Error("a host offers a key that it does not have")
	}
}

// TestRotateApart: a host trusts no CA anew that it could not tell apart from another one of the cluster,
// and tells which it has.
func TestRotateApart(t *testing.T) {
	ca, front, etcd := newCA(t, "kubernetes"), newCA(t, "front"), newCA(t, "etcd")
	h := keeper(t, ca, front)
	put(t, h, pkiDir+"/etcd/ca", pki.KeyPair{CertPEM: etcd.CertPEM})
	for _, x := range []struct {
		authority Authority
		from, to  []byte
		of        Authority
	}{
		{AuthorityKubernetes, ca.CertPEM, etcd.CertPEM, AuthorityEtcd}, {AuthorityKubernetes, ca.CertPEM, newCA(t, "etcd").CertPEM, AuthorityEtcd},
		{AuthorityFrontProxy, front.CertPEM, ca.CertPEM, AuthorityKubernetes}, {AuthorityEtcd, etcd.CertPEM, newCA(t, "front").CertPEM, AuthorityFrontProxy},
	} {
		w := &rotationWorld{}
		_, err := rotate(t.Context(), newEnv(h), RotationSpec{Authority: x.authority, Phase: PhaseTrust, From: x.from, To: x.to}, w.deps(t))
		if err == nil || !strings.Contains(err.Error(), "the cluster's CA for "+string(x.of)+": they have the same") {
			t.Errorf("%s by that of %s: %v", x.authority, x.of, err)
		}
		file, _ := x.authority.files()
		if got := content(t, h, file); !bytes.Equal(got, x.from) {
			t.Errorf("%s was changed all the same", file)
		}
	}
	for a, want := range map[Authority]int{AuthorityKubernetes: 2, AuthorityFrontProxy: 2, AuthorityServiceAccount: 0} {
		d, err := RotationLook(t.Context(), newEnv(h), RotationLookSpec{Authority: a})
		if err != nil || len(d.(RotationLookData).Others) != want || want > 0 && !pki.Same(d.(RotationLookData).Others[AuthorityEtcd], etcd.CertPEM) {
			t.Errorf("%s: %+v, %v", a, d, err)
		}
	}
}

func TestRotateFrontProxy(t *testing.T) {
	ca, front := newCA(t, "kubernetes"), newCA(t, "front")
	h := keeper(t, ca, front)
	to := next(t, h, AuthorityFrontProxy)
	w := &rotationWorld{}
	for _, c := range []struct {
		phase  Phase
		trusts int
		by     []byte
	}{{PhaseTrust, 2, front.CertPEM}, {PhaseIssue, 2, to}, {PhaseFinish, 1, to}} {
		if _, err := rotate(t.Context(), newEnv(h), RotationSpec{Authority: AuthorityFrontProxy, Phase: c.phase, From: front.CertPEM, To: to}, w.deps(t)); err != nil {
			t.Fatal(err)
		}
		ok, err := pki.SignedBy(content(t, h, pkiDir+"/front-proxy-client.crt"), c.by)
		if n := len(pki.Certs(content(t, h, pkiDir+"/front-proxy-ca.crt"))); n != c.trusts || !ok || err != nil {
			t.Errorf("%s: trusts %d, signed as expected: %t %v", c.phase, n, ok, err)
		}
	}
	if len(w.restarted) > 0 {
		t.Errorf("restarted %v", w.restarted)
	}
}

// TestRotateEtcd: what an apiserver knows etcd by is exchanged, and it is restarted; the last phase
// waits until its login was signed anew, and another cluster's CA is left alone.
func TestRotateEtcd(t *testing.T) {
	ca, front, from, to := newCA(t, "kubernetes"), newCA(t, "front"), newCA(t, "c etcd CA"), newCA(t, "c etcd CA")
	h := keeper(t, ca, front)
	hosttest.Write(t, h, localEtcdDir+"/ca.crt", string(from.CertPEM), 0o644)
	put(t, h, pkiDir+"/"+EtcdClient, issue(t, from, pki.Request{CommonName: "apiserver", Client: true}))
	spec := func(phase Phase) RotationSpec {
		return RotationSpec{Authority: AuthorityEtcd, Phase: phase, From: from.CertPEM, To: to.CertPEM}
	}
	trusts := func(want int) {
		t.Helper()
		if n := len(pki.Certs(content(t, h, localEtcdDir+"/ca.crt"))); n != want {
			t.Errorf("it trusts %d CAs, want %d", n, want)
		}
	}
	w := &rotationWorld{}
	if _, err := rotate(t.Context(), newEnv(h), spec(PhaseTrust), w.deps(t)); err != nil {
		t.Fatal(err)
	}
	trusts(2)
	if strings.Join(w.restarted, " ") != apiserverProgram {
		t.Errorf("restarted %v", w.restarted)
	}
	if _, err := rotate(t.Context(), newEnv(h), spec(PhaseFinish), w.deps(t)); err == nil || !strings.Contains(err.Error(), EtcdClient) {
		t.Errorf("the login is still by the former CA: %v", err)
	}
	trusts(2)
	put(t, h, pkiDir+"/"+EtcdClient, issue(t, to, pki.Request{CommonName: "apiserver", Client: true}))
	if _, err := rotate(t.Context(), newEnv(h), spec(PhaseFinish), w.deps(t)); err != nil {
		t.Fatal(err)
	}
	trusts(1)
	hosttest.Write(t, h, localEtcdDir+"/ca.crt", string(newCA(t, "another").CertPEM), 0o644)
	if _, err := rotate(t.Context(), newEnv(h), spec(PhaseFinish), w.deps(t)); err == nil || host.Hint(err) == "" {
		t.Errorf("another cluster's CA: %v", err)
	}
	for name, err := range map[string]error{
		"look": func() error {
			_, err := RotationLook(t.Context(), newEnv(h), RotationLookSpec{Authority: AuthorityEtcd})
			return err
		}(),
		"receive": func() error {
			_, err := RotationReceive(t.Context(), newEnv(h), RotationLookSpec{Authority: AuthorityEtcd})
			return err
		}(),
		"offer": func() error {
			_, err := RotationOffer(t.Context(), newEnv(h), RotationOfferSpec{Authority: AuthorityEtcd})
			return err
		}(),
	} {
		if err == nil {
			t.Errorf("%s: a host has to do with the key of the etcd CA", name)
		}
	}
}

func TestRotateServiceAccount(t *testing.T) {
	ca, front := newCA(t, "kubernetes"), newCA(t, "front")
	h := keeper(t, ca, front)
	private, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pki.PublicKey(private)
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, h, pkiDir+"/sa.key", string(private), 0o600)
	hosttest.Write(t, h, pkiDir+"/sa.pub", string(public), 0o600)
	to := next(t, h, AuthorityServiceAccount)
	for _, c := range []struct {
		phase  Phase
		trusts int
		signs  []byte
	}{{PhaseTrust, 2, public}, {PhaseIssue, 2, to}, {PhaseFinish, 1, to}} {
		w := &rotationWorld{}
		if _, err := rotate(t.Context(), newEnv(h), RotationSpec{Authority: AuthorityServiceAccount, Phase: c.phase, From: public, To: to}, w.deps(t)); err != nil {
			t.Fatal(err)
		}
		trusts := pki.PublicKeys(content(t, h, pkiDir+"/sa.pub"))
		if len(trusts) != c.trusts || !pki.Same(trusts[0], c.signs) || !pki.Holds(content(t, h, pkiDir+"/sa.key"), c.signs) {
			t.Errorf("%s: trusts %d", c.phase, len(trusts))
		}
		if strings.Join(w.restarted, " ") != apiserverProgram+" "+controllerManagerProgram {
			t.Errorf("%s: restarted %v", c.phase, w.restarted)
		}
	}
}

// TestRefreshKubelet: both of a kubelet's certificates are signed anew, once.
func TestRefreshKubelet(t *testing.T) {
	ca, front := newCA(t, "kubernetes"), newCA(t, "front")
	h := keeper(t, ca, front)
	to, err := pki.NextCA(ca.CertPEM, 0)
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, h, pkiDir+"/ca.crt", string(to.CertPEM)+string(ca.CertPEM), 0o644)
	spec := RotationSpec{Authority: AuthorityKubernetes, Phase: PhaseIssue, From: ca.CertPEM, To: to.CertPEM}
	w := &rotationWorld{signer: to, former: ca.CertPEM}
	reissue := w.deps(t)
	got, err := refresh(t.Context(), newEnv(h), spec, reissue)
	if err != nil || len(got.(RotationData).Reissued) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	for _, kind := range []string{"client", "server"} {
		raw := content(t, h, kubeletPKI+"/kubelet-"+kind+"-current.pem")
		if ok, err := pki.SignedBy(raw, to.CertPEM); err != nil || !ok {
			t.Errorf("%s: %v", kind, err)
		}
		link, err := os.Readlink(h.Path(kubeletPKI + "/kubelet-" + kind + "-current.pem"))
		if err != nil || !strings.HasPrefix(link, "kubelet-"+kind+"-2") {
			t.Errorf("%s: %s %v", kind, link, err)
		}
	}
	if got, err = refresh(t.Context(), newEnv(h), spec, reissue); err != nil || len(got.(RotationData).Reissued) != 0 {
		t.Errorf("a second time: %+v %v", got, err)
	}
}

func TestStaleTokens(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	key := func() []byte {
		private, err := pki.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pki.PublicKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return public
	}
	old, fresh := key(), key()
	token := func(by []byte) string {
		block, _ := pem.Decode(by)
		sum := sha256.Sum256(block.Bytes)
		header, err := json.Marshal(map[string]string{"alg": "ES256", "kid": base64.RawURLEncoding.EncodeToString(sum[:])})
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(header) + ".e30.c2lnbmF0dXJl"
	}
	for pod, files := range map[string]map[string]string{
		"uid-old":   {"token": token(old), "ca.crt": "x"},
		"uid-new":   {"token": token(fresh)},
		"uid-other": {"somewhere": token(old), "namespace": "a.b.c"},
		"uid-none":  {"config": "not.a.token"},
	} {
		for name, text := range files {
			hosttest.Write(t, h, path.Join(kubeletPods, pod, "volumes/kubernetes.io~projected/kube-api-access/..data", name), text, 0o644)
		}
	}
	hosttest.Write(t, h, path.Join(kubeletPods, "uid-empty/etc-hosts"), "", 0o644)
	got, err := staleTokens(h, fresh)
	if err != nil || strings.Join(got, " ") != "uid-old uid-other" {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestFinishKeepsTheKeyThatStays: where somebody has put the former key back, the new one is not
// forgotten with all that was kept: it may be the only copy.
func TestFinishKeepsTheKeyThatStays(t *testing.T) {
	ca, front := newCA(t, "kubernetes"), newCA(t, "front")
	h := keeper(t, ca, front)
	for _, c := range []struct {
		authority Authority
		key       string
		pair      pki.KeyPair
	}{{AuthorityKubernetes, pkiDir + "/ca.key", ca}, {AuthorityFrontProxy, pkiDir + "/front-proxy-ca.key", front}} {
		to := next(t, h, c.authority)
		spec := RotationSpec{Authority: c.authority, From: c.pair.CertPEM, To: to}
		for _, spec.Phase = range []Phase{PhaseTrust, PhaseIssue} {
			if _, err := rotate(t.Context(), newEnv(h), spec, (&rotationWorld{}).deps(t)); err != nil {
				t.Fatal(err)
			}
		}
		held, err := c.authority.held(h)
		if err != nil {
			t.Fatal(err)
		}
		if c.authority == AuthorityKubernetes {
			if _, err := refresh(t.Context(), newEnv(h), spec, (&rotationWorld{signer: held[pki.ID(to)], former: spec.From}).deps(t)); err != nil {
				t.Fatal(err)
			}
		}
		hosttest.Write(t, h, c.key, string(c.pair.KeyPEM), 0o600)
		spec.Phase = PhaseFinish
		if _, err := rotate(t.Context(), newEnv(h), spec, (&rotationWorld{}).deps(t)); err == nil || !strings.Contains(err.Error(), "still signs with") {
			t.Errorf("%s: %v", c.authority, err)
		}
		if held, err := c.authority.held(h); err != nil || held[pki.ID(to)].KeyPEM == nil {
			t.Errorf("%s: the key that is to stay is gone: %v", c.authority, err)
		}
	}
}

// TestRenewedWhileItRotates: who knows only the former CA trusts the apiserver also after its
// certificate was renewed between two phases, or was put back.
func TestRenewedWhileItRotates(t *testing.T) {
	ca, front := newCA(t, "kubernetes"), newCA(t, "front")
	h := keeper(t, ca, front)
	spec := RotationSpec{Authority: AuthorityKubernetes, From: ca.CertPEM, To: next(t, h, AuthorityKubernetes)}
	for _, spec.Phase = range []Phase{PhaseTrust, PhaseIssue} {
		if _, err := rotate(t.Context(), newEnv(h), spec, (&rotationWorld{}).deps(t)); err != nil {
			t.Fatal(err)
		}
	}
	w := &rotationWorld{}
	before := content(t, h, pkiDir+"/apiserver.crt")
	if _, err := renew(t.Context(), newEnv(h), RenewSpec{Names: []string{APIServer}}, w.deps(t)); err != nil {
		t.Fatal(err)
	}
	if string(content(t, h, pkiDir+"/apiserver.crt")) == string(before) || !trusted(t, h, ca.CertPEM) || !trusted(t, h, spec.To) {
		t.Error("renewed, it is not trusted by all")
	}
	broken := w.deps(t)
	broken.shown = func(context.Context, node.Env, unit, *x509.Certificate) error {
		return errors.New("it shows another one")
	}
	env := newEnv(h)
	synctest.Test(t, func(t *testing.T) {
		if _, err := renew(t.Context(), env, RenewSpec{Names: []string{APIServer}}, broken); err == nil {
			t.Error("no error")
		}
	})
	if !trusted(t, h, ca.CertPEM) {
		t.Error("put back, it is not trusted by all")
	}
}
