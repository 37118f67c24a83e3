package yamldoc

import (
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// describe names a node's kind for people.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields (name: value)"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + shorten(n.Value)
	case "!!bool":
		return "the boolean " + shorten(n.Value)
	default:
		return "the text " + strconv.Quote(shorten(n.Value))
	}
}

func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// oldBools are YAML 1.1's other booleans, which Kubernetes' readers accept when
// they are not quoted.
// https://yaml.org/type/bool.html
func oldBool(s string) (value, ok bool) {
	switch s {
	case "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

// scalar reads a single value of a known type. Text must be text: a number
// where text belongs would lose digits (1.30 is 1.3) and is a problem.
func (w *walker) scalar(n *yaml.Node, t reflect.Type, path string) any {
	if n.Kind != yaml.ScalarNode {
		w.fail(n, path, "expected %s, found %s", kindName(t), describe(n))
		return nil
	}
	tag := n.ShortTag()
	switch t.Kind() {
	case reflect.String:
		if tag == "!!str" || tag == "!!timestamp" {
			return n.Value
		}
		if tag == "!!int" || tag == "!!float" || tag == "!!bool" {
			w.fail(n, path, "expected text, found %s; put it in quotes", describe(n))
			return nil
		}
	case reflect.Bool:
		var b bool
		if tag == "!!bool" && n.Decode(&b) == nil {
			return b
		}
		if b, ok := oldBool(n.Value); ok && n.Style == 0 {
			return b
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		if tag == "!!int" && n.Decode(&i) == nil {
			if bits := t.Bits(); bits < 64 && (i >= 1<<(bits-1) || i < -1<<(bits-1)) {
				w.fail(n, path, "the number %s is out of range", shorten(n.Value))
				return nil
			}
			return i
		}
	}
	w.fail(n, path, "expected %s, found %s", kindName(t), describe(n))
	return nil
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// looseScalar reads a value of whatever type it has, as Kubernetes' own readers
// do (dates are text; yes, no, on and off are booleans).
func (w *walker) looseScalar(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str":
		if b, ok := oldBool(n.Value); ok && n.Style == 0 {
			return b
		}
		return n.Value
	case "!!timestamp":
		return n.Value
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return i
		}
		return w.float(n, path)
	case "!!float":
		return w.float(n, path)
	}
	w.fail(n, path, "has a value of the kind %s, which is not supported", shorten(n.ShortTag()))
	return nil
}

func (w *walker) float(n *yaml.Node, path string) any {
	var f float64
	if n.Decode(&f) != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		w.fail(n, path, "%s is no usable number", describe(n))
		return nil
	}
	return f
}
