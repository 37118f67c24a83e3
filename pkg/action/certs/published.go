package certs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// carriers are the kinds of objects that have a CA in a field caBundle.
var carriers = [...]schema.GroupVersionResource{
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
	{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
}

// replace gives what is to be in the place of CAs, PEM, and whether that is another.
type replace func(cas []byte) ([]byte, bool)

// setClusterInfo changes the CAs in cluster-info. Controller-manager signs it anew for every bootstrap
// token.
func setClusterInfo(ctx context.Context, kube kubernetes.Interface, by replace) (changed bool, err error) {
	api := kube.CoreV1().ConfigMaps(metav1.NamespacePublic)
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
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
		changed = false
		for _, c := range config.Clusters {
			if cas, other := by(c.CertificateAuthorityData); other {
				c.CertificateAuthorityData, changed = cas, true
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
	return changed, err
}

// setAllBundles changes the CAs in all objects that carry some, and names those that it has changed.
func setAllBundles(ctx context.Context, dyn dynamic.Interface, by replace) (changed []string, err error) {
	var failed []error
	for _, resource := range carriers {
		api := dyn.Resource(resource)
		for next := ""; ; {
			list, err := api.List(ctx, metav1.ListOptions{Limit: pageSize, Continue: next})
			if apierrors.IsNotFound(err) {
				break // This API server does not have the kind.
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("list %s: %w", resource.Resource, err))
				break
			}
			for i := range list.Items {
				name := resource.Resource + "/" + list.Items[i].GetName()
				did, err := setObject(ctx, api, &list.Items[i], by)
				if err != nil {
					failed = append(failed, fmt.Errorf("change the CA in %s: %w", name, err))
				} else if did {
					changed = append(changed, name)
				}
			}
			if next = list.GetContinue(); next == "" {
				break
			}
		}
	}
	return changed, errors.Join(failed...)
}

func setObject(ctx context.Context, api dynamic.NamespaceableResourceInterface, u *unstructured.Unstructured, by replace) (changed bool, err error) {
	name := u.GetName()
	for first := true; ; first = false {
		if !setBundles(u.Object, by) {
			return false, nil
		}
		_, err := api.Update(ctx, u, metav1.UpdateOptions{FieldManager: apply.FieldManager})
		if err == nil {
			return true, nil
		}
		if !apierrors.IsConflict(err) || !first {
			return false, err
		}
		if u, err = api.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, err
		}
	}
}

// setBundles replaces every caBundle of an object, and reports whether one was another.
func setBundles(value any, by replace) (changed bool) {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			changed = setBundles(one, by) || changed
		}
	case map[string]any:
		for key, one := range v {
			text, ok := one.(string)
			if key != "caBundle" || !ok {
				changed = setBundles(one, by) || changed
				continue
			}
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				continue
			}
			if cas, other := by(raw); other {
				v[key], changed = base64.StdEncoding.EncodeToString(cas), true
			}
		}
	}
	return changed
}

// staleTokens are the Secrets whose service account's token is of a key that is stale; the key of a
// Secret that has none is empty.
func staleTokens(ctx context.Context, kube kubernetes.Interface, stale func(key string) bool) ([]corev1.Secret, error) {
	all, err := kube.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
	if err != nil {
		return nil, fmt.Errorf("list the Secrets with tokens of service accounts: %w", err)
	}
	return slices.DeleteFunc(all.Items, func(s corev1.Secret) bool {
		return !stale(certs.TokenKey(string(s.Data[corev1.ServiceAccountTokenKey])))
	}), nil
}

// bindAnew removes the token of a Secret, and only the one that was seen, whoever wrote it since.
func bindAnew(ctx context.Context, kube kubernetes.Interface, s corev1.Secret) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": s.ResourceVersion}, "data": map[string]any{corev1.ServiceAccountTokenKey: nil}})
	if err != nil {
		return err
	}
	_, err = kube.CoreV1().Secrets(s.Namespace).Patch(ctx, s.Name, "application/merge-patch+json", patch, metav1.PatchOptions{FieldManager: apply.FieldManager})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("have the token in the Secret %s/%s bound anew: %w", s.Namespace, s.Name, err)
	}
	return nil
}
