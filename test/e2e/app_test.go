//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	appName = "e2e-app"
	appPort = 8080
)

// deployApp makes what users run: a Deployment with three replicas, a budget that
// leaves one of them to be evicted, and a Service that is reached on every node.
// It answers with CoreDNS's health page, which is the only server whose image each
// node has, and ends like a program that is made for it: it serves on for a moment
// after it was asked to end. It returns a prober of 20 requests a second through
// the first control plane, each on a new connection.
func (c *cluster) deployApp(t testing.TB) *prober {
	t.Helper()
	ctx := context.Background()
	dns, err := c.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": appName}
	meta := metav1.ObjectMeta{Name: appName, Labels: labels}
	config := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"Corefile": fmt.Sprintf(".:5353 {\n    health :%d {\n        lameduck 10s\n    }\n    whoami\n}\n", appPort)}}
	if _, err := c.client.CoreV1().ConfigMaps("default").Create(ctx, config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.AppsV1().Deployments("default").Create(ctx, appDeployment(meta, dns.Spec.Template.Spec.Containers[0].Image), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	least := intstr.FromInt32(2)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: labels}}}
	if _, err := c.client.PolicyV1().PodDisruptionBudgets("default").Create(ctx, budget, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Selector: labels, Ports: []corev1.ServicePort{{Port: appPort}}}}
	if service, err = c.client.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "the application is available", func() (bool, string) {
		d, err := c.client.AppsV1().Deployments("default").Get(ctx, appName, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return d.Status.AvailableReplicas == 3, fmt.Sprintf("%d replicas", d.Status.AvailableReplicas)
	})
	first := c.names("control-plane")[0]
	p := newPlainProber("http://" + net.JoinHostPort(hostAddress(c.lab, first), fmt.Sprint(service.Spec.Ports[0].NodePort)) + "/health")
	p.every = 50 * time.Millisecond
	eventually(t, time.Minute, "the application answers", func() (bool, string) {
		err := p.once()
		return err == nil, fmt.Sprint(err)
	})
	return p
}

func appDeployment(meta metav1.ObjectMeta, image string) *appsv1.Deployment {
	replicas := int32(3)
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "app", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
					Args:         []string{"-conf", "/etc/app/Corefile"},
					VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}},
					ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
						HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(appPort)}}},
				}},
				Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
					ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}}}}},
			},
		},
	}}
}
