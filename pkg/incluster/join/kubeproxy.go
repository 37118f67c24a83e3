package join

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	kubeProxy           = "kube-proxy"
	kubeProxyKubeconfig = "kubeconfig.conf"
	// annotationEndpoint stands on kube-proxy's ConfigMap once kubectl-ha changed
	// its endpoint, and on the pods that were rolled out for that: a roll-out that
	// an interruption kept from happening is still seen to be due.
	annotationEndpoint = v1alpha1.Group + "/endpoint"
)

// observeKubeProxy says what is wrong with kube-proxy's endpoint. A cluster
// without kube-proxy is right: some network plugins bring their own.
func observeKubeProxy(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) (string, error) {
	config, err := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, kubeProxy, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	_, wrong, err := server(config.Data[kubeProxyKubeconfig], c.URLFor(v1alpha1.UseForKubeProxy))
	if err != nil {
		return "", err
	}
	if wrong {
		return "kube-proxy does not use " + c.EndpointFor(v1alpha1.UseForKubeProxy), nil
	}
	ds, err := kube.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, kubeProxy, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", err
	}
	if err == nil && rollOutDue(config, ds) {
		return "kube-proxy was not restarted since its endpoint was changed", nil
	}
	return "", nil
}

func rollOutDue(config *corev1.ConfigMap, ds *appsv1.DaemonSet) bool {
	want := config.Annotations[annotationEndpoint]
	return want != "" && ds.Spec.Template.Annotations[annotationEndpoint] != want
}

// fixKubeProxy points kube-proxy at the stable endpoint, and when that was a
// change restarts its pods and waits for them; also for those of a roll-out that an
// earlier attempt has begun: what the old ones use may be taken away next.
func fixKubeProxy(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	configs := t.Clients.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	config, err := configs.Get(ctx, kubeProxy, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return engine.Outcome{Message: "there is no kube-proxy"}, nil
	}
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read kube-proxy's configuration: %w", err)
	}
	url := t.Cluster.URLFor(v1alpha1.UseForKubeProxy)
	text, changed, err := server(config.Data[kubeProxyKubeconfig], url)
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("kube-proxy's configuration: %w", err)
	}
	if changed {
		config.Data[kubeProxyKubeconfig] = text
		metav1.SetMetaDataAnnotation(&config.ObjectMeta, annotationEndpoint, url)
		if config, err = configs.Update(ctx, config, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
			return engine.Outcome{}, fmt.Errorf("write kube-proxy's configuration: %w", err)
		}
	}
	sets := t.Clients.Kube.AppsV1().DaemonSets(metav1.NamespaceSystem)
	ds, err := sets.Get(ctx, kubeProxy, metav1.GetOptions{})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("read kube-proxy's daemon set: %w", err)
	}
	if !rollOutDue(config, ds) {
		if ds.Spec.Template.Annotations[annotationEndpoint] == "" {
			return engine.Outcome{}, nil
		}
		return engine.Outcome{}, awaitKubeProxy(ctx, t, replaceWaits)
	}
	patch, err := podAnnotation(annotationEndpoint, url)
	if err != nil {
		return engine.Outcome{}, err
	}
	if _, err := sets.Patch(ctx, kubeProxy, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager}); err != nil {
		return engine.Outcome{}, fmt.Errorf("restart kube-proxy: %w", err)
	}
	return engine.Outcome{Message: "restarted with " + url}, awaitKubeProxy(ctx, t, ready.DaemonSet)
}

// awaitKubeProxy waits until nothing is waited for any more.
func awaitKubeProxy(ctx context.Context, t engine.Turn, waits func(*appsv1.DaemonSet) string) error {
	return until(ctx, t, "kube-proxy's roll-out", func(ctx context.Context) (string, error) {
		ds, err := t.Clients.Kube.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, kubeProxy, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return waits(ds), nil
	})
}

// replaceWaits tells of pods that are still to be replaced. One on a node that is gone,
// and that was replaced before, is not waited for, which kstatus knows no way to say.
func replaceWaits(ds *appsv1.DaemonSet) string {
	s := ds.Status
	if s.ObservedGeneration >= ds.Generation && s.UpdatedNumberScheduled == s.DesiredNumberScheduled {
		return ""
	}
	return fmt.Sprintf("%d of %d pods updated", s.UpdatedNumberScheduled, s.DesiredNumberScheduled)
}

// podAnnotation is a patch that sets an annotation of a pod template, which
// rolls its pods out when it changes.
func podAnnotation(key, value string) ([]byte, error) {
	return json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{key: value}},
	}}})
}
