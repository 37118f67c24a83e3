package bundle

import (
	"reflect"
	"slices"

	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
	"github.com/distribution/reference"
)

// Check says by what it was known, when a bundle was made, that a program or an
// image is the one that it is called. Empty is in bundles of an older kubectl-ha,
// which did not write it down; what is none of these counts as not checked.
type Check string

// The kinds of Check, the best first.
const (
	// CheckRelease is the digest that came with the kubectl-ha that made the bundle.
	CheckRelease Check = "release"
	// CheckReference is the digest in the image's own reference.
	CheckReference Check = "reference"
	// CheckSignature is a requirement of the signature policy.
	CheckSignature Check = "signature"
	// CheckOrigin is a checksum from where the file came from: it guards against
	// accidents, and not against whoever can change both.
	CheckOrigin Check = "origin"
	// CheckNone is an image by its tag, or from a local file.
	CheckNone Check = "none"
)

// Verified tells whether it was compared with what another than its origin says.
func (c Check) Verified() bool {
	return c == CheckRelease || c == CheckReference || c == CheckSignature
}

// checkOf says by what an image is known that is taken from ref.
func (p *puller) checkOf(want wantedImage, ref types.ImageReference) Check {
	named, err := reference.ParseNormalizedNamed(want.ref)
	_, digested := named.(reference.Digested)
	switch {
	case want.pin != "":
		return CheckRelease
	case err == nil && digested && want.local == nil:
		return CheckReference
	case signed(p.policy, ref):
		return CheckSignature
	}
	return CheckNone
}

// signed tells whether a policy requires more of an image than to be there. It looks
// the requirements up as containers-policy.json(5) says: by the image's own name, then
// the namespaces that it is in, then the transport, then the default.
func signed(policy *signature.Policy, ref types.ImageReference) bool {
	requirements := policy.Default
	scopes := policy.Transports[ref.Transport().Name()]
	names := append([]string{ref.PolicyConfigurationIdentity()}, ref.PolicyConfigurationNamespaces()...)
	for _, name := range append(names, "") {
		if r, ok := scopes[name]; ok {
			requirements = r
			break
		}
	}
	return slices.ContainsFunc(requirements, func(r signature.PolicyRequirement) bool {
		return !reflect.DeepEqual(r, signature.NewPRInsecureAcceptAnything())
	})
}
