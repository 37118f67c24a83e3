// Package manifest reads Kubernetes manifests: the one reader of whatever is
// applied, or is looked at before kubectl applies it. It reads what kubectl reads,
// by the same library, since other YAML libraries take the same text otherwise:
// a merge key (<<) behind a field replaces it here and yields to it by YAML's own
// rule, and each document has anchors of its own.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// readBuffer is how much of the text is looked at to tell YAML from JSON, in bytes.
const readBuffer = 4096

// Documents reads YAML or JSON documents, one map for each that is not empty, in
// their order. Of a key that a document has twice the last one counts, as for
// kubectl. An error names the source and counts documents from 1, empty ones too.
func Documents(data []byte, source string) ([]map[string]any, error) {
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), readBuffer)
	var out []map[string]any
	for i := 1; ; i++ {
		object := map[string]any{}
		if err := d.Decode(&object); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: document %d is neither YAML nor JSON: %w", source, i, err)
		}
		if len(object) > 0 {
			out = append(out, object)
		}
	}
}
