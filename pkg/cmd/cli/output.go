package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
)

// The formats of -o.
const (
	OutputText = "text"
	OutputJSON = "json"
	OutputYAML = "yaml"
)

// CheckOutput refuses a format that is neither text nor json nor one of more.
func CheckOutput(format string, more ...string) error {
	known := append([]string{"", OutputText, OutputJSON}, more...)
	for _, k := range known {
		if format == k {
			return nil
		}
	}
	return action.Invalidf("unknown output format -o %s; use one of %v", format, known[1:])
}

// WriteJSON writes one document for people and programs.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// WriteJSONLine writes one document on one line, beside events.
func WriteJSONLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

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
