package approver

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
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

// Judge says why a request is not to be approved; nil when it may. A node tells its names
// and addresses itself, so what it has reported counts for nothing: it gets a certificate for
// the name that it logs in with and the address that the Cluster document has for it. What is
// the API's, or a service's or a pod's, no node gets, whatever the document says: the same CA
// signs for the API, and for this signer Kubernetes compares only subject and usages.
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
func Judge(csr *certificatesv1.CertificateSigningRequest, nodes []corev1.Node, cluster *v1alpha1.Cluster) error {
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
	return identity(name, request, nodes, cluster)
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

// identity compares what is asked for with the Cluster document.
func identity(name string, request *x509.CertificateRequest, nodes []corev1.Node, cluster *v1alpha1.Cluster) error {
	if !slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == name }) {
		return fmt.Errorf("%s is no node of the cluster", name)
	}
	host, ok := cluster.Host(name)
	if !ok {
		return fmt.Errorf("%s is not among the hosts of the Cluster document, so that nobody knows which address is its own", name)
	}
	for _, ip := range request.IPAddresses {
		if whose := taken(ip, cluster); whose != "" {
			return fmt.Errorf("%s asks for %s, which is %s", name, ip, whose)
		}
		if !isAddr(ip, host.Addr()) {
			return fmt.Errorf("%s asks for %s; its address is %s", name, ip, host.Address)
		}
	}
	for _, n := range request.DNSNames {
		if n != name {
			return fmt.Errorf("%s asks for the name %s", name, n)
		}
	}
	// A host may have been given a name by which the API is asked for.
	if n := strings.ToLower(name); n == "localhost" || n == "kubernetes" || strings.HasPrefix(n, "kubernetes.") || slices.Contains(cluster.Spec.ExtraSANs, n) {
		return fmt.Errorf("%s is a name of the API", name)
	}
	return nil
}

// isAddr tells whether both are the same address, an IPv4 one in IPv6's form included.
func isAddr(ip net.IP, a netip.Addr) bool {
	b, ok := netip.AddrFromSlice(ip)
	return ok && b.Unmap() == a
}

// taken tells whose an address is that can be no node's own; empty when it may be one.
func taken(ip net.IP, cluster *v1alpha1.Cluster) string {
	switch {
	case ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast():
		return "nobody's own"
	case isAddr(ip, cluster.VIP()):
		return "the cluster's stable address"
	case slices.ContainsFunc(cluster.Spec.ExtraSANs, func(san string) bool { return ip.Equal(net.ParseIP(san)) }):
		return "an address of the API"
	}
	for subnet, whose := range map[string]string{cluster.Spec.Network.ServiceSubnet: "a service's", cluster.Spec.Network.PodSubnet: "a pod's"} {
		if _, network, err := net.ParseCIDR(subnet); err == nil && network.Contains(ip) {
			return whose
		}
	}
	return ""
}
