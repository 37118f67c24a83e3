package approver

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	// userPrefix and group are a kubelet's, as the node authorizer knows it.
	// https://kubernetes.io/docs/reference/access-authn-authz/node/
	userPrefix = "system:node:"
	group      = "system:nodes"
)

// Pending tells whether a request is a kubelet's that nobody has decided on yet.
func Pending(csr *certificatesv1.CertificateSigningRequest) bool {
	return csr.Spec.SignerName == certificatesv1.KubeletServingSignerName && len(csr.Status.Conditions) == 0 && len(csr.Status.Certificate) == 0
}

// Judge says why a request is not to be approved; nil when it may. A node tells
// its addresses itself, so they alone are not enough: one that claims another
// node's address, or the cluster's stable one, does not get it.
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
func Judge(csr *certificatesv1.CertificateSigningRequest, nodes []corev1.Node, virtualIP string) error {
	name, ok := strings.CutPrefix(csr.Spec.Username, userPrefix)
	if !ok || name == "" || !slices.Contains(csr.Spec.Groups, group) {
		return fmt.Errorf("it was not a node who asked, but %s", csr.Spec.Username)
	}
	request, err := parse(csr.Spec.Request)
	if err != nil {
		return err
	}
	if request.Subject.CommonName != csr.Spec.Username || len(request.Subject.Organization) != 1 || request.Subject.Organization[0] != group {
		return fmt.Errorf("%s asks for a certificate of %s", csr.Spec.Username, request.Subject)
	}
	if err := usages(csr.Spec.Usages); err != nil {
		return err
	}
	if len(request.EmailAddresses)+len(request.URIs) > 0 {
		return errors.New("it has e-mail addresses or URIs, which no kubelet asks for")
	}
	if len(request.DNSNames)+len(request.IPAddresses) == 0 {
		return errors.New("it has neither names nor addresses")
	}
	return identity(name, request, nodes, virtualIP)
}

func parse(requestPEM []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(requestPEM)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("it is not one certificate request in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate request can't be read: %w", err)
	}
	return request, nil
}

func usages(all []certificatesv1.KeyUsage) error {
	may := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageServerAuth}
	for _, u := range all {
		if !slices.Contains(may, u) {
			return fmt.Errorf("it is for the usage %s, which is no server's", u)
		}
	}
	if !slices.Contains(all, certificatesv1.UsageServerAuth) {
		return errors.New("it is not for a server")
	}
	return nil
}

// identity compares what is asked for with the node's addresses.
func identity(name string, request *x509.CertificateRequest, nodes []corev1.Node, virtualIP string) error {
	own := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == name })
	if own < 0 {
		return fmt.Errorf("%s is no node of the cluster", name)
	}
	ips, names := addresses(nodes[own])
	stable := net.ParseIP(virtualIP)
	for _, ip := range request.IPAddresses {
		switch other := holder(nodes, name, ip); {
		case ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast():
			return fmt.Errorf("%s asks for %s, which is nobody's own", name, ip)
		case stable != nil && stable.Equal(ip):
			return fmt.Errorf("%s asks for %s, which is the cluster's stable address", name, ip)
		case other != "":
			return fmt.Errorf("%s asks for %s, which is an address of %s", name, ip, other)
		case !slices.ContainsFunc(ips, ip.Equal):
			return fmt.Errorf("%s asks for %s, which is none of its addresses", name, ip)
		}
	}
	for _, n := range request.DNSNames {
		if !slices.Contains(names, n) {
			return fmt.Errorf("%s asks for %s, which is none of its names", name, n)
		}
		for _, other := range nodes {
			if _, others := addresses(other); other.Name != name && (other.Name == n || slices.Contains(others, n)) {
				return fmt.Errorf("%s asks for %s, which is a name of %s", name, n, other.Name)
			}
		}
	}
	return nil
}

// holder is another node that has the address, too.
func holder(nodes []corev1.Node, but string, ip net.IP) string {
	for _, n := range nodes {
		if ips, _ := addresses(n); n.Name != but && slices.ContainsFunc(ips, ip.Equal) {
			return n.Name
		}
	}
	return ""
}

func addresses(n corev1.Node) (ips []net.IP, names []string) {
	for _, a := range n.Status.Addresses {
		switch a.Type {
		case corev1.NodeInternalIP, corev1.NodeExternalIP:
			if ip := net.ParseIP(a.Address); ip != nil {
				ips = append(ips, ip)
			}
		case corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeExternalDNS:
			names = append(names, a.Address)
		}
	}
	return ips, names
}
