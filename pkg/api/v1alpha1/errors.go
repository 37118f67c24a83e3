package v1alpha1

import (
	"fmt"
	"strings"
)

// +kubebuilder:object:generate=false

// FieldError is one thing that is wrong with a Cluster, and what to do about it.
type FieldError struct {
	// File is the file's path as the user gave it; empty when there is no file.
	File string `json:"file,omitempty"`
	// Line is the line in File, counted from 1; 0 when unknown.
	Line int `json:"line,omitempty"`
	// Path is the field, such as spec.hosts[1].address; empty for the whole document.
	Path string `json:"path,omitempty"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
}

// Error is the whole sentence: cluster.yaml:12: spec.virtualIP: is not an IP address.
func (e FieldError) Error() string {
	var b strings.Builder
	b.WriteString(position(e.File, e.Line))
	// A message about an unknown field names the field by itself.
	if e.Path != "" && !strings.HasPrefix(e.Message, unknownField) {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

const unknownField = "unknown field "

func position(file string, line int) string {
	switch {
	case file != "" && line > 0:
		return fmt.Sprintf("%s:%d: ", file, line)
	case file != "":
		return file + ": "
	case line > 0:
		return fmt.Sprintf("line %d: ", line)
	default:
		return ""
	}
}

// +kubebuilder:object:generate=false

// FieldErrors are all that is wrong, in the order of the document.
type FieldErrors []FieldError

// Error has one line per error.
func (l FieldErrors) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there are none.
func (l FieldErrors) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// +kubebuilder:object:generate=false

// FieldWarning is something legal that the user had better know.
type FieldWarning struct {
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// String is the whole sentence.
func (w FieldWarning) String() string {
	if w.Path == "" {
		return w.Message
	}
	return w.Path + ": " + w.Message
}
