package install

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
)

const (
	inventoryPrefix = "addon-"
	inventoryKey    = "inventory.json"
	// componentLabel and componentAddon find the inventories.
	componentLabel = "app.kubernetes.io/component"
	componentAddon = "addon"
)

// State is where an addon stands.
type State string

// The states. In the first and the last there may be a part of it only.
const (
	Installing State = "Installing"
	Installed  State = "Installed"
	Removing   State = "Removing"
)

// Object names an object of an addon.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// String is Kind namespace/name.
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// same tells whether two names are of one object; the version of its API does not matter.
func (o Object) same(p Object) bool {
	a, b := o.empty().GroupVersionKind().GroupKind(), p.empty().GroupVersionKind().GroupKind()
	return a == b && o.Namespace == p.Namespace && o.Name == p.Name
}

// empty is the object with nothing but its name.
func (o Object) empty() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(o.APIVersion)
	u.SetKind(o.Kind)
	u.SetNamespace(o.Namespace)
	u.SetName(o.Name)
	return u
}

func objectOf(u *unstructured.Unstructured) Object {
	return Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
}

// Inventory is what is known of an addon in a cluster.
type Inventory struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Variants []string `json:"variants,omitempty"`
	// For is the addon that brought this one in; empty when a person asked for it.
	For    string   `json:"for,omitempty"`
	Needs  []string `json:"needs,omitempty"`
	Digest string   `json:"digest"`
	State  State    `json:"state"`
	// Objects are all that it made, in the order in which they were applied.
	Objects []Object `json:"objects"`
	// KubeletCertificates: the kubelets take their certificates from the cluster
	// because of it.
	KubeletCertificates bool         `json:"kubeletCertificates,omitempty"`
	Health              addon.Health `json:"health,omitempty"`
}

// union adds objects that are not there yet.
func union(have, more []Object) []Object {
	out := slices.Clone(have)
	for _, o := range more {
		if !slices.ContainsFunc(out, o.same) {
			out = append(out, o)
		}
	}
	return out
}

// without are the objects that are not among others.
func without(have, others []Object) []Object {
	return slices.DeleteFunc(slices.Clone(have), func(o Object) bool { return slices.ContainsFunc(others, o.same) })
}

// Inventories are those of all addons in a cluster, in the order of their names.
func Inventories(ctx context.Context, kube kubernetes.Interface) ([]Inventory, error) {
	list, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: componentLabel + "=" + componentAddon})
	if err != nil {
		return nil, fmt.Errorf("list the addons: %w", err)
	}
	var out []Inventory
	for i := range list.Items {
		inv, err := parse(&list.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *inv)
	}
	slices.SortFunc(out, func(a, b Inventory) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// readInventory is an addon's; nil when it is not installed.
func readInventory(ctx context.Context, kube kubernetes.Interface, name string) (*Inventory, error) {
	config, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Get(ctx, inventoryPrefix+name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read what the addon %s made: %w", name, err)
	}
	return parse(config)
}

func parse(config *corev1.ConfigMap) (*Inventory, error) {
	inv := &Inventory{}
	if err := json.Unmarshal([]byte(config.Data[inventoryKey]), inv); err != nil {
		return nil, fmt.Errorf("configmap %s/%s does not say what an addon made: %w", config.Namespace, config.Name, err)
	}
	return inv, nil
}

// writeInventory writes it down, whatever was there.
func writeInventory(ctx context.Context, kube kubernetes.Interface, inv *Inventory) error {
	document, err := json.Marshal(inv)
	if err != nil {
		return err
	}
	api := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace)
	have, err := api.Get(ctx, inventoryPrefix+inv.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: inventoryPrefix + inv.Name,
				Labels: map[string]string{"app.kubernetes.io/name": "kubectl-ha", componentLabel: componentAddon}},
			Data: map[string]string{inventoryKey: string(document)},
		}, metav1.CreateOptions{})
	} else if err == nil && have.Data[inventoryKey] != string(document) {
		have.Data = map[string]string{inventoryKey: string(document)}
		_, err = api.Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write down what the addon %s makes: %w", inv.Name, err)
	}
	return nil
}

func removeInventory(ctx context.Context, kube kubernetes.Interface, name string) error {
	err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Delete(ctx, inventoryPrefix+name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("forget the addon %s: %w", name, err)
	}
	return nil
}
