package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

const (
	// Name is the CronJob's, in v1alpha1.SystemNamespace.
	Name = "certificate-renewal"
	// DefaultCron is once a day: a certificate of a year has four months left when its turn comes,
	// so that many runs may fail before anything ends.
	DefaultCron = "37 3 * * *"
	// AnnotationLife is on the CronJob: how long what it renews lives, as a Go duration; for tests.
	AnnotationLife = v1alpha1.Group + "/certificate-life"
)

// Spec is what a schedule is made of.
type Spec struct {
	// Cron is when it runs, as a CronJob's spec.schedule. Empty: DefaultCron.
	Cron string
	// Life is how long what is renewed lives; zero as long as before. For tests.
	Life time.Duration
	// Agents carry it out. The first one's image is the CronJob's.
	Agents v1alpha1.Agents
}

// Parse reads a schedule as the API server does, which takes no time zone in it.
// https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/apis/batch/validation/validation.go
func Parse(text string) (cron.Schedule, error) {
	s, err := cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("the schedule %q can't be read: %w; it is written as that of a CronJob, such as %q or @daily", text, err, DefaultCron)
	}
	return s, nil
}

// object is the CronJob of a cluster.
func object(s Spec, c *v1alpha1.Cluster) (*batchv1.CronJob, error) {
	j := &batchv1.CronJob{}
	if err := apply.LoadTyped(manifests.FS, manifests.CertificateRenewal, j); err != nil {
		return nil, err
	}
	if s.Cron != "" {
		j.Spec.Schedule = s.Cron
	}
	if _, err := Parse(j.Spec.Schedule); err != nil {
		return nil, err
	}
	agents, err := json.Marshal(s.Agents)
	if err != nil {
		return nil, fmt.Errorf("note the agents of the schedule: %w", err)
	}
	pod := &j.Spec.JobTemplate.Spec.Template.Spec
	pod.Affinity.NodeAffinity = incluster.OnControlPlanes(s.Agents)
	main := &pod.Containers[0]
	main.Image = s.Agents.Image()
	main.Args = append(main.Args, "--agents", string(agents))
	if s.Life > 0 {
		j.Annotations = map[string]string{AnnotationLife: s.Life.String()}
		main.Args = append(main.Args, "--life-for-tests", s.Life.String())
	}
	main.Env = append(main.Env,
		corev1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: c.Spec.VirtualIP},
		corev1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: strconv.Itoa(int(c.Spec.APIServerPort))},
	)
	return j, nil
}

// Apply makes the CronJob, or what there is like it, and tells whether that changed anything.
// Whether it is suspended is left as it is.
func Apply(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster, s Spec) (bool, error) {
	j, err := object(s, c)
	if err != nil {
		return false, err
	}
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

// Remove takes the CronJob away, with its Jobs. An Operation that one of them carries out stays;
// it is gone on with by `kubectl ha operation resume`. It tells whether there was one.
func Remove(ctx context.Context, kube kubernetes.Interface) (bool, error) {
	background := metav1.DeletePropagationBackground
	err := kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Delete(ctx, Name, metav1.DeleteOptions{PropagationPolicy: &background})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove the schedule: %w", err)
	}
	return true, nil
}

// Follow has a schedule, where there is one, carried out by other agents: those that were just
// brought to the nodes. So it names none that a node may not have. It tells whether that changed
// anything.
func Follow(ctx context.Context, clients *client.Clients, agents v1alpha1.Agents) (bool, error) {
	have, err := clients.Kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the schedule: %w", err)
	}
	if have.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image == agents.Image() {
		return false, nil
	}
	c, err := incluster.StoredCluster(ctx, clients.Kube)
	if err != nil {
		return false, err
	}
	return Apply(ctx, clients, c, Spec{Cron: have.Spec.Schedule, Life: lifeOf(have), Agents: agents})
}

// lifeOf is a schedule's Life; one that can't be read is none.
func lifeOf(j *batchv1.CronJob) time.Duration {
	d, err := time.ParseDuration(j.Annotations[AnnotationLife])
	if err != nil {
		return 0
	}
	return d
}
