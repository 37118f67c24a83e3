package certs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// checkNext is nil when the CA of the caller's own, if there is one, can replace from. to is the one that a
// rotation replaces it by that was begun; nil before. Notes are what there is to know of it.
func (o RotateOptions) checkNext(from, to []byte, now time.Time) (notes []string, err error) {
	parent := pki.Parent(from)
	switch {
	case o.Next == nil && to == nil && !o.Back && parent != "":
		return []string{fmt.Sprintf("the CA in use was signed by %s, and the new one is created and self-signed: provide one with --ca-cert and --ca-key to have it signed by that, too", parent)}, nil
	case o.Next == nil:
		return nil, nil
	case to != nil && !pki.Same(to, o.Next.CertPEM):
		return nil, action.Invalidf("a rotation to another CA (%s) has begun, and not to this one (%s)\nnext: continue it without --ca-cert, or take it back with --undo first", pki.ID(to), pki.ID(o.Next.CertPEM))
	case to != nil:
		return nil, nil // It was checked when the rotation began, and its certificates are in use.
	}
	if notes, err = bootstrap.CheckCA(o.Authority, *o.Next, o.Cluster, now); err != nil {
		return nil, action.As(action.Invalid, err)
	}
	if err := pki.Distinct(from, o.Next.CertPEM); err != nil {
		return nil, action.As(action.Invalid, fmt.Errorf("the CA in use and the new one: %w", err))
	}
	return notes, nil
}

// inUse tells whether the CA of the caller's own is the one in use, and none has begun to replace it: a
// rotation to it is complete. to is as in checkNext.
func (o RotateOptions) inUse(from, to []byte) bool {
	return o.Next != nil && to == nil && pki.Same(from, o.Next.CertPEM)
}

// next is the certificate of the CA that a rotation replaces the one in use by, PEM: to of one that was
// begun, else the caller's own; nil when it is to be made.
func (o RotateOptions) next(to []byte) []byte {
	if to == nil && o.Next != nil {
		return o.Next.CertPEM
	}
	return to
}

// apart refuses a CA for the API's clients that is the front proxies', and the other way round: who has a
// certificate by the front-proxy CA may act as anybody. One for etcd is neither, or every user of the API
// could log in to etcd.
// https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/#ca-reusage-and-conflicts
func (o RotateOptions) apart(ctx context.Context, kube kubernetes.Interface) error {
	others := map[certs.Authority][]string{certs.AuthorityKubernetes: {requestCAKey}, certs.AuthorityFrontProxy: {clientCAKey}, certs.AuthorityEtcd: {clientCAKey, requestCAKey}}[o.Authority]
	if o.Next == nil || len(others) == 0 {
		return nil
	}
	m, err := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, authentication, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // There is no apiserver yet that has published one.
	}
	if err != nil {
		return action.OfCluster(err)
	}
	for _, other := range others {
		for _, theirs := range pki.Certs([]byte(m.Data[other])) {
			if err := pki.Distinct(theirs, o.Next.CertPEM); err != nil {
				return action.As(action.Invalid, fmt.Errorf("the new CA for %s and %s of the cluster: %w", o.Authority, other, err))
			}
		}
	}
	return nil
}

// apartOnHosts refuses a CA of the caller's own that a control plane node trusts as another one of the
// cluster, such as the etcd CA, or that has the key or the subject of one. That of a rotation which has
// begun was compared then.
func (w *rotating) apartOnHosts() error {
	if w.Next == nil || w.state.to != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(w.looks)) {
		if err := w.looks[name].Apart(w.Next.CertPEM); err != nil {
			return action.As(action.Invalid, fmt.Errorf("%w (as %s has it); nothing was changed", err, name))
		}
	}
	return nil
}

// cuts is the phase from which clients have no access that trust the former CA alone. Until the last one
// apiservers show the new CA's certificate by the former one, which is of no use when that may sign no CA.
func (w *rotating) cuts() certs.Phase {
	if w.Authority == certs.AuthorityKubernetes && !w.Back && pki.SignsNoCA(w.state.from) {
		return certs.PhaseIssue
	}
	return certs.PhaseFinish
}

// sealOwn encrypts the private key of a CA of the caller's own to nodes. It leaves this machine in no
// other form.
func (w *rotating) sealOwn(recipients map[string]string) (map[string][]byte, error) {
	sealed := map[string][]byte{}
	for name, recipient := range recipients {
		one, err := certs.Seal(w.Next.KeyPEM, recipient)
		if err != nil {
			return nil, fmt.Errorf("encrypt the key for %s: %w", name, err)
		}
		sealed[name] = one
	}
	return sealed, nil
}

// ownsTarget tells whether the CA that stays is the caller's own, whose key is here.
func (w *rotating) ownsTarget() bool { return w.Next != nil && pki.Same(w.Next.CertPEM, w.target()) }
