package policy

import (
	"encoding/json"
	"fmt"

	"github.com/distribution/reference"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

// Name is the policy's, and that of its binding.
const Name = "ha-coordinator"

// The variables of the policy that are made from manifests.
const (
	varContainers = "containers"
	varVolumes    = "volumes"
	varAccounts   = "accounts"
	varRoles      = "roles"
)

// Objects are the policy and its binding, in the order in which they are applied.
func Objects() ([]*unstructured.Unstructured, error) {
	p, b, err := typed()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, object := range []any{p, b} {
		u, err := apply.Untyped(object)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func typed() (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding, error) {
	objects, err := apply.Load(manifests.FS, manifests.CoordinatorPolicy)
	if err != nil {
		return nil, nil, err
	}
	if len(objects) != 2 {
		return nil, nil, fmt.Errorf("%s has %d documents instead of two", manifests.CoordinatorPolicy, len(objects))
	}
	p, b := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	if err := apply.Typed(objects[0], p); err != nil {
		return nil, nil, err
	}
	if err := apply.Typed(objects[1], b); err != nil {
		return nil, nil, err
	}
	values, err := variables()
	if err != nil {
		return nil, nil, err
	}
	for i := range p.Spec.Variables {
		v := &p.Spec.Variables[i]
		value, ours := values[v.Name]
		if !ours {
			continue
		}
		// Strings, lists and maps are written in CEL as they are in JSON.
		// https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
		text, err := json.Marshal(value)
		if err != nil {
			return nil, nil, fmt.Errorf("the policy's variable %s: %w", v.Name, err)
		}
		v.Expression = string(text)
		delete(values, v.Name)
	}
	if len(values) > 0 {
		return nil, nil, fmt.Errorf("%s lacks variables: %v", manifests.CoordinatorPolicy, values)
	}
	return p, b, nil
}

// shapes are what the coordinator may make that runs pods, by what the policy calls them.
type shapes struct {
	containers map[string][][][]string
	volumes    map[string][]string
	accounts   map[string]string
	roles      map[string][]string
}

func variables() (map[string]any, error) {
	s := shapes{map[string][][][]string{}, map[string][]string{}, map[string]string{}, map[string][]string{}}
	for _, file := range []string{manifests.NodeJob, manifests.LoadBalancer, manifests.Flannel} {
		objects, err := apply.Load(manifests.FS, file)
		if err != nil {
			return nil, err
		}
		for _, u := range objects {
			if err := s.add(u); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return map[string]any{varContainers: s.containers, varVolumes: s.volumes, varAccounts: s.accounts, varRoles: s.roles}, nil
}

// add takes up what a manifest has that the policy bounds.
func (s *shapes) add(u *unstructured.Unstructured) error {
	switch u.GetKind() {
	case "Job":
		j := &batchv1.Job{}
		if err := apply.Typed(u, j); err != nil {
			return err
		}
		return s.pod(j.Namespace+" jobs", j.Spec.Template.Spec, agentImages())
	case "DaemonSet":
		ds := &appsv1.DaemonSet{}
		if err := apply.Typed(u, ds); err != nil {
			return err
		}
		var images []string
		if ds.Namespace == v1alpha1.SystemNamespace {
			// The load balancer's image is the operator's choice. It is no root, and has nothing of
			// its host but the agent's file, to read.
			images = []string{""}
		}
		return s.pod(ds.Namespace+" daemonsets "+ds.Name, ds.Spec.Template.Spec, images)
	case "ClusterRole":
		r := &rbacv1.ClusterRole{}
		if err := apply.Typed(u, r); err != nil {
			return err
		}
		for _, rule := range r.Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					s.roles[r.Name] = append(s.roles[r.Name], resource+" "+verb)
				}
			}
		}
	}
	return nil
}

// agentImages are how the names of the agent's image begin. An earlier version's carries out
// the Operation that brings this one's.
func agentImages() []string {
	var out []string
	for _, r := range []string{bundle.AgentRepository, bundle.FormerAgentRepository} {
		out = append(out, r+":", r+"@")
	}
	return out
}

// pod takes up a pod's containers and volumes. images are the beginnings of images' names; nil:
// the containers' own, of any version.
func (s *shapes) pod(what string, pod corev1.PodSpec, images []string) error {
	s.accounts[what] = pod.ServiceAccountName
	s.volumes[what] = []string{}
	for _, v := range pod.Volumes {
		s.volumes[what] = append(s.volumes[what], v.Name+":"+source(v.VolumeSource))
	}
	for _, c := range append(append([]corev1.Container{}, pod.InitContainers...), pod.Containers...) {
		from := images
		if from == nil {
			named, err := reference.ParseNormalizedNamed(c.Image)
			if err != nil {
				return fmt.Errorf("container %s: %w", c.Name, err)
			}
			from = []string{named.Name() + ":"}
		}
		mounts, names := []string{}, []string{}
		for _, m := range c.VolumeMounts {
			text := m.Name + ":" + m.MountPath
			if m.ReadOnly {
				text += ":ro"
			}
			mounts = append(mounts, text)
		}
		for _, e := range c.Env {
			names = append(names, e.Name)
		}
		s.containers[what] = append(s.containers[what], [][]string{{c.Name}, from, list(c.Command), list(c.Args), mounts, names})
	}
	return nil
}

// list is never nil: null is no list.
func list(of []string) []string { return append([]string{}, of...) }

// source is how the policy calls a volume's source.
func source(v corev1.VolumeSource) string {
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path
	case v.ConfigMap != nil:
		return "configMap " + v.ConfigMap.Name
	case v.EmptyDir != nil:
		return "emptyDir"
	case v.Secret != nil:
		return "its secret"
	}
	return "unknown"
}
