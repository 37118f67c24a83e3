package certs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"

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

// carriers are the kinds of objects that have a CA in a field caBundle.
var carriers = [...]schema.GroupVersionResource{
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
	{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
}

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

// clusterInfo changes what nodes that join trust. Controller-manager signs it anew for every
// bootstrap token.
func (w *rotating) clusterInfo(ctx context.Context, phase certs.Phase) error {
	api := w.clients.Kube.CoreV1().ConfigMaps(metav1.NamespacePublic)
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		m, err := api.Get(ctx, clusterInfo, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", clusterInfo, err)
		}
		config, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
		if err != nil {
			return fmt.Errorf("%s/%s: %w", metav1.NamespacePublic, clusterInfo, err)
		}
		changed := false
		for _, c := range config.Clusters {
			// kubeadm takes the first one's digest, so that here their order matters.
			if spec := w.at(phase); spec.About(c.CertificateAuthorityData) && !bytes.Equal(c.CertificateAuthorityData, spec.Anchors()) {
				c.CertificateAuthorityData, changed = spec.Anchors(), true
			}
		}
		if !changed {
			return nil
		}
		content, err := clientcmd.Write(*config)
		if err != nil {
			return err
		}
		m.Data["kubeconfig"] = string(content)
		_, err = api.Update(ctx, m, metav1.UpdateOptions{FieldManager: apply.FieldManager})
		return err
	})
}

// bundles changes the CAs in webhooks, API services and conversions that go by the cluster's CA.
func (w *rotating) bundles(ctx context.Context, phase certs.Phase) error {
	for _, resource := range carriers {
		api := w.clients.Dynamic.Resource(resource)
		for next := ""; ; {
			list, err := api.List(ctx, metav1.ListOptions{Limit: pageSize, Continue: next})
			if apierrors.IsNotFound(err) {
				break // This API server does not have the kind.
			}
			if err != nil {
				return fmt.Errorf("list %s: %w", resource.Resource, err)
			}
			for i := range list.Items {
				if err := w.bundle(ctx, resource, &list.Items[i], phase); err != nil {
					return err
				}
			}
			if next = list.GetContinue(); next == "" {
				break
			}
		}
	}
	return nil
}

func (w *rotating) bundle(ctx context.Context, resource schema.GroupVersionResource, u *unstructured.Unstructured, phase certs.Phase) error {
	api := w.clients.Dynamic.Resource(resource)
	name := u.GetName()
	for first := true; ; first = false {
		if !w.setBundles(u.Object, phase) {
			return nil
		}
		_, err := api.Update(ctx, u, metav1.UpdateOptions{FieldManager: apply.FieldManager})
		switch {
		case err == nil:
			action.Tell(w.sink, "changed the CA in %s/%s", resource.Resource, name)
			return nil
		case !apierrors.IsConflict(err) || !first:
			return fmt.Errorf("change the CA in %s/%s: %w", resource.Resource, name, err)
		}
		if u, err = api.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("read %s/%s: %w", resource.Resource, name, err)
		}
	}
}

// setBundles sets every caBundle of an object that has CAs of this rotation and nothing else,
// and reports whether that is a change.
func (w *rotating) setBundles(value any, phase certs.Phase) (changed bool) {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			changed = w.setBundles(one, phase) || changed
		}
	case map[string]any:
		for key, one := range v {
			text, ok := one.(string)
			if key != "caBundle" || !ok {
				changed = w.setBundles(one, phase) || changed
				continue
			}
			raw, err := base64.StdEncoding.DecodeString(text)
			if spec := w.at(phase); err == nil && spec.About(raw) && !spec.Reached(raw) {
				v[key], changed = base64.StdEncoding.EncodeToString(spec.Anchors()), true
			}
		}
	}
	return changed
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
		all, err := w.clients.Kube.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
		if err != nil {
			return nil, fmt.Errorf("list the Secrets with tokens of service accounts: %w", err)
		}
		return slices.DeleteFunc(all.Items, func(s corev1.Secret) bool {
			return certs.TokenKey(string(s.Data[corev1.ServiceAccountTokenKey])) == want
		}), nil
	}
	stale, err := list(ctx)
	if err != nil {
		return err
	}
	for _, s := range stale {
		// Only a token that was seen is removed, whoever wrote the Secret since.
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": s.ResourceVersion}, "data": map[string]any{corev1.ServiceAccountTokenKey: nil}})
		if err != nil {
			return err
		}
		_, err = w.clients.Kube.CoreV1().Secrets(s.Namespace).Patch(ctx, s.Name, "application/merge-patch+json", patch, metav1.PatchOptions{FieldManager: apply.FieldManager})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("have the token in the Secret %s/%s bound anew: %w", s.Namespace, s.Name, err)
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
