package certs

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	rootCA          = "kube-root-ca.crt"
	rootCAKey       = "ca.crt"
	clusterInfo     = "cluster-info"
	authentication  = "extension-apiserver-authentication"
	clientCAKey     = "client-ca-file"
	requestCAKey    = "requestheader-client-ca-file"
	objectsInterval = 500 * time.Millisecond
	// steady is for how long the apiservers' ConfigMap has to stay as it is: each writes its own
	// CAs back into it once a minute
	// (https://github.com/kubernetes/kubernetes/blob/master/pkg/controlplane/controller/clusterauthenticationtrust/cluster_authentication_trust_controller.go).
	steady = 70 * time.Second
	// pageSize bounds one answer of the API.
	pageSize = 500
)

// at is the rotation in a phase, as hosts are told it.
func (w *rotating) at(phase certs.Phase) certs.RotationSpec {
	return certs.RotationSpec{Authority: w.Authority, Phase: phase, From: w.source(), To: w.target()}
}

// objects brings what the API has to a phase, and waits until programs of the cluster have
// published what is theirs to publish.
func (w *rotating) objects(ctx context.Context, phase certs.Phase) error {
	err := action.Step(w.sink, "objects/"+string(phase), "change what the API publishes of "+string(w.Authority), func() error { return w.publish(ctx, phase) })
	if err != nil {
		return action.OfCluster(err)
	}
	if w.Authority == certs.AuthorityKubernetes && phase == certs.PhaseTrust {
		return w.restartWorkloads(ctx, w.ownWorkloads())
	}
	return nil
}

func (w *rotating) publish(ctx context.Context, phase certs.Phase) error {
	switch w.Authority {
	case certs.AuthorityKubernetes:
		if err := w.clusterInfo(ctx, phase); err != nil {
			return err
		}
		if err := w.bundles(ctx, phase); err != nil {
			return err
		}
		if err := w.awaitRootCAs(ctx, phase); err != nil {
			return err
		}
		if err := w.state.publish(ctx, w.clients.Kube, time.Now()); err != nil {
			return err
		}
		return w.authentication(ctx, clientCAKey, phase)
	case certs.AuthorityFrontProxy:
		return w.authentication(ctx, requestCAKey, phase)
	case certs.AuthorityServiceAccount:
		if phase == certs.PhaseIssue {
			return w.legacyTokens(ctx)
		}
	}
	return nil
}

// clusterInfo changes what nodes that join trust.
func (w *rotating) clusterInfo(ctx context.Context, phase certs.Phase) error {
	spec := w.at(phase)
	_, err := setClusterInfo(ctx, w.clients.Kube, func(cas []byte) ([]byte, bool) {
		// kubeadm takes the first one's digest, so that here their order matters.
		return spec.Anchors(), spec.About(cas) && !bytes.Equal(cas, spec.Anchors())
	})
	return err
}

// bundles changes the CAs in webhooks, API services and conversions that go by the cluster's CA.
func (w *rotating) bundles(ctx context.Context, phase certs.Phase) error {
	changed, err := setAllBundles(ctx, w.clients.Dynamic, w.inBundle(phase))
	for _, what := range changed {
		action.Tell(w.sink, "changed the CA in %s", what)
	}
	return err
}

// inBundle replaces CAs of this rotation where nothing else is.
func (w *rotating) inBundle(phase certs.Phase) replace {
	spec := w.at(phase)
	return func(cas []byte) ([]byte, bool) { return spec.Anchors(), spec.About(cas) && !spec.Reached(cas) }
}

// awaitRootCAs waits until controller-manager has published this phase's CAs in every namespace.
func (w *rotating) awaitRootCAs(ctx context.Context, phase certs.Phase) error {
	return w.await(ctx, "the CAs of this phase in every namespace", func(ctx context.Context) (string, error) {
		namespaces, err := w.clients.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		published := map[string]bool{}
		for next := ""; ; {
			list, err := w.clients.Kube.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + rootCA, Limit: pageSize, Continue: next})
			if err != nil {
				return "", err
			}
			for _, m := range list.Items {
				published[m.Namespace] = w.at(phase).Reached([]byte(m.Data[rootCAKey]))
			}
			if next = list.Continue; next == "" {
				break
			}
		}
		var lacking []string
		for _, n := range namespaces.Items {
			if n.Status.Phase != corev1.NamespaceTerminating && !published[n.Name] {
				lacking = append(lacking, n.Name)
			}
		}
		if len(lacking) == 0 {
			return "", nil
		}
		return fmt.Sprintf("%d namespaces lack them, such as %s", len(lacking), lacking[0]), nil
	})
}

// authentication changes the CAs that extension API servers go by. API servers add theirs to
// them, and never take one away: this does, once none has it any more.
func (w *rotating) authentication(ctx context.Context, key string, phase certs.Phase) error {
	api := w.clients.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	var since time.Time
	return w.await(ctx, "the CAs in "+authentication, func(ctx context.Context) (string, error) {
		m, err := api.Get(ctx, authentication, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		all := pki.Certs([]byte(m.Data[key]))
		for _, want := range pki.Certs(w.at(phase).Anchors()) {
			if !slices.ContainsFunc(all, func(c []byte) bool { return pki.Same(c, want) }) {
				return "an API server has not published the CA " + pki.ID(want) + " yet", nil
			}
		}
		if phase != certs.PhaseFinish {
			return "", nil
		}
		rest := slices.DeleteFunc(slices.Clone(all), func(c []byte) bool { return pki.Same(c, w.source()) })
		if len(rest) < len(all) {
			since = time.Now()
			m.Data[key] = string(bytes.Join(rest, nil))
			_, err := api.Update(ctx, m, metav1.UpdateOptions{FieldManager: apply.FieldManager})
			return "the former CA was there, and is removed", err
		}
		if !since.IsZero() && time.Since(since) < steady {
			return "waiting whether an API server writes the former CA back", nil
		}
		return "", nil
	})
}

// legacyTokens has tokens in Secrets bound anew: controller-manager writes one into a Secret that
// lacks it.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#auto-generated-legacy-serviceaccount-token-clean-up
func (w *rotating) legacyTokens(ctx context.Context) error {
	want := certs.KeyID(w.target())
	list := func(ctx context.Context) ([]corev1.Secret, error) {
		return staleTokens(ctx, w.clients.Kube, func(key string) bool { return key != want })
	}
	stale, err := list(ctx)
	if err != nil {
		return err
	}
	for _, s := range stale {
		if err := bindAnew(ctx, w.clients.Kube, s); err != nil {
			return err
		}
		action.Tell(w.sink, "the token in the Secret %s/%s is bound anew", s.Namespace, s.Name)
	}
	return w.await(ctx, "tokens in Secrets", func(ctx context.Context) (string, error) {
		left, err := list(ctx)
		if err != nil || len(left) == 0 {
			return "", err
		}
		return fmt.Sprintf("%d Secrets lack a token of the new key, such as %s/%s", len(left), left[0].Namespace, left[0].Name), nil
	})
}

// await looks until look says that nothing is waited for any more.
func (w *rotating) await(ctx context.Context, what string, look func(context.Context) (string, error)) error {
	seen := "nothing yet"
	err := wait.PollUntilContextTimeout(ctx, objectsInterval, settle, true, func(ctx context.Context) (bool, error) {
		waiting, err := look(ctx)
		if err != nil {
			seen = strings.TrimSpace(err.Error()) // The API may be on its way from one host to another.
			return false, nil                     //nolint:nilerr // see above
		}
		seen = waiting
		return waiting == "", nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s, last seen: %s: %w", what, seen, err)
	}
	return nil
}
