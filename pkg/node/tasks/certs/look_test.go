package certs

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestFind finds each with its key, its CA, and who renews it; and nothing of a key gets out.
func TestFind(t *testing.T) {
	h, ca := controlPlane(t, time.Hour)
	etcd := newCA(t, "etcd")
	put(t, h, etcdmember.PKIDir+"/ca", pki.KeyPair{CertPEM: etcd.CertPEM})
	put(t, h, etcdmember.PKIDir+"/server", issue(t, etcd, pki.Request{CommonName: "cp1", Server: true, Client: true, DNSNames: []string{"cp1"}, Validity: time.Minute}))
	put(t, h, "/etc/haproxy/certs/web", issue(t, newCA(t, "company"), pki.Request{CommonName: "web", Server: true, DNSNames: []string{"web"}}))
	put(t, h, pkiDir+"/front-proxy-client", pki.KeyPair{CertPEM: issue(t, ca, pki.Request{CommonName: "a", Client: true}).CertPEM, KeyPEM: etcd.KeyPEM})
	if err := os.Remove(h.Path(pkiDir + "/ca.key")); err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, h, pkiDir+"/broken.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", 0o644)
	hosttest.Write(t, h, kubernetesDir+"/broken.conf", "{", 0o600)
	hosttest.Write(t, h, kubernetesDir+"/kubelet.conf", "clusters: [{name: a, cluster: {server: 'https://10.0.0.1:6443'}}]\nusers: [{name: a, user: {client-certificate: /x}}]\n", 0o600)

	found := Find(h, time.Now().Add(45*time.Second))
	by := map[string]Certificate{}
	for _, c := range found.Certificates {
		by[c.File] = c
	}
	for file, want := range map[string]struct {
		name  string
		owner Owner
		key   KeyState
		due   bool
		known bool
	}{
		pkiDir + "/ca.crt":                         {"", OwnerRotation, KeyMissing, false, true},
		pkiDir + "/apiserver.crt":                  {APIServer, OwnerElsewhere, KeyFits, false, true},
		pkiDir + "/front-proxy-client.crt":         {FrontProxyClient, OwnerNobody, KeyOther, false, true},
		pkiDir + "/apiserver-etcd-client.crt":      {EtcdClient, OwnerWorkstation, KeyFits, false, false},
		etcdmember.PKIDir + "/server.crt":          {EtcdServer, OwnerWorkstation, KeyFits, true, true},
		kubernetesDir + "/" + ControllerManager:    {ControllerManager, OwnerElsewhere, KeyFits, false, true},
		kubeletPKI + "/kubelet-client-current.pem": {Kubelet, OwnerKubelet, KeyFits, false, true},
		"/etc/haproxy/certs/web.crt":               {"", OwnerNobody, KeyFits, false, false},
	} {
		c, ok := by[file]
		if !ok || c.Name != want.name || c.RenewedBy != want.owner || c.KeyState != want.key || c.Due != want.due || c.Fingerprint == "" {
			t.Errorf("%s: %t %+v", file, ok, c)
		}
		if (c.IssuerFingerprint != "") != want.known && file != pkiDir+"/apiserver-etcd-client.crt" {
			t.Errorf("%s: its issuer is %q", file, c.IssuerFingerprint)
		}
	}
	caCert, err := pki.ParseCert(ca.CertPEM)
	if err != nil {
		t.Fatal(err)
	}
	if by[pkiDir+"/apiserver.crt"].IssuerFingerprint != pki.Fingerprint(caCert) {
		t.Errorf("%+v", by[pkiDir+"/apiserver.crt"])
	}
	if len(found.Missed) != 2 || found.Kubeconfigs[kubernetesDir+"/kubelet.conf"] != "https://10.0.0.1:6443" {
		t.Errorf("%v %v", found.Missed, found.Kubeconfigs)
	}
	if _, ok := by[kubeletPKI+"/kubelet-client-2026-01-01-00-00-00.pem"]; ok {
		t.Error("the kubelet's old ones are there")
	}
	text, err := json.Marshal(found)
	if err != nil || strings.Contains(string(text), "PRIVATE") || strings.Contains(string(text), "LS0tLS1CRUdJTi") {
		t.Errorf("a key, or its like: %v", err)
	}
}

// TestFindWithTwoCAs: while a CA is exchanged, what either of the two has signed is known to be its.
func TestFindWithTwoCAs(t *testing.T) {
	from, to := newCA(t, "c etcd CA"), newCA(t, "c etcd CA")
	h := etcdHost(t, from)
	hosttest.Write(t, h, etcdmember.PKIDir+"/ca.crt", string(from.CertPEM)+string(to.CertPEM), 0o644)
	put(t, h, etcdmember.PKIDir+"/peer", issue(t, to, pki.Request{CommonName: "cp1", Server: true, Client: true, DNSNames: []string{"cp1"}}))
	want := map[string][]byte{EtcdServer: from.CertPEM, EtcdPeer: to.CertPEM}
	for _, c := range Find(h, time.Now()).Certificates {
		if want[c.Name] == nil {
			continue
		}
		ca, err := pki.ParseCert(want[c.Name])
		if err != nil {
			t.Fatal(err)
		}
		if c.IssuerFingerprint != pki.Fingerprint(ca) || c.RenewedBy != OwnerWorkstation {
			t.Errorf("%s: %+v", c.Name, c)
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}
