package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// document is what a command prints, for cli-runtime's printers, which print API objects: a map, or
// a list.
type document struct{ value any }

// GetObjectKind names a kind, without which printers refuse an object. It is in no output.
func (d *document) GetObjectKind() schema.ObjectKind {
	u := &unstructured.Unstructured{}
	u.SetKind("Document")
	return u
}

// DeepCopyObject copies it.
func (d *document) DeepCopyObject() runtime.Object {
	return &document{runtime.DeepCopyJSONValue(d.value)}
}

// MarshalJSON writes the value alone.
func (d *document) MarshalJSON() ([]byte, error) { return json.Marshal(d.value) }

// PrintManifests prints objects as YAML, as kubectl apply takes them.
func PrintManifests(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, u := range objects {
		data, err := yaml.Marshal(u.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes one document, indented, where it is JSON whatever -o says.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// WriteTrimmed writes a text without the blanks that a table leaves at the ends
// of its lines.
func WriteTrimmed(w io.Writer, text string) error {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n"))
	return err
}
