package certs

import (
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestRestartWaitsForPodsThatEnd: a roll-out is complete while the pods of before still serve, for as
// long as their grace period, and trust the former CA only.
func TestRestartWaitsForPodsThatEnd(t *testing.T) {
	yes, one := true, int32(1)
	rolledOut := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app", Generation: 1}, Spec: appsv1.DeploymentSpec{Replicas: &one,
			// It was told to restart.
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationRotation: pki.ID(nil) + "-" + pki.ID(nil)}}}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}, {Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}}}}
	pod := func(name string, started time.Time) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"pod-template-hash": name},
				OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "app-" + name, Controller: &yes}}},
			Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: rootCA}}}}}}}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started)}}}}},
		}
	}
	synctest.Test(t, func(t *testing.T) {
		published := time.Now()
		ending := pod("old", published.Add(-time.Hour))
		ending.DeletionTimestamp = &metav1.Time{Time: published}
		kube := fake.NewClientset(ending, pod("new", published.Add(time.Second)))
		w := &rotating{clients: &client.Clients{Kube: kube, Dynamic: dynamicfake.NewSimpleDynamicClient(scheme.Scheme, runtime.Object(rolledOut))},
			state: rotationState{published: published}, sink: report.Discard()}
		gone := time.AfterFunc(30*time.Second, func() {
			if err := kube.CoreV1().Pods("default").Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
		if err := w.restartWorkloads(t.Context(), []workload{{"default", "deployment", "app"}}); err != nil {
			t.Fatal(err)
		}
		if gone.Stop() {
			t.Error("it did not wait for the pod that ends")
		}
		if left, err := w.staleWorkloads(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
	})
}
