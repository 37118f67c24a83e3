package approver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const vip = "10.0.0.100"

func testNode(name, ip string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: ip}, {Type: corev1.NodeHostName, Address: name},
	}}}
}

// document is what is stored: a host may have what it had better not.
func document() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: vip, ExtraSANs: []string{"api.example.com", "api.example.org", "10.0.0.200"},
		Hosts: []v1alpha1.Host{
			{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "cp2", Address: "10.0.0.2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
			{Name: "w2", Address: "10.0.0.3"}, {Name: "w3", Address: "10.96.0.1"}, {Name: "api.example.org", Address: "10.0.0.7"},
		}}}
	c.SetDefaults()
	return c
}

// request is what the kubelet of cp1 asks for, after a change.
func request(t *testing.T, change func(*certificatesv1.CertificateSigningRequest, *x509.CertificateRequest)) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	csr := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: certificatesv1.KubeletServingSignerName, Username: "system:node:cp1", Groups: []string{"system:nodes", "system:authenticated"},
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
	}}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:cp1", Organization: []string{"system:nodes"}},
		DNSNames: []string{"cp1"}, IPAddresses: []net.IP{net.ParseIP("10.0.0.1")}}
	if change != nil {
		change(csr, template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	if csr.Spec.Request == nil {
		csr.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	return csr
}

func TestJudge(t *testing.T) {
	type changed = func(*certificatesv1.CertificateSigningRequest, *x509.CertificateRequest)
	ip := func(addresses ...string) changed {
		return func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.IPAddresses = nil
			for _, a := range addresses {
				r.IPAddresses = append(r.IPAddresses, net.ParseIP(a))
			}
		}
	}
	names := func(all ...string) changed {
		return func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) { r.DNSNames = all }
	}
	as := func(name, address string) changed {
		return func(c *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			c.Spec.Username, r.Subject.CommonName = "system:node:"+name, "system:node:"+name
			r.DNSNames, r.IPAddresses = []string{name}, []net.IP{net.ParseIP(address)}
		}
	}
	// w2 claims the address of another node, and the stable one, as its own.
	liar := testNode("w2", "10.0.0.3")
	liar.Status.Addresses = append(liar.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "10.0.0.1"},
		corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: vip}, corev1.NodeAddress{Type: corev1.NodeExternalDNS, Address: "cp1"})
	asLiar := func(then changed) changed {
		return func(c *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			c.Spec.Username, r.Subject.CommonName = "system:node:w2", "system:node:w2"
			r.DNSNames, r.IPAddresses = []string{"w2"}, []net.IP{net.ParseIP("10.0.0.3")}
			then(c, r)
		}
	}
	honest := []corev1.Node{testNode("cp1", "10.0.0.1"), testNode("cp2", "10.0.0.2")}
	for name, c := range map[string]struct {
		change changed
		nodes  []corev1.Node
		want   string
	}{
		"a kubelet's own": {nil, honest, ""},
		"address only":    {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) { r.DNSNames = nil }, honest, ""},
		"a person": {func(c *certificatesv1.CertificateSigningRequest, _ *x509.CertificateRequest) {
			c.Spec.Username = "jane"
		}, honest, "not a node who asked"},
		"not in the group": {func(c *certificatesv1.CertificateSigningRequest, _ *x509.CertificateRequest) { c.Spec.Groups = nil }, honest, "not a node who asked"},
		"another's name": {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.Subject.CommonName = "system:node:cp2"
		}, honest, "asks for a certificate of"},
		"an administrator": {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.Subject.Organization = []string{"system:masters"}
		}, honest, "asks for a certificate of"},
		"two groups": {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.Subject.Organization = []string{"system:nodes", "x"}
		}, honest, "asks for a certificate of"},
		"a client": {func(c *certificatesv1.CertificateSigningRequest, _ *x509.CertificateRequest) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageClientAuth)
		}, honest, "client auth"},
		"no server": {func(c *certificatesv1.CertificateSigningRequest, _ *x509.CertificateRequest) {
			c.Spec.Usages = c.Spec.Usages[:1]
		}, honest, "not for a server"},
		"a URI": {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}}
		}, honest, "URIs"},
		"nothing": {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.DNSNames, r.IPAddresses = nil, nil
		}, honest, "neither names nor addresses"},
		"another's address":             {ip("10.0.0.1", "10.0.0.2"), honest, "its address is 10.0.0.1"},
		"nobody's address":              {ip("10.0.0.9"), honest, "its address is 10.0.0.1"},
		"the API's service":             {ip("10.0.0.1", "10.96.0.1"), honest, "a service's"},
		"a pod's":                       {ip("10.244.3.4"), honest, "a pod's"},
		"the API's by address":          {ip("10.0.0.200"), honest, "an address of the API"},
		"the API's by name":             {names("api.example.com"), honest, "asks for the name api.example.com"},
		"the service's name":            {names("cp1", "kubernetes.default.svc"), honest, "asks for the name kubernetes.default.svc"},
		"localhost":                     {names("localhost"), honest, "asks for the name localhost"},
		"not in the document":           {as("w9", "10.0.0.9"), append(honest, testNode("w9", "10.0.0.9")), "not among the hosts of the Cluster document"},
		"a service's in the document":   {as("w3", "10.96.0.1"), append(honest, testNode("w3", "10.96.0.1")), "a service's"},
		"a host with a name of the API": {as("api.example.org", "10.0.0.7"), append(honest, testNode("api.example.org", "10.0.0.7")), "a name of the API"},
		"the virtual IP":                {ip("10.0.0.1", vip), honest, "stable address"},
		"loopback":                      {ip("127.0.0.1"), honest, "nobody's own"},
		"another's host": {func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.DNSNames = []string{"cp2"}
		}, honest, "asks for the name cp2"},
		"no node": {nil, honest[1:], "no node of the cluster"},
		"not a request": {func(c *certificatesv1.CertificateSigningRequest, _ *x509.CertificateRequest) {
			c.Spec.Request = []byte("x")
		}, honest, "not one certificate request"},
		"a liar, honestly": {asLiar(func(*certificatesv1.CertificateSigningRequest, *x509.CertificateRequest) {}), append(honest, liar), ""},
		"a liar's address": {asLiar(ip("10.0.0.1")), append(honest, liar), "its address is 10.0.0.3"},
		"a liar's stable":  {asLiar(ip(vip)), append(honest, liar), "stable address"},
		"a liar's name": {asLiar(func(_ *certificatesv1.CertificateSigningRequest, r *x509.CertificateRequest) {
			r.DNSNames = []string{"cp1"}
		}), append(honest, liar), "asks for the name cp1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Judge(request(t, c.change), c.nodes, document())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPending(t *testing.T) {
	csr := request(t, nil)
	if !Pending(csr) {
		t.Error("a new request is pending")
	}
	for name, change := range map[string]func(*certificatesv1.CertificateSigningRequest){
		"a client's": func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
		},
		"denied": func(c *certificatesv1.CertificateSigningRequest) {
			c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied}}
		},
		"signed": func(c *certificatesv1.CertificateSigningRequest) { c.Status.Certificate = []byte("x") },
	} {
		other := csr.DeepCopy()
		if change(other); Pending(other) {
			t.Errorf("%s is not pending", name)
		}
	}
}
