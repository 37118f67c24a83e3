package ready

import (
	corev1 "k8s.io/api/core/v1"
)

// Pod tells whether a pod is Ready, and stays: one that is being removed is not.
func Pod(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
