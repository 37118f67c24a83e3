package certs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Authority is a CA, or the key of service accounts, that can be rotated.
type Authority string

// The authorities. Each is what it is called in the commands.
const (
	AuthorityKubernetes     Authority = "kubernetes"
	AuthorityFrontProxy     Authority = "front-proxy"
	AuthorityServiceAccount Authority = "service-account"
	// AuthorityEtcd is the CA of etcd members that kubectl-ha has set up. Its key is on the
	// workstation, and never on a host.
	AuthorityEtcd Authority = "etcd"
)

// Authorities lists them all.
func Authorities() []Authority { return append(OnHosts(), AuthorityEtcd) }

// OnHosts are those whose keys are on the control planes: they are rotated by Operations.
func OnHosts() []Authority {
	return []Authority{AuthorityKubernetes, AuthorityFrontProxy, AuthorityServiceAccount}
}

// check is an error when there is no such authority.
func (a Authority) check() error {
	if slices.Contains(Authorities(), a) {
		return nil
	}
	return fmt.Errorf("there is no authority called %q", a)
}

// checkHeld is an error when there is no such authority, or its key is on no host.
func (a Authority) checkHeld() error {
	if slices.Contains(OnHosts(), a) {
		return nil
	}
	return fmt.Errorf("there is no authority called %q with a key on hosts", a)
}

// Phase is a part of a rotation. Each can be followed by days in which nothing is done.
type Phase string

const (
	// PhaseTrust: everybody trusts both; From still signs.
	PhaseTrust Phase = "trust"
	// PhaseIssue: To signs, and has signed everything; both are trusted.
	PhaseIssue Phase = "issue"
	// PhaseFinish: only To is trusted, and From's key is gone.
	PhaseFinish Phase = "finish"
)

// Phases lists them in their order.
func Phases() []Phase { return []Phase{PhaseTrust, PhaseIssue, PhaseFinish} }

// RotationLookSpec says which authority a host is asked about.
type RotationLookSpec struct {
	Authority Authority `json:"authority"`
}

// RotationReceiveData has the recipient that private keys are encrypted to for a host, as age
// writes it (age1…). It is no secret.
type RotationReceiveData struct {
	Recipient string `json:"recipient"`
}

// RotationLookData is how far a host is. Nothing in it is a secret.
type RotationLookData struct {
	// Trusted are the certificates (public keys for service accounts) that the host trusts, PEM.
	Trusted [][]byte `json:"trusted,omitempty"`
	// Signs is the one whose private key is in use on this host. Nil where there is none.
	Signs []byte `json:"signs,omitempty"`
	// Held are those whose private keys the host has, the one in use included.
	Held [][]byte `json:"held,omitempty"`
	// Stale says what still goes by another authority than the first one of Trusted: names of
	// certificates, or the UIDs of pods whose token another key has signed.
	Stale []string `json:"stale,omitempty"`
	// Others are the CAs that the host trusts as the cluster's other authorities, PEM.
	Others map[Authority][]byte `json:"others,omitempty"`
}

// Apart is nil when a CA can be told apart from the cluster's other ones, as this host has them.
func (d RotationLookData) Apart(ca []byte) error {
	for _, a := range slices.Sorted(maps.Keys(d.Others)) {
		for _, other := range pki.Certs(d.Others[a]) {
			if err := pki.Distinct(other, ca); err != nil {
				return fmt.Errorf("the new CA and the cluster's CA for %s: %w", a, err)
			}
		}
	}
	return nil
}

// Holds reports whether the host has the private key of an authority.
func (d RotationLookData) Holds(public []byte) bool {
	return slices.ContainsFunc(d.Held, func(p []byte) bool { return pki.Same(p, public) })
}

// Trusts reports whether the host trusts an authority.
func (d RotationLookData) Trusts(public []byte) bool {
	return slices.ContainsFunc(d.Trusted, func(p []byte) bool { return pki.Same(p, public) })
}

// RotationOfferSpec has a control plane node encrypt the key of the next authority to others.
type RotationOfferSpec struct {
	Authority Authority `json:"authority"`
	// Recipients are those of other nodes, by the nodes' names.
	Recipients map[string]string `json:"recipients,omitempty"`
	// Next is the authority whose key it is. Nil: the host creates one, unless an earlier
	// attempt has.
	Next []byte `json:"next,omitempty"`
	// Validity is how long a CA that is created lives; zero: as long as the one before.
	Validity time.Duration `json:"validity,omitempty"`
}

// RotationOfferData has the next authority. The keys are encrypted: nothing in it is a secret.
type RotationOfferData struct {
	Next   []byte            `json:"next"`
	Sealed map[string][]byte `json:"sealed,omitempty"`
}

// RotationSpec brings a host to a phase, from wherever it is.
type RotationSpec struct {
	Authority Authority `json:"authority"`
	Phase     Phase     `json:"phase"`
	// From is the authority that is replaced, To the one that replaces it: one certificate each,
	// or one public key, PEM. A rotation is taken back by exchanging the two.
	From []byte `json:"from"`
	To   []byte `json:"to"`
	// SealedKey is To's private key, encrypted to this host's recipient. Empty where the host has
	// it, or is not to have it.
	SealedKey []byte `json:"sealedKey,omitempty"`
	// Validity is how long what is signed lives. Zero: as long as what was there before.
	Validity time.Duration `json:"validity,omitempty"`
}

// check finds what is missing or does not make sense.
func (s RotationSpec) check() error {
	if err := s.Authority.check(); err != nil {
		return err
	}
	switch {
	case !slices.Contains(Phases(), s.Phase):
		return fmt.Errorf("there is no phase called %q", s.Phase)
	case pki.ID(s.From) == "" || pki.ID(s.To) == "":
		return fmt.Errorf("the rotation of %s names no two authorities", s.Authority)
	case pki.Same(s.From, s.To):
		return fmt.Errorf("the rotation of %s names the same authority twice", s.Authority)
	}
	return nil
}

// RotationData tells what was done.
type RotationData struct {
	// Reissued are the certificates that To has signed now.
	Reissued []Renewed `json:"reissued,omitempty"`
	// Restarted are the programs that were restarted.
	Restarted []string `json:"restarted,omitempty"`
	// Unseen are certificates that nobody could be seen using, each with why.
	Unseen map[string]string `json:"unseen,omitempty"`
}

// DecodeRotation reads a RotationData.
func DecodeRotation(raw json.RawMessage) (RotationData, error) {
	var d RotationData
	err := json.Unmarshal(raw, &d)
	return d, err
}
