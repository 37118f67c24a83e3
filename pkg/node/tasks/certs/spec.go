package certs

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Signer says who signs a certificate, and with that who can renew it.
type Signer string

const (
	// SignerEtcd is etcd's CA, whose key is on the workstation only.
	SignerEtcd Signer = "etcd"
	// SignerKubernetes, SignerFrontProxy and SignerLocalEtcd are kubeadm's CAs, whose keys are
	// on the control planes; the last where etcd is kubeadm's own.
	SignerKubernetes Signer = "kubernetes"
	SignerFrontProxy Signer = "front-proxy"
	SignerLocalEtcd  Signer = "kubeadm-etcd"
)

// Owner says who renews a certificate.
type Owner string

const (
	// OwnerWorkstation: kubectl ha, where etcd's CA is.
	OwnerWorkstation Owner = "kubectl ha, with etcd's CA"
	// OwnerHost: kubectl ha or kubeadm, by a CA whose key is on the host.
	OwnerHost Owner = "kubectl ha, on the host"
	// OwnerKubelet: the kubelet itself.
	OwnerKubelet Owner = "the kubelet"
	// OwnerElsewhere: kubectl ha, when it is given the CA's key, which is on no host, or what was
	// signed by it.
	OwnerElsewhere Owner = "kubectl ha, with the CA's key"
	// OwnerNobody: somebody by hand. One of a known Name was signed by another CA than the one
	// that the host has for it.
	OwnerNobody Owner = "somebody by hand"
	// OwnerRotation: a CA or a key that only an exchange of all that goes by it replaces.
	OwnerRotation Owner = "an exchange of the CA"
)

// KeyState is how the key beside a certificate is.
type KeyState string

const (
	// KeyFits: it is there, and the certificate's.
	KeyFits KeyState = "fits"
	// KeyOther: it is another one's, or can't be read.
	KeyOther KeyState = "does not fit"
	// KeyMissing: there is none. For a CA whose key is kept elsewhere that is as it should be.
	KeyMissing KeyState = "missing"
)

// LookSpec has nothing to say.
type LookSpec struct{}

// LookData is what was found on a host.
type LookData struct {
	// Time is the host's when it looked.
	Time         time.Time     `json:"time"`
	Certificates []Certificate `json:"certificates,omitempty"`
	// Kubeconfigs maps a kubeconfig of the host to the server that it points to.
	Kubeconfigs map[string]string `json:"kubeconfigs,omitempty"`
	// Missed says what could not be read.
	Missed []string `json:"missed,omitempty"`
}

// Certificate is one in a file, or a service account's key. Nothing in it is a secret.
type Certificate struct {
	// Name is what it is called in requests: apiserver-etcd-client. Empty for one that
	// kubectl ha does not renew.
	Name string `json:"name,omitempty"`
	// File is where it is; of a kubeconfig that has it inside, the kubeconfig.
	File    string `json:"file"`
	Subject string `json:"subject,omitempty"`
	// Names are the host names and addresses that it is for.
	Names []string `json:"names,omitempty"`
	// Issuer is the CA's name. IssuerFingerprint is that CA's, where it is on the host and has
	// signed it; Fingerprint the certificate's own, or the public key's. Hex SHA-256 of the DER.
	Issuer            string    `json:"issuer,omitempty"`
	IssuerFingerprint string    `json:"issuerFingerprint,omitempty"`
	Fingerprint       string    `json:"fingerprint,omitempty"`
	NotBefore         time.Time `json:"notBefore,omitzero"`
	NotAfter          time.Time `json:"notAfter,omitzero"`
	CA                bool      `json:"ca,omitempty"`
	// Due: less than half of its life is left.
	Due bool `json:"due,omitempty"`
	// KeyFile is where its key is, KeyState how that is.
	KeyFile  string   `json:"keyFile,omitempty"`
	KeyState KeyState `json:"keyState,omitempty"`
	// RenewedBy says who does, Restarts what is restarted for that.
	RenewedBy Owner    `json:"renewedBy,omitempty"`
	Restarts  []string `json:"restarts,omitempty"`
}

// DecodeLook reads a LookData.
func DecodeLook(raw json.RawMessage) (LookData, error) {
	var d LookData
	err := json.Unmarshal(raw, &d)
	return d, err
}

// RequestSpec names the certificates for whose successors a host makes keys.
type RequestSpec struct {
	Names []string `json:"names"`
}

// Pending is what a CA has to sign. It has no secret.
type Pending struct {
	// Current is the certificate in use, Request asks for its successor; PEM.
	Current []byte `json:"current"`
	Request []byte `json:"request"`
}

// RequestData has one Pending for each name, but for those that are not on the host.
type RequestData struct {
	Pending map[string]Pending `json:"pending,omitempty"`
}

// Check is an error when a host has answered with more than it was asked about.
func (d RequestData) Check(names []string) error {
	for name := range d.Pending {
		if !slices.Contains(names, name) {
			return fmt.Errorf("it asks for the certificate %q, which it was not asked about; nothing is signed for it\nnext: look whether the host is in the wrong hands", name)
		}
	}
	return nil
}

// InstallSpec has the certificates that were signed for a host's requests, by their names, PEM.
type InstallSpec struct {
	Certificates map[string][]byte `json:"certificates"`
}

// RenewSpec renews by CAs whose keys are on the host.
type RenewSpec struct {
	// Names are the certificates; empty means all that are on the host and that such a CA signs.
	Names []string `json:"names,omitempty"`
	// Due leaves out those of which more than half of their life is left.
	Due bool `json:"due,omitempty"`
	// Validity is how long the new ones live. Zero: as long as those before.
	Validity time.Duration `json:"validity,omitempty"`
}

// SignSpec has requests of other hosts, which the cluster's CA signs whose key is on this one.
type SignSpec struct {
	Requests map[string]Pending `json:"requests"`
	Validity time.Duration      `json:"validity,omitempty"`
}

// SignData has what was signed, by the names of the requests.
type SignData struct {
	Certificates map[string][]byte `json:"certificates"`
}

// Data tells what was exchanged.
type Data struct {
	// Renewed are the certificates that are in use now, with their ends.
	Renewed []Renewed `json:"renewed,omitempty"`
	// Unseen are those that nobody could be seen using, each with why: what would use it does
	// not run.
	Unseen map[string]string `json:"unseen,omitempty"`
	// Restarted are the programs that were.
	Restarted []string `json:"restarted,omitempty"`
	// Left are those that were not touched, each with why: another CA has signed them.
	Left map[string]string `json:"left,omitempty"`
}

// Renewed is one that was exchanged.
type Renewed struct {
	Name     string    `json:"name"`
	NotAfter time.Time `json:"notAfter"`
	// Serial is its number, hexadecimal.
	Serial string `json:"serial"`
}
