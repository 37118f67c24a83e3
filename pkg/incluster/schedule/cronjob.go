package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// Object is the CronJob of a cluster, which runs at the times that cron says (empty: DefaultCron).
// The agents carry it out: the first one's image is its own, and all of them are its container's
// last argument.
func (k Kind) Object(c *v1alpha1.Cluster, cron string, agents v1alpha1.Agents) (*batchv1.CronJob, error) {
	j := &batchv1.CronJob{}
	if err := apply.LoadTyped(manifests.FS, k.Manifest, j); err != nil {
		return nil, err
	}
	if cron != "" {
		j.Spec.Schedule = cron
	}
	if _, err := k.Parse(j.Spec.Schedule); err != nil {
		return nil, err
	}
	text, err := json.Marshal(agents)
	if err != nil {
		return nil, fmt.Errorf("note the agents of the schedule: %w", err)
	}
	pod := &j.Spec.JobTemplate.Spec.Template.Spec
	pod.Affinity.NodeAffinity = incluster.OnControlPlanes(agents)
	main := &pod.Containers[0]
	main.Image = agents.Image()
	main.Args = append(main.Args, "--agents", string(text))
	main.Env = append(main.Env, incluster.APIEnv(c)...)
	return j, nil
}

// Apply makes the CronJob, or what there is like it, and tells whether that changed anything.
// Whether it is suspended is left as it is.
func Apply(ctx context.Context, clients *client.Clients, j *batchv1.CronJob) (bool, error) {
	u, err := apply.Untyped(j)
	if err != nil {
		return false, err
	}
	changed, err := apply.Apply(ctx, clients, []*unstructured.Unstructured{u}, apply.Options{Force: true})
	if err != nil {
		return false, fmt.Errorf("write the schedule: %w", err)
	}
	return len(changed) > 0, nil
}

// Get reads the CronJob; nil where there is none.
func (k Kind) Get(ctx context.Context, kube kubernetes.Interface) (*batchv1.CronJob, error) {
	j, err := kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Get(ctx, k.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the schedule: %w", err)
	}
	return j, nil
}

// Point has the runs of a schedule, where there is one, find the API at a document's endpoint.
func (k Kind) Point(ctx context.Context, kube kubernetes.Interface, c *v1alpha1.Cluster) error {
	have, err := k.Get(ctx, kube)
	if err != nil || have == nil {
		return err
	}
	main := &have.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	env := slices.DeleteFunc(slices.Clone(main.Env), func(e corev1.EnvVar) bool { return slices.Contains(incluster.APIEnvNames(), e.Name) })
	env = append(env, incluster.APIEnv(c)...)
	if reflect.DeepEqual(env, main.Env) {
		return nil
	}
	main.Env = env
	if _, err := kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Update(ctx, have, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
		return fmt.Errorf("point the schedule %s at %s: %w", k.Name, c.Endpoint(), err)
	}
	return nil
}

// Suspend has no run begin any more, until somebody says otherwise. Where there is no schedule there
// is nothing to do.
func (k Kind) Suspend(ctx context.Context, kube kubernetes.Interface) error {
	_, err := kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Patch(ctx, k.Name, types.StrategicMergePatchType, []byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("suspend the schedule: %w", err)
	}
	return nil
}

// Remove takes the CronJob away, with its Jobs. An Operation that one of them carries out stays;
// it is gone on with by `kubectl ha operation resume`. It tells whether there was one.
func (k Kind) Remove(ctx context.Context, kube kubernetes.Interface) (bool, error) {
	background := metav1.DeletePropagationBackground
	err := kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Delete(ctx, k.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove the schedule: %w", err)
	}
	return true, nil
}

// Follow has a schedule, where there is one, carried out by other agents: those that were just
// brought to the nodes. So it names none that a node may not have. object makes the CronJob anew as
// it is, but for the agents. It tells whether that changed anything.
func (k Kind) Follow(ctx context.Context, clients *client.Clients, agents v1alpha1.Agents, object func(have *batchv1.CronJob, c *v1alpha1.Cluster) (*batchv1.CronJob, error)) (bool, error) {
	have, err := k.Get(ctx, clients.Kube)
	if err != nil || have == nil || have.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image == agents.Image() {
		return false, err
	}
	c, err := incluster.StoredCluster(ctx, clients.Kube)
	if err != nil {
		return false, err
	}
	want, err := object(have, c)
	if err != nil {
		return false, err
	}
	return Apply(ctx, clients, want)
}
