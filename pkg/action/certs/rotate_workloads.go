package certs

import (
	"cmp"
	"context"
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
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// workload is what owns pods. An empty kind is all kinds, an empty name all of a kind.
type workload struct{ namespace, kind, name string }

// String writes it as it is given.
func (w workload) String() string {
	return strings.TrimRight(w.namespace+"/"+w.kind+"/"+w.name, "/")
}

// restartable are the kinds that can be rolled out anew.
var restartable = map[string]schema.GroupVersionResource{
	"deployment":  {Group: "apps", Version: "v1", Resource: "deployments"},
	"daemonset":   {Group: "apps", Version: "v1", Resource: "daemonsets"},
	"statefulset": {Group: "apps", Version: "v1", Resource: "statefulsets"},
}

// parseWorkloads reads NAMESPACE, NAMESPACE/KIND or NAMESPACE/KIND/NAME.
func parseWorkloads(text string) (workload, error) {
	parts := strings.Split(text, "/")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return workload{}, fmt.Errorf("workloads are named as NAMESPACE, NAMESPACE/KIND or NAMESPACE/KIND/NAME, and not %q", text)
	}
	w := workload{namespace: parts[0]}
	if len(parts) > 1 {
		w.kind = strings.TrimSuffix(strings.ToLower(parts[1]), "s")
		if _, ok := restartable[w.kind]; !ok {
			return workload{}, fmt.Errorf("%q is no kind of workload that can be restarted; choose deployment, daemonset or statefulset", parts[1])
		}
	}
	if len(parts) > 2 {
		w.name = parts[2]
	}
	return w, nil
}

// ownWorkloads are those that a bootstrap has brought and that talk to the API, and those that
// the caller has named.
func (w *rotating) ownWorkloads() []workload {
	out := []workload{{metav1.NamespaceSystem, "daemonset", "kube-proxy"},
		{metav1.NamespaceSystem, "deployment", "coredns"}, {flannelNamespace, "daemonset", ""},
		{v1alpha1.SystemNamespace, "daemonset", ""}, {v1alpha1.SystemNamespace, "deployment", ""}}
	return append(out, w.named...)
}

// flannelNamespace is that of the pod network that a bootstrap brings.
const flannelNamespace = "kube-flannel"

// restartWorkloads rolls workloads out anew, one after the other, each within its own budget, and
// waits for each. Those whose pods were all started since both CAs are there are left alone.
func (w *rotating) restartWorkloads(ctx context.Context, which []workload) error {
	for _, one := range which {
		kinds := []string{one.kind}
		if one.kind == "" {
			kinds = []string{"deployment", "daemonset", "statefulset"}
		}
		for _, kind := range kinds {
			if err := w.restartKind(ctx, workload{one.namespace, kind, one.name}); err != nil {
				return action.OfCluster(err)
			}
		}
	}
	return nil
}

func (w *rotating) restartKind(ctx context.Context, one workload) error {
	api := w.clients.Dynamic.Resource(restartable[one.kind]).Namespace(one.namespace)
	list, err := api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the workloads %s: %w", one, err)
	}
	for i := range list.Items {
		if one.name != "" && list.Items[i].GetName() != one.name {
			continue
		}
		if err := w.restartOne(ctx, one.kind, &list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// annotationRotation says for which CA a workload was restarted, so that it is not restarted
// twice for the same.
const annotationRotation = v1alpha1.Group + "/restarted-for-ca"

func (w *rotating) restartOne(ctx context.Context, kind string, u *unstructured.Unstructured) error {
	name := workload{u.GetNamespace(), kind, u.GetName()}
	api := w.clients.Dynamic.Resource(restartable[kind]).Namespace(u.GetNamespace())
	value := pki.ID(w.state.from) + "-" + pki.ID(w.state.to)
	done, _, err := unstructured.NestedString(u.Object, "spec", "template", "metadata", "annotations", annotationRotation)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return action.Step(w.sink, "restart/"+name.String(), "restart "+name.String(), func() error {
		if done != value {
			patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationRotation: value}}}}})
			if err != nil {
				return err
			}
			if _, err := api.Patch(ctx, u.GetName(), types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: apply.FieldManager}); err != nil {
				return fmt.Errorf("restart %s: %w", name, err)
			}
		}
		err := w.await(ctx, "the roll-out of "+name.String(), func(ctx context.Context) (string, error) {
			u, err := api.Get(ctx, u.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			if waits := ready.Object(u); waits != "" {
				return waits, nil
			}
			// A pod that ends still serves, for as long as its grace period.
			stale, err := w.stale(ctx, name.namespace)
			if err != nil || !slices.Contains(stale, name) {
				return "", err
			}
			return "pods of before have not ended yet", nil
		})
		if err != nil {
			return fmt.Errorf("%w\nnext: see to what keeps its pods from being ready, or those of before from ending (kubectl get pods -n %s: a lost node, a long grace period, an update strategy of OnDelete), and run the command again", err, name.namespace)
		}
		return nil
	})
}

// staleWorkloads are those with pods that were started before they could trust the new CA. Which
// of them read their CA anew nobody can tell from outside: client-go does from 1.36 on
// (https://github.com/kubernetes/kubernetes/pull/132922), others and earlier ones do not.
func (w *rotating) staleWorkloads(ctx context.Context) ([]workload, error) {
	return w.stale(ctx, metav1.NamespaceAll)
}

// stale is staleWorkloads of a namespace.
func (w *rotating) stale(ctx context.Context, namespace string) ([]workload, error) {
	seen := map[workload]bool{}
	for next := ""; ; {
		pods, err := w.clients.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{Limit: pageSize, Continue: next, FieldSelector: "status.phase=Running"})
		if err != nil {
			return nil, fmt.Errorf("look for pods that may not trust the new CA: %w", err)
		}
		for i := range pods.Items {
			if p := &pods.Items[i]; mountsCA(p) && startedBefore(p, w.state.published) {
				seen[owner(p)] = true
			}
		}
		if next = pods.Continue; next == "" {
			break
		}
	}
	var out []workload
	for one := range seen {
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b workload) int { return cmp.Compare(a.String(), b.String()) })
	return out, nil
}

// mountsCA reports whether a pod has the cluster's CA from the API: the volume of a service
// account's token has.
func mountsCA(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		if v.ConfigMap != nil && v.ConfigMap.Name == rootCA {
			return true
		}
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ConfigMap != nil && s.ConfigMap.Name == rootCA })
	})
}

// startedBefore reports whether a container of a pod runs since before that time.
func startedBefore(p *corev1.Pod, at time.Time) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil && s.State.Running.StartedAt.Time.Before(at)
	})
}

// owner is what a pod belongs to; a pod without an owner is its own.
func owner(p *corev1.Pod) workload {
	for _, o := range p.OwnerReferences {
		if o.Controller == nil || !*o.Controller {
			continue
		}
		if hash := p.Labels["pod-template-hash"]; o.Kind == "ReplicaSet" && hash != "" {
			return workload{p.Namespace, "deployment", strings.TrimSuffix(o.Name, "-"+hash)}
		}
		return workload{p.Namespace, strings.ToLower(o.Kind), o.Name}
	}
	return workload{p.Namespace, "pod", p.Name}
}
