package loadbalancer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/balancer"
)

const (
	// settingsKey is the settings' file in the ConfigMap.
	settingsKey = "settings.json"
	// annotationSettings rolls the pods when their settings, or their agent, change.
	annotationSettings = v1alpha1.Group + "/settings"
)

// Objects are the load balancer's objects, in the order in which they are applied.
// agent is the agent image of the Operation: new ones roll the pods as well.
func Objects(c *v1alpha1.Cluster, spec *v1alpha1.LoadBalancerSpec, agent string) ([]*unstructured.Unstructured, error) {
	objects, err := apply.Load(manifests.FS, manifests.LoadBalancer)
	if err != nil {
		return nil, err
	}
	settings := balancer.Settings{Type: spec.Type, Port: spec.Port, APIServerPort: c.Spec.APIServerPort}
	// Not of the control planes, which the pods follow without any roll-out.
	version, err := digest(settings, spec.Image, agent)
	if err != nil {
		return nil, err
	}
	for _, h := range c.ControlPlanes() {
		settings.Backends = append(settings.Backends, balancer.Backend{Name: h.Name, Address: h.Address})
	}
	for i, u := range objects {
		switch u.GetKind() {
		case "ConfigMap":
			objects[i], err = withSettings(u, settings)
		case "DaemonSet":
			objects[i], err = withImage(u, spec.Image, version)
		}
		if err != nil {
			return nil, err
		}
	}
	return objects, nil
}

func digest(parts ...any) (string, error) {
	raw, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("the load balancer's settings: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8]), nil
}

func withSettings(u *unstructured.Unstructured, s balancer.Settings) (*unstructured.Unstructured, error) {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the load balancer's settings: %w", err)
	}
	if _, err := balancer.ParseSettings(raw); err != nil {
		return nil, err
	}
	config := &corev1.ConfigMap{}
	if err := apply.Typed(u, config); err != nil {
		return nil, err
	}
	config.Data[settingsKey] = string(raw) + "\n"
	return apply.Untyped(config)
}

func withImage(u *unstructured.Unstructured, image, version string) (*unstructured.Unstructured, error) {
	ds := &appsv1.DaemonSet{}
	if err := apply.Typed(u, ds); err != nil {
		return nil, err
	}
	metav1.SetMetaDataAnnotation(&ds.Spec.Template.ObjectMeta, annotationSettings, version)
	for i := range ds.Spec.Template.Spec.Containers {
		if c := &ds.Spec.Template.Spec.Containers[i]; c.Name == container {
			c.Image = image
			return apply.Untyped(ds)
		}
	}
	return nil, fmt.Errorf("%s has no container %s", manifests.LoadBalancer, container)
}
