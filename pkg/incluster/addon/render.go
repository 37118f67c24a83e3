package addon

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

// Label is on every object of an addon, with its name.
const Label = v1alpha1.Group + "/addon"

// Render makes the addon's objects for one cluster, in the order in which they
// are applied: with tags on the images, the settings made, and the label.
func (a *Addon) Render(facts Facts, variants []string) ([]*unstructured.Unstructured, error) {
	if err := a.CheckVariants(variants); err != nil {
		return nil, err
	}
	objects, err := a.decode(variants)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, s := range a.Descriptor.Settings {
		errs = append(errs, a.set(objects, s, facts))
	}
	for _, u := range objects {
		errs = append(errs, a.tag(u, facts))
		labels := u.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[Label] = a.Descriptor.Name
		u.SetLabels(labels)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("addon %s: %w", a.Descriptor.Name, err)
	}
	slices.SortStableFunc(objects, func(x, y *unstructured.Unstructured) int { return cmp.Compare(rank(x), rank(y)) })
	return objects, nil
}

// decode reads the manifests; no two may be the same object.
func (a *Addon) decode(variants []string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	seen := map[string]bool{}
	add := func(content []byte, source string) error {
		objects, err := apply.Decode(content, "addon "+a.Descriptor.Name+": "+source)
		if err != nil {
			return err
		}
		for _, u := range objects {
			key := u.GroupVersionKind().GroupKind().String() + " " + u.GetNamespace() + "/" + u.GetName()
			if seen[key] {
				return fmt.Errorf("addon %s: %s: %s %s is there twice", a.Descriptor.Name, source, u.GetKind(), u.GetName())
			}
			seen[key] = true
		}
		out = append(out, objects...)
		return nil
	}
	for _, name := range a.chosen(variants) {
		if err := add(a.Files[name], name); err != nil {
			return nil, err
		}
	}
	for _, f := range a.Descriptor.Files {
		content, ok := a.Fetched[f.SHA256]
		if !ok {
			return nil, fmt.Errorf("addon %s: %s was not fetched", a.Descriptor.Name, f.URL)
		}
		if err := add(content, f.URL); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// set makes one setting. An object of a variant that was not asked for is not there.
func (a *Addon) set(objects []*unstructured.Unstructured, s Setting, facts Facts) error {
	value, err := facts.value(s.Value)
	if err != nil {
		return err
	}
	found := false
	for _, u := range objects {
		if u.GetKind() != s.Kind || u.GetName() != s.Name || s.Namespace != "" && u.GetNamespace() != s.Namespace {
			continue
		}
		found = true
		if err := setField(u.Object, s.Path, value); err != nil {
			return fmt.Errorf("%s %s: %s: %w", s.Kind, s.Name, strings.Join(s.Path, "."), err)
		}
	}
	if !found && len(a.Descriptor.Variants) == 0 {
		return fmt.Errorf("a setting is for %s %s, which no manifest has", s.Kind, s.Name)
	}
	return nil
}

// setField sets a field; what leads to it must be there, the field itself need not.
func setField(at any, path []string, value any) error {
	head, rest := path[0], path[1:]
	switch node := at.(type) {
	case map[string]any:
		if len(rest) == 0 {
			node[head] = value
			return nil
		}
		if node[head] == nil {
			return fmt.Errorf("there is no %s", head)
		}
		return setField(node[head], rest, value)
	case []any:
		i, err := strconv.Atoi(head)
		if err != nil || i < 0 || i >= len(node) {
			return fmt.Errorf("%q is no index of a list of %d", head, len(node))
		}
		if len(rest) == 0 {
			node[i] = value
			return nil
		}
		return setField(node[i], rest, value)
	}
	return fmt.Errorf("%s is in neither an object nor a list", head)
}

// tag puts the tags on the images of an object's containers. An image that the
// descriptor does not list would be in no bundle.
func (a *Addon) tag(u *unstructured.Unstructured, facts Facts) error {
	if u.GetKind() == "CustomResourceDefinition" {
		return nil // Its schema looks like pods, and is none.
	}
	return containers(u.Object, func(c map[string]any) error {
		image, ok := c["image"].(string)
		if !ok {
			return fmt.Errorf("%s %s: a container has no image", u.GetKind(), u.GetName())
		}
		if facts.AgentImage != "" && image == facts.AgentImage {
			return nil
		}
		if tag, ok := a.Descriptor.Images[image]; ok {
			c["image"] = image + ":" + tag
			return nil
		}
		if i := strings.LastIndex(image, ":"); i > 0 && a.Descriptor.Images[image[:i]] == image[i+1:] {
			return nil
		}
		return fmt.Errorf("%s %s: the image %s is none of those that are listed: %s", u.GetKind(), u.GetName(), image, strings.Join(a.Images(), ", "))
	})
}

// containers calls do for every container in what an object says.
func containers(at any, do func(map[string]any) error) error {
	var errs []error
	switch node := at.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			list, isList := node[key].([]any)
			if !isList || key != "containers" && key != "initContainers" {
				errs = append(errs, containers(node[key], do))
				continue
			}
			for _, item := range list {
				if c, ok := item.(map[string]any); ok {
					errs = append(errs, do(c))
				}
			}
		}
	case []any:
		for _, item := range node {
			errs = append(errs, containers(item, do))
		}
	}
	return errors.Join(errs...)
}

// rank orders objects so that each finds what it refers to; what makes others
// fail while it is not yet served (webhooks, aggregated APIs) comes last.
func rank(u *unstructured.Unstructured) int {
	order := []string{"Namespace", "CustomResourceDefinition", "PriorityClass", "ServiceAccount", "ClusterRole", "ClusterRoleBinding",
		"Role", "RoleBinding", "ConfigMap", "Secret", "PersistentVolumeClaim", "Service"}
	if i := slices.Index(order, u.GetKind()); i >= 0 {
		return i
	}
	last := []string{"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
	if slices.Contains(last, u.GetKind()) {
		return len(order) + 1
	}
	return len(order)
}
