package schedule

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

const (
	// Name is the CronJob's, in v1alpha1.SystemNamespace.
	Name = "certificate-renewal"
	// DefaultCron is once a day: a certificate of a year has four months left when its turn comes,
	// so that many runs may fail before anything ends.
	DefaultCron = "37 3 * * *"
	// AnnotationLife is on the CronJob: how long what it renews lives, as a Go duration; for tests.
	AnnotationLife = v1alpha1.Group + "/certificate-life"

	setUp = "kubectl ha certs renew --schedule"
)

// Renewal is the scheduled renewal of certificates.
func Renewal() schedule.Kind {
	return schedule.Kind{Name: Name, Manifest: manifests.CertificateRenewal, DefaultCron: DefaultCron, What: "scheduled renewal of certificates",
		Late: "the scheduled renewal of certificates has not run as it should", Missed: 2, SetUp: setUp, TakeAway: setUp + "=" + schedule.Off}
}

// Spec is what a schedule is made of.
type Spec struct {
	// Cron is when it runs, as a CronJob's spec.schedule. Empty: DefaultCron.
	Cron string
	// Life is how long what is renewed lives; zero as long as before. For tests.
	Life time.Duration
	// Agents carry it out. The first one's image is the CronJob's.
	Agents v1alpha1.Agents
}

// object is the CronJob of a cluster.
func object(s Spec, c *v1alpha1.Cluster) (*batchv1.CronJob, error) {
	j, err := Renewal().Object(c, s.Cron, s.Agents)
	if err != nil || s.Life <= 0 {
		return j, err
	}
	j.Annotations = map[string]string{AnnotationLife: s.Life.String()}
	main := &j.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	main.Args = append(main.Args, "--life-for-tests", s.Life.String())
	return j, nil
}

// Apply makes the CronJob, or what there is like it, and tells whether that changed anything.
// Whether it is suspended is left as it is.
func Apply(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster, s Spec) (bool, error) {
	j, err := object(s, c)
	if err != nil {
		return false, err
	}
	return schedule.Apply(ctx, clients, j)
}

// Follow has a schedule, where there is one, carried out by other agents: those that were just
// brought to the nodes. It tells whether that changed anything.
func Follow(ctx context.Context, clients *client.Clients, agents v1alpha1.Agents) (bool, error) {
	return Renewal().Follow(ctx, clients, agents, func(have *batchv1.CronJob, c *v1alpha1.Cluster) (*batchv1.CronJob, error) {
		return object(Spec{Cron: have.Spec.Schedule, Life: lifeOf(have), Agents: agents}, c)
	})
}

// lifeOf is a schedule's Life; one that can't be read is none.
func lifeOf(j *batchv1.CronJob) time.Duration {
	d, err := time.ParseDuration(j.Annotations[AnnotationLife])
	if err != nil {
		return 0
	}
	return d
}
