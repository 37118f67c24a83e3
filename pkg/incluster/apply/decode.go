package apply

import (
	"errors"
	"fmt"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/manifest"
)

// Decode reads YAML or JSON documents as package manifest does. Empty documents are
// left out, and a List is taken apart. The source names the documents in errors.
func Decode(data []byte, source string) ([]*unstructured.Unstructured, error) {
	documents, err := manifest.Documents(data, source)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for i, object := range documents {
		items, err := expand(&unstructured.Unstructured{Object: object})
		if err != nil {
			return nil, fmt.Errorf("%s: object %d: %w", source, i+1, err)
		}
		out = append(out, items...)
	}
	return out, nil
}

func expand(u *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if u.IsList() {
		var out []*unstructured.Unstructured
		err := u.EachListItem(func(item runtime.Object) error {
			one, ok := item.(*unstructured.Unstructured)
			if !ok {
				return fmt.Errorf("an item of the list is a %T", item)
			}
			inner, err := expand(one)
			out = append(out, inner...)
			return err
		})
		return out, err
	}
	if u.GetAPIVersion() == "" || u.GetKind() == "" || u.GetName() == "" {
		return nil, errors.New("an object needs apiVersion, kind and metadata.name")
	}
	return []*unstructured.Unstructured{u}, nil
}

// Load decodes a document of an embedded file system.
func Load(fsys fs.FS, name string) ([]*unstructured.Unstructured, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read the embedded manifest: %w", err)
	}
	return Decode(data, name)
}

// LoadTyped decodes the only document of an embedded file into a typed object,
// strictly: a field that the type does not know is an error.
func LoadTyped(fsys fs.FS, name string, into any) error {
	objects, err := Load(fsys, name)
	if err != nil {
		return err
	}
	if len(objects) != 1 {
		return fmt.Errorf("%s has %d documents instead of one", name, len(objects))
	}
	return Typed(objects[0], into)
}

// Typed converts an object into a typed one, strictly.
func Typed(u *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, into, true); err != nil {
		return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// Untyped converts a typed object with its apiVersion and kind set. A status
// and an empty creation time are left out, since nobody applies those.
func Untyped(object any) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert %T: %w", object, err)
	}
	u := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u, nil
}
