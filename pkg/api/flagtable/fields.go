package flagtable

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fields are those of a configuration document: ClusterConfiguration,
// InitConfiguration, JoinConfiguration, KubeletConfiguration, KubeProxyConfiguration.
type Fields struct {
	document string
	entries  entries
}

// FieldsOf are a document's.
func FieldsOf(document string) Fields { return Fields{document, read(fieldLines, document)} }

// FieldProblem is a Problem at a place: the field's path in the document,
// apiServer.extraArgs[0].name.
type FieldProblem struct {
	Path string
	Problem
}

// Check walks through a document, as it comes from YAML, and finds the fields that a
// minor version does not have, and values that can't be what the field takes. What
// is below a field of another package's type is not looked at.
func (f Fields) Check(minor string, document map[string]any) []FieldProblem {
	var out []FieldProblem
	f.walk(minor, "", "", document, func(p FieldProblem) { out = append(out, p) })
	return out
}

// walk has the table's path and the place, which has indices.
func (f Fields) walk(minor, path, place string, object map[string]any, found func(FieldProblem)) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		at, where := joined(path, key), joined(place, key)
		kind, p := f.entries.below(path).lookup(minor, key, f.document, "field")
		if p.Message != "" {
			found(FieldProblem{where, p})
			continue
		}
		value := object[key]
		if want := wrongValue(kind, value); want != "" {
			found(FieldProblem{where, Problem{Message: fmt.Sprintf("%v: must be %s", shown(value), want)}})
			continue
		}
		if len(f.entries.below(at)) == 0 {
			continue
		}
		switch value := value.(type) {
		case map[string]any:
			f.walk(minor, at, where, value, found)
		case []any:
			for i, item := range value {
				if object, ok := item.(map[string]any); ok {
					f.walk(minor, at, fmt.Sprintf("%s[%d]", where, i), object, found)
				}
			}
		}
	}
}

// below are the fields of one object, by their last names.
func (e entries) below(path string) entries {
	out := entries{}
	for name, in := range e {
		parent, last := "", name
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			parent, last = name[:i], name[i+1:]
		}
		if parent == path {
			out[last] = in
		}
	}
	return out
}

func joined(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// wrongValue is the description of what a field takes; empty when the value is that.
// Null is none everywhere.
func wrongValue(kind string, value any) string {
	if value == nil {
		return ""
	}
	ok, want := true, ""
	switch kind {
	case "string":
		_, ok = value.(string)
		want = "text (numbers in quotes)"
	case "duration":
		text, isText := value.(string)
		ok = isText && wrong("duration", text) == ""
		want = "a duration with its unit, such as 20s, 5m or 1h"
	case "bool":
		_, ok = value.(bool)
		want = "true or false"
	case "int":
		want = "a whole number, without quotes"
		switch n := value.(type) {
		case int, int32, int64, uint64:
		case float64:
			ok = n == float64(int64(n))
		default:
			ok = false
		}
	case "list":
		_, ok = value.([]any)
		want = "a list"
	case "map", "object":
		_, ok = value.(map[string]any)
		want = "fields (name: value)"
	}
	if ok {
		return ""
	}
	return want
}

// shown quotes text, and names what is large.
func shown(value any) string {
	switch value := value.(type) {
	case string:
		return fmt.Sprintf("%q", value)
	case map[string]any:
		return "fields"
	case []any:
		return "a list"
	default:
		return fmt.Sprint(value)
	}
}
