package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// Settled is what Settle has changed, and what is left for somebody to do.
type Settled struct {
	// Changed are the objects that have the authorities of now, such as kube-public/cluster-info;
	// Bound the Secrets (NAMESPACE/NAME) whose token is bound anew: a copy of the former one elsewhere
	// is refused.
	Changed []string `json:"changed,omitempty"`
	Bound   []string `json:"bound,omitempty"`
	// Advice says what can't be put right from here, each with what to do.
	Advice []string `json:"advice,omitempty"`
}

// Settle brings what the API has of the cluster's authorities to those that are in use, after its
// data was exchanged for what it was once: before a rotation, or in a cluster whose hosts are gone.
// It comes before controller-managers and kubelets run, so that no pod starts with the former CA.
// cas are the CAs of Kubernetes in use, PEM. What fails is advice: a restore is not held up by it.
func Settle(ctx context.Context, clients *client.Clients, cas []byte) Settled {
	s := &settling{clients: clients, now: pki.Certs(cas)}
	var keys jwks
	raw, err := clients.Kube.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err == nil {
		err = json.Unmarshal(raw, &keys)
	}
	for _, k := range keys.Keys {
		s.keys = append(s.keys, k.ID)
	}
	if err != nil || len(s.keys) == 0 {
		s.advise("which keys of service accounts are in use could not be asked (%v): have Secrets with tokens that are refused written anew by removing their data.token", err)
	}
	s.settle(ctx)
	return s.Settled
}

// jwks is what tokens are verified with. https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
type jwks struct {
	Keys []struct {
		ID string `json:"kid"`
	} `json:"keys"`
}

// settleWithin bounds all of it: kubelets wait.
const settleWithin = 3 * time.Minute

// settling is one Settle: now are the CAs in use, PEM, and keys the IDs of the service accounts' keys.
type settling struct {
	Settled
	clients *client.Clients
	now     [][]byte
	keys    []string
}

func (s *settling) advise(format string, args ...any) {
	s.Advice = append(s.Advice, fmt.Sprintf(format, args...))
}

func (s *settling) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for _, one := range []struct {
		what string
		do   func(context.Context) error
	}{{"the CAs that the API publishes", s.authorities}, {"the tokens in Secrets", s.tokens}, {"the records of rotations", s.rotations}} {
		if err := one.do(ctx); err != nil {
			s.advise("%s could not be brought to what is in use: %v", one.what, err)
		}
	}
}

// inUse reports whether a CA is.
func (s *settling) inUse(ca []byte) bool {
	return slices.ContainsFunc(s.now, func(n []byte) bool { return pki.Same(n, ca) })
}

// authorities replaces the CAs that the API had published and that are not in use any more. CAs of
// others stay, and so does what has one of theirs besides.
func (s *settling) authorities(ctx context.Context) error {
	if len(s.now) == 0 {
		return fmt.Errorf("the administrator's access file names no CA")
	}
	roots, err := s.clients.Kube.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + rootCA})
	if err != nil {
		return fmt.Errorf("list %s: %w", rootCA, err)
	}
	var gone [][]byte
	for _, m := range roots.Items {
		for _, ca := range pki.Certs([]byte(m.Data[rootCAKey])) {
			if !s.inUse(ca) && !slices.ContainsFunc(gone, func(g []byte) bool { return pki.Same(g, ca) }) {
				gone = append(gone, ca)
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	// The bundles first: no webhook is asked about webhooks' configurations, while one that can't be
	// reached yet may refuse the change of a ConfigMap. What fails is no reason to leave out the rest.
	by := s.by(gone)
	carry, failed := setAllBundles(ctx, s.clients.Dynamic, by)
	s.Changed = append(s.Changed, carry...)
	changed, err := setClusterInfo(ctx, s.clients.Kube, by)
	if changed {
		s.Changed = append(s.Changed, metav1.NamespacePublic+"/"+clusterInfo)
	}
	return errors.Join(failed, err, s.rootCAs(ctx, roots.Items, by))
}

// by replaces CAs where one is gone, and nothing but these and those in use is.
func (s *settling) by(gone [][]byte) replace {
	return func(cas []byte) ([]byte, bool) {
		former := false
		for _, ca := range pki.Certs(cas) {
			switch {
			case slices.ContainsFunc(gone, func(g []byte) bool { return pki.Same(g, ca) }):
				former = true
			case !s.inUse(ca):
				return cas, false
			}
		}
		return bytes.Join(s.now, nil), former
	}
}

// rootCAs does at once what controller-manager does once it runs: a pod that is started meanwhile
// would read the former CA.
func (s *settling) rootCAs(ctx context.Context, all []corev1.ConfigMap, by replace) error {
	var failed []error
	for _, m := range all {
		cas, other := by([]byte(m.Data[rootCAKey]))
		if !other {
			continue
		}
		m.Data[rootCAKey] = string(cas)
		_, err := s.clients.Kube.CoreV1().ConfigMaps(m.Namespace).Update(ctx, &m, metav1.UpdateOptions{FieldManager: apply.FieldManager})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			failed = append(failed, fmt.Errorf("change %s/%s: %w", m.Namespace, rootCA, err))
			continue
		}
		s.Changed = append(s.Changed, m.Namespace+"/"+rootCA)
	}
	return errors.Join(failed...)
}

// tokens has those bound anew whose key no API server takes.
func (s *settling) tokens(ctx context.Context) error {
	if len(s.keys) == 0 {
		return nil // It is advice already.
	}
	// A Secret without a token gets one anyway.
	stale, err := staleTokens(ctx, s.clients.Kube, func(key string) bool { return key != "" && !slices.Contains(s.keys, key) })
	if err != nil {
		return err
	}
	var failed []error
	for _, one := range stale {
		if err := bindAnew(ctx, s.clients.Kube, one); err != nil {
			failed = append(failed, err)
			continue
		}
		s.Bound = append(s.Bound, one.Namespace+"/"+one.Name)
	}
	return errors.Join(failed...)
}

// rotations ends the records of rotations that are over on the hosts, and tells of the others.
func (s *settling) rotations(ctx context.Context) error {
	known := false
	for _, a := range certs.Authorities() {
		r, err := readRotation(ctx, s.clients.Kube, a)
		if err != nil {
			return err
		}
		if !r.exists {
			continue
		}
		known = known || a == certs.AuthorityKubernetes
		if s.over(r) {
			if err := s.clients.Kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Delete(ctx, rotationName(a), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("end the record of the rotation of %s: %w", a, err)
			}
			s.Changed = append(s.Changed, v1alpha1.SystemNamespace+"/"+rotationName(a))
			continue
		}
		s.advise("the snapshot is of the middle of a rotation of %s, and the hosts may have come further or gone back since: run kubectl ha certs rotate-ca %s to complete it, or the same with --undo", a, a)
	}
	if len(s.now) > 1 && !known {
		var ids []string
		for _, ca := range s.now {
			ids = append(ids, pki.ID(ca))
		}
		s.advise("the hosts are in the middle of a rotation of kubernetes (they trust %s), of which the snapshot does not know: look at kubectl ha certs status before another one is begun", strings.Join(ids, " and "))
	}
	return nil
}

// over reports whether a rotation is complete: what it replaced is in use no more, and what replaces it is.
func (s *settling) over(r rotationState) bool {
	switch r.authority {
	case certs.AuthorityKubernetes:
		return s.inUse(r.to) && !s.inUse(r.from)
	case certs.AuthorityServiceAccount:
		return slices.Contains(s.keys, certs.KeyID(r.to)) && !slices.Contains(s.keys, certs.KeyID(r.from))
	}
	return false // What the hosts have of it, the API does not tell.
}
