package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// world is a host's users of certificates, as a test wants them.
type world struct {
	// sick says of a unit what is wrong with the certificate that is in use.
	sick func(u unit, pair pki.KeyPair) error
	// hidden: nobody shows it.
	hidden    bool
	restarted []string
}

func (w *world) deps() deps {
	return deps{
		revive: func(context.Context, node.Env, *Data) error { return nil },
		probe: func(_ context.Context, env node.Env, u unit) error {
			pair, err := u.current(env.Host)
			if err != nil || w.sick == nil {
				return err
			}
			return w.sick(u, pair)
		},
		shown: func(_ context.Context, env node.Env, u unit, cert *x509.Certificate) error {
			pair, err := u.current(env.Host)
			if err != nil || w.hidden {
				return errors.Join(err, errUnseen)
			}
			if now, err := pki.ParseCert(pair.CertPEM); err != nil || !now.Equal(cert) {
				return errors.New("another one")
			}
			return nil
		},
		restart: func(_ context.Context, _ node.Env, program string, _ []string) (bool, error) {
			w.restarted = append(w.restarted, program)
			return true, nil
		},
	}
}

// etcdHost is a host with a member's certificates.
func etcdHost(t *testing.T, ca pki.KeyPair, options ...hosttest.Options) *host.Host {
	t.Helper()
	h := hosttest.New(t, hosttest.NewCommander(t), options...)
	put(t, h, etcdmember.PKIDir+"/ca", pki.KeyPair{CertPEM: ca.CertPEM})
	for _, name := range []string{"server", "peer"} {
		put(t, h, etcdmember.PKIDir+"/"+name, issue(t, ca, pki.Request{CommonName: "cp1", IPs: []net.IP{net.ParseIP("10.0.0.1")}, Server: true, Client: true}))
	}
	return h
}

// TestInstallPutsBack: what nobody takes goes, what was there comes back, with its key, and
// the one after it is not begun.
func TestInstallPutsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "etcd")
		h := etcdHost(t, ca)
		spec := sign(t, ca, h, EtcdServer, EtcdPeer)
		before, errBefore := (unit{name: EtcdServer, cert: etcdmember.PKIDir + "/server.crt", key: etcdmember.PKIDir + "/server.key"}).current(h)
		if errBefore != nil {
			t.Fatal(errBefore)
		}
		peer, err := h.ReadFile(etcdmember.PKIDir + "/peer.crt")
		if err != nil {
			t.Fatal(err)
		}
		w := &world{sick: func(_ unit, pair pki.KeyPair) error {
			if string(pair.CertPEM) != string(before.CertPEM) && string(pair.CertPEM) != string(peer) {
				return errors.New("nobody takes it")
			}
			return nil
		}}
		_, err = install(t.Context(), newEnv(h), spec, w.deps())
		if err == nil || !strings.Contains(err.Error(), "nobody takes it") || !strings.Contains(err.Error(), "in use again") || !strings.Contains(err.Error(), EtcdServer) || host.Hint(err) == "" {
			t.Fatalf("%v", err)
		}
		after, err := (unit{cert: etcdmember.PKIDir + "/server.crt", key: etcdmember.PKIDir + "/server.key"}).current(h)
		if err != nil || string(after.CertPEM) != string(before.CertPEM) || string(after.KeyPEM) != string(before.KeyPEM) {
			t.Errorf("what was there is not back: %v", err)
		}
		if now, err := h.ReadFile(etcdmember.PKIDir + "/peer.crt"); err != nil || string(now) != string(peer) {
			t.Errorf("the next one was begun: %v", err)
		}
		// The cause is gone: the same goes on.
		w.sick = nil
		if got, err := install(t.Context(), newEnv(h), spec, w.deps()); err != nil || len(got.(Data).Renewed) != 2 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

// TestInstallOfWhatIsAway: a certificate whose users are down is put there all the same, and
// that is said; what was sick before need not be well.
func TestInstallOfWhatIsAway(t *testing.T) {
	ca := newCA(t, "etcd")
	h := etcdHost(t, ca)
	spec := sign(t, ca, h, EtcdServer)
	w := &world{hidden: true, sick: func(unit, pki.KeyPair) error { return errors.New("connection refused") }}
	got, err := install(t.Context(), newEnv(h), spec, w.deps())
	if err != nil || got.(Data).Unseen[EtcdServer] == "" || len(got.(Data).Renewed) != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestInstallAfterACrash: an agent that ended between the two renames left a new key beside the
// old certificate. The next attempt ends it, and can still go back.
func TestInstallAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "etcd")
		h := etcdHost(t, ca)
		u := catalogue()[0]
		old, err := u.current(h)
		if err != nil {
			t.Fatal(err)
		}
		spec := sign(t, ca, h, EtcdServer)
		waiting, err := h.ReadFile(u.pendingKey())
		if err != nil {
			t.Fatal(err)
		}
		if err := (fresh{unit: u}).keep(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		hosttest.Write(t, h, u.key, string(waiting), 0o600)

		same, err := Request(t.Context(), newEnv(h), RequestSpec{Names: []string{EtcdServer}})
		if err != nil || len(same.(RequestData).Pending) != 1 {
			t.Fatal(err)
		}
		kept := func() {
			t.Helper()
			cert, errCert := h.ReadFile(u.former("crt"))
			key, errKey := h.ReadFile(u.former("key"))
			if errCert != nil || errKey != nil || string(cert) != string(old.CertPEM) || string(key) != string(old.KeyPEM) {
				t.Errorf("the way back is lost: %v %v", errCert, errKey)
			}
		}
		if got, err := install(t.Context(), newEnv(h), spec, (&world{}).deps()); err != nil || len(got.(Data).Renewed) != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		kept()
		if now, err := u.current(h); err != nil || now.Check() != nil {
			t.Errorf("%v %v", err, now.Check())
		}
	})
}

// TestInstallRefuses: nothing is changed by what must not get into use.
func TestInstallRefuses(t *testing.T) {
	ca, other := newCA(t, "etcd"), newCA(t, "etcd")
	h := etcdHost(t, ca)
	good := sign(t, ca, h, EtcdServer).Certificates[EtcdServer]
	waiting, err := h.ReadFile(catalogue()[0].pendingKey())
	if err != nil {
		t.Fatal(err)
	}
	byOther := func(r pki.Request, ca pki.KeyPair) []byte {
		request, err := pki.SigningRequest(waiting, r)
		if err != nil {
			t.Fatal(err)
		}
		pair := issue(t, ca, r)
		cert, err := pki.Renew(ca, pair.CertPEM, request, 0)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	names := pki.Request{CommonName: "cp1", IPs: []net.IP{net.ParseIP("10.0.0.1")}, Server: true, Client: true}
	fewer := names
	fewer.IPs = []net.IP{net.ParseIP("10.0.0.2")}
	before, err := h.ReadFile(etcdmember.PKIDir + "/server.crt")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cert []byte
		unit string
		want string
	}{
		"another CA's":        {byOther(names, other), EtcdServer, "no good here"},
		"for another address": {byOther(fewer, ca), EtcdServer, "lacks the names"},
		"for another key":     {issue(t, ca, names).CertPEM, EtcdServer, "does not fit the key that waits"},
		"no certificate":      {[]byte("x"), EtcdServer, "does not fit the key that waits"},
		"an unknown name":     {good, "etcd", "no certificate called"},
	} {
		_, err := install(t.Context(), newEnv(h), InstallSpec{Certificates: map[string][]byte{tc.unit: tc.cert}}, (&world{}).deps())
		if err == nil || !strings.Contains(err.Error(), tc.want) || host.Hint(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now, err := h.ReadFile(etcdmember.PKIDir + "/server.crt"); err != nil || string(now) != string(before) {
		t.Errorf("it was changed: %v", err)
	}
}

// controlPlane is a host as kubeadm leaves it, with an external etcd.
func controlPlane(t *testing.T, validity time.Duration, options ...hosttest.Options) (*host.Host, pki.KeyPair) {
	t.Helper()
	h := hosttest.New(t, hosttest.NewCommander(t), options...)
	ca, proxy, etcd := newCA(t, "kubernetes"), newCA(t, "front-proxy-ca"), newCA(t, "etcd")
	put(t, h, pkiDir+"/ca", ca)
	put(t, h, pkiDir+"/front-proxy-ca", proxy)
	put(t, h, localEtcdDir+"/ca", pki.KeyPair{CertPEM: etcd.CertPEM})
	client := func(cn string, ca pki.KeyPair) pki.KeyPair {
		return issue(t, ca, pki.Request{CommonName: cn, Client: true, Validity: validity})
	}
	put(t, h, pkiDir+"/apiserver", issue(t, ca, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes"}, Validity: validity}))
	put(t, h, pkiDir+"/apiserver-kubelet-client", client("kube-apiserver-kubelet-client", ca))
	put(t, h, pkiDir+"/front-proxy-client", client("front-proxy-client", proxy))
	put(t, h, pkiDir+"/apiserver-etcd-client", client("kube-apiserver-etcd-client", etcd))
	for _, name := range []string{Admin, ControllerManager, Scheduler} {
		writeKubeconfig(t, h, name, "https://10.0.0.1:6443", ca.CertPEM, client(name, ca))
	}
	kubelet := issue(t, ca, pki.Request{CommonName: "system:node:cp1", Organization: []string{"system:nodes"}, Client: true, Validity: validity})
	hosttest.Write(t, h, kubeletPKI+"/kubelet-client-2026-01-01-00-00-00.pem", string(kubelet.CertPEM)+string(kubelet.KeyPEM), 0o600)
	if err := os.Symlink("kubelet-client-2026-01-01-00-00-00.pem", h.Path(kubeletPKI+"/kubelet-client-current.pem")); err != nil {
		t.Fatal(err)
	}
	return h, ca
}

// TestRenew renews what the host's CAs sign, restarts who reads it at the start only, and
// leaves etcd's CA's and the kubelet's alone.
func TestRenew(t *testing.T) {
	h, _ := controlPlane(t, time.Hour)
	w := &world{}
	got, err := renew(t.Context(), newEnv(h), RenewSpec{Validity: 2 * time.Hour}, w.deps())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got.(Data).Renewed {
		names = append(names, r.Name)
		if left := time.Until(r.NotAfter); left < 119*time.Minute || left > 2*time.Hour {
			t.Errorf("%s lives for %s", r.Name, left)
		}
	}
	if want := "[apiserver apiserver-kubelet-client front-proxy-client admin.conf controller-manager.conf scheduler.conf]"; fmt.Sprint(names) != want {
		t.Errorf("renewed are %v", names)
	}
	if fmt.Sprint(w.restarted) != "[kube-controller-manager kube-scheduler]" {
		t.Errorf("restarted are %v", w.restarted)
	}
	for _, name := range OfHost() {
		u, err := named([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if pair, err := u[0].current(h); err == nil && pair.Check() != nil {
			t.Errorf("%s: %v", name, pair.Check())
		}
	}
	if info, err := h.Stat(pkiDir + "/apiserver.key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if got, err = renew(t.Context(), newEnv(h), RenewSpec{Due: true}, w.deps()); err != nil || len(got.(Data).Renewed) > 0 {
		t.Errorf("nothing is due: %+v %v", got, err)
	}
	if _, err = renew(t.Context(), newEnv(h), RenewSpec{Names: []string{EtcdClient}}, w.deps()); err == nil || !strings.Contains(host.Hint(err), "the machine that the cluster was made on") {
		t.Errorf("etcd's CA's: %v %q", err, host.Hint(err))
	}
	if _, err = renew(t.Context(), newEnv(h), RenewSpec{Names: []string{SuperAdmin}}, w.deps()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one that is named and not there: %v", err)
	}
}

// TestRenewOnlyWhatIsDue: the half of a life is what counts; a certificate without its key is
// due at once.
func TestRenewOnlyWhatIsDue(t *testing.T) {
	h, ca := controlPlane(t, 0)
	put(t, h, pkiDir+"/apiserver", issue(t, ca, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes"}, Validity: time.Minute}))
	if err := os.Remove(h.Path(pkiDir + "/front-proxy-client.key")); err != nil {
		t.Fatal(err)
	}
	got, err := renew(t.Context(), newEnv(h), RenewSpec{Due: true, Validity: time.Hour}, (&world{}).deps())
	if err != nil || len(got.(Data).Renewed) != 2 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestRenewFails: an external CA, and somebody else's certificate, with what to do.
func TestRenewFails(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil      func(*testing.T, *host.Host)
		want, hint string
	}{
		"an external CA": {func(t *testing.T, h *host.Host) {
			if err := os.Remove(h.Path(pkiDir + "/ca.key")); err != nil {
				t.Fatal(err)
			}
		}, "the key of the CA can't be read", "where the CA's key is kept elsewhere"},
		"another CA's key": {func(t *testing.T, h *host.Host) {
			put(t, h, pkiDir+"/ca", pki.KeyPair{CertPEM: newCA(t, "x").CertPEM, KeyPEM: newCA(t, "y").KeyPEM})
		}, "does not belong to", ""},
	} {
		h, _ := controlPlane(t, time.Hour)
		tc.spoil(t, h)
		_, err := renew(t.Context(), newEnv(h), RenewSpec{}, (&world{}).deps())
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(host.Hint(err), tc.hint) {
			t.Errorf("%s: %v %q", name, err, host.Hint(err))
		}
	}
}

// TestRenewOfACAThatHasEnded says what to do, and changes nothing.
func TestRenewOfACAThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := controlPlane(t, time.Hour)
		ca, err := pki.NewCA("kubernetes", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		put(t, h, pkiDir+"/ca", ca)
		put(t, h, pkiDir+"/apiserver", issue(t, ca, pki.Request{CommonName: "kube-apiserver", Server: true, DNSNames: []string{"kubernetes"}}))
		time.Sleep(2 * time.Hour)
		_, err = renew(t.Context(), newEnv(h), RenewSpec{Names: []string{APIServer}}, (&world{}).deps())
		if !errors.Is(err, pki.ErrCAEnded) || !strings.Contains(host.Hint(err), "If a CA has expired") {
			t.Errorf("%v %q", err, host.Hint(err))
		}
	})
}

// TestRenewLeavesWhatIsTheirs: a certificate that another CA has signed is named, stays as it is,
// and keeps nobody from renewing the others; names that somebody has added by hand stay.
func TestRenewLeavesWhatIsTheirs(t *testing.T) {
	h, ca := controlPlane(t, time.Hour)
	put(t, h, pkiDir+"/front-proxy-client", issue(t, newCA(t, "company"), pki.Request{CommonName: "front-proxy-client", Client: true}))
	byHand := pki.Request{CommonName: "api.example.com", Organization: []string{"example"}, Server: true, DNSNames: []string{"kubernetes", "api.example.com"}, IPs: []net.IP{net.ParseIP("192.0.2.7")}, Validity: time.Hour}
	put(t, h, pkiDir+"/apiserver", issue(t, ca, byHand))
	before, err := h.ReadFile(pkiDir + "/front-proxy-client.crt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Find(h, time.Now()).Certificates {
		if want := map[string]Owner{FrontProxyClient: OwnerNobody, APIServer: OwnerHost, EtcdClient: OwnerWorkstation, Kubelet: OwnerKubelet}[c.Name]; want != "" && c.RenewedBy != want {
			t.Errorf("%s is renewed by %q", c.Name, c.RenewedBy)
		}
	}
	got, err := renew(t.Context(), newEnv(h), RenewSpec{Names: []string{APIServer, FrontProxyClient, Admin}}, (&world{}).deps())
	if err != nil {
		t.Fatal(err)
	}
	data := got.(Data)
	if len(data.Renewed) != 2 || len(data.Left) != 1 || !strings.Contains(data.Left[FrontProxyClient], "another CA has signed it") || !strings.Contains(data.Left[FrontProxyClient], "made by somebody else") {
		t.Errorf("%+v", data)
	}
	if now, err := h.ReadFile(pkiDir + "/front-proxy-client.crt"); err != nil || string(now) != string(before) {
		t.Errorf("it was changed: %v", err)
	}
	if there, err := h.Exists(StateDir + "/" + FrontProxyClient); err != nil || there {
		t.Errorf("a key was made for it: %v", err)
	}
	raw, err := h.ReadFile(pkiDir + "/apiserver.crt")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCert(raw)
	if err != nil || cert.Subject.CommonName != byHand.CommonName || fmt.Sprint(cert.Subject.Organization) != "[example]" || len(pki.Lacking(cert, []string{"api.example.com", "192.0.2.7", "kubernetes"})) > 0 {
		t.Errorf("%v: %+v", err, cert)
	}
}

// TestKubelet: a worker's login is signed on a control plane, and put where the kubelet has it.
func TestKubelet(t *testing.T) {
	h, ca := controlPlane(t, time.Minute)
	data, err := Request(t.Context(), newEnv(h), RequestSpec{Names: []string{Kubelet}})
	if err != nil {
		t.Fatal(err)
	}
	signer, _ := controlPlane(t, 0)
	put(t, signer, pkiDir+"/ca", ca)
	got, err := Sign(t.Context(), newEnv(signer), SignSpec{Requests: data.(RequestData).Pending, Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	done, err := install(t.Context(), newEnv(h), InstallSpec(got.(SignData)), w.deps())
	if err != nil || len(done.(Data).Renewed) != 1 || fmt.Sprint(w.restarted) != "[kubelet]" {
		t.Fatalf("%+v %v %v", done, err, w.restarted)
	}
	link, err := os.Readlink(h.Path(kubeletPKI + "/kubelet-client-current.pem"))
	if err != nil || !strings.HasPrefix(link, "kubelet-client-") || strings.Contains(link, "2026-01-01-00-00-00") {
		t.Errorf("%s %v", link, err)
	}
}

// TestNothingEndedIsPutBack: what has ended, at the latest while the new one was waited for, is
// worse than what is not yet seen at work.
func TestNothingEndedIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "etcd")
		h := etcdHost(t, ca)
		put(t, h, etcdmember.PKIDir+"/server", issue(t, ca, pki.Request{CommonName: "cp1", IPs: []net.IP{net.ParseIP("10.0.0.1")}, Server: true, Client: true, Validity: time.Minute}))
		spec := sign(t, ca, h, EtcdServer)
		d := (&world{}).deps()
		d.shown = func(context.Context, node.Env, unit, *x509.Certificate) error { return errors.New("another one") }
		_, err := install(t.Context(), newEnv(h), spec, d)
		if err == nil || !strings.Contains(err.Error(), "stays in its place") || host.Hint(err) == "" {
			t.Errorf("%v", err)
		}
		if now, err := h.ReadFile(etcdmember.PKIDir + "/server.crt"); err != nil || !bytes.Equal(now, spec.Certificates[EtcdServer]) {
			t.Errorf("the ended one is back: %v", err)
		}
	})
}

// TestSignRefuses: of what the cluster's CA has signed, whoever has a host may show anything and
// ask for its successor. It gets a kubelet's login and nothing else.
func TestSignRefuses(t *testing.T) {
	signer, ca := controlPlane(t, time.Hour)
	nodes := []string{"system:nodes"}
	for name, tc := range map[string]struct {
		name string
		pki.Request
		want string
	}{
		"etcd's":                    {EtcdServer, pki.Request{CommonName: "system:node:w1", Organization: nodes, Client: true}, "not signed here for another host"},
		"a file of a control plane": {Admin, pki.Request{CommonName: "system:node:w1", Organization: nodes, Client: true}, "not signed here for another host"},
		"an apiserver's":            {Kubelet, pki.Request{CommonName: "kube-apiserver", IPs: []net.IP{net.IPv4(10, 0, 0, 1)}, Server: true}, "not a kubelet's login"},
		"a login that has ended":    {Kubelet, pki.Request{CommonName: "admin", Organization: []string{"system:masters"}, Client: true, Validity: time.Millisecond}, "not a kubelet's login"},
		"of more groups":            {Kubelet, pki.Request{CommonName: "system:node:w1", Organization: append(nodes, "system:masters"), Client: true}, "not a kubelet's login"},
		"of no group":               {Kubelet, pki.Request{CommonName: "system:node:w1", Client: true}, "not a kubelet's login"},
		"of no node":                {Kubelet, pki.Request{CommonName: "system:node:", Organization: nodes, Client: true}, "not a kubelet's login"},
		"a kubelet's serving one":   {Kubelet, pki.Request{CommonName: "system:node:w1", Organization: nodes, Server: true}, "not a kubelet's login"},
		"of both sides":             {Kubelet, pki.Request{CommonName: "system:node:w1", Organization: nodes, Server: true, Client: true}, "not a kubelet's login"},
		"with names":                {Kubelet, pki.Request{CommonName: "system:node:w1", Organization: nodes, DNSNames: []string{"w1"}, Client: true}, "not a kubelet's login"},
	} {
		pair := issue(t, ca, tc.Request)
		request, err := pki.RenewalRequest(pair.CertPEM, pair.KeyPEM)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Sign(t.Context(), newEnv(signer), SignSpec{Requests: map[string]Pending{tc.name: {Current: pair.CertPEM, Request: request}}}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestDryRun: nothing is written.
func TestDryRun(t *testing.T) {
	h, _ := controlPlane(t, time.Hour, hosttest.DryRun)
	before, err := h.ReadFile(pkiDir + "/apiserver.crt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := renew(t.Context(), newEnv(h), RenewSpec{}, (&world{}).deps()); err != nil {
		t.Fatal(err)
	}
	if now, err := h.ReadFile(pkiDir + "/apiserver.crt"); err != nil || string(now) != string(before) || len(h.Changes()) == 0 {
		t.Errorf("%v %v", err, h.Changes())
	}
}
