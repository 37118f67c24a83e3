package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const namespace = v1alpha1.SystemNamespace

// manifest is the node Job for one task.
func (r Runner) manifest(host, image string, deadline time.Duration) (*batchv1.Job, error) {
	data, err := manifests.FS.ReadFile(manifests.NodeJob)
	if err != nil {
		return nil, fmt.Errorf("read the embedded manifest: %w", err)
	}
	job := &batchv1.Job{}
	if err := yaml.UnmarshalStrict(data, job); err != nil {
		return nil, fmt.Errorf("%s: %w", manifests.NodeJob, err)
	}
	seconds := int64(deadline / time.Second)
	job.Name, job.Namespace = r.Name, namespace
	if r.Owner != nil {
		job.OwnerReferences = []metav1.OwnerReference{*r.Owner}
	}
	job.Spec.ActiveDeadlineSeconds = &seconds
	pod := &job.Spec.Template.Spec
	pod.NodeName = host
	pod.Containers[0].Image = image
	pod.Volumes[0].Secret.SecretName = r.Name
	return job, nil
}
