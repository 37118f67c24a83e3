// Package kubeadmconfig reads and changes the ClusterConfiguration that kubeadm keeps in
// the cluster. Control planes that join or are upgraded take theirs from it.
// https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/#save-the-kubeadm-clusterconfiguration-in-a-configmap-for-later-reference
package kubeadmconfig

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

const (
	name = "kubeadm-config"
	key  = "ClusterConfiguration"

	// Path is how messages name it.
	Path = metav1.NamespaceSystem + "/" + name
)

// Fields are those of a ClusterConfiguration, with all that this program does not know.
type Fields map[string]any

// Object is the map in a field, which is put there when there is none.
func (f Fields) Object(field string) Fields {
	o, _ := f[field].(map[string]any)
	if o == nil {
		o = map[string]any{}
		f[field] = o
	}
	return o
}

// Texts are the strings of a list in a field; nil for none.
func (f Fields) Texts(field string) []string {
	all, _ := f[field].([]any)
	var out []string
	for _, x := range all {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Read decodes the ClusterConfiguration into a struct that has the fields of interest.
// The error of a cluster that kubeadm has not made is the API's NotFound.
func Read(ctx context.Context, kube kubernetes.Interface, into any) error {
	m, err := get(ctx, kube)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal([]byte(m.Data[key]), into); err != nil {
		return fmt.Errorf("%s: the ClusterConfiguration can't be read: %w", Path, err)
	}
	return nil
}

// Change writes what edit makes of the ClusterConfiguration, unless edit says that it
// is as it should be already. A change by somebody else at the same time is the API's
// Conflict.
func Change(ctx context.Context, kube kubernetes.Interface, edit func(Fields) (changed bool, err error)) (bool, error) {
	m, err := get(ctx, kube)
	if err != nil {
		return false, err
	}
	text, changed, err := Edit(m.Data[key], edit)
	if err != nil || !changed {
		return false, err
	}
	m.Data[key] = text
	if _, err := kube.CoreV1().ConfigMaps(m.Namespace).Update(ctx, m, metav1.UpdateOptions{FieldManager: apply.FieldManager}); err != nil {
		return false, fmt.Errorf("write %s: %w", Path, err)
	}
	return true, nil
}

// Edit is what Change does to the text: it leaves alone what edit does. It is pure.
func Edit(text string, edit func(Fields) (changed bool, err error)) (string, bool, error) {
	fields := Fields{}
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		return "", false, fmt.Errorf("%s: the ClusterConfiguration can't be read: %w", Path, err)
	}
	if len(fields) == 0 {
		return "", false, fmt.Errorf("%s has no ClusterConfiguration", Path)
	}
	changed, err := edit(fields)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", Path, err)
	}
	if !changed {
		return text, false, nil
	}
	out, err := yaml.Marshal(fields)
	return string(out), true, err
}

func get(ctx context.Context, kube kubernetes.Interface) (*corev1.ConfigMap, error) {
	m, err := kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Path, err)
	}
	return m, nil
}
