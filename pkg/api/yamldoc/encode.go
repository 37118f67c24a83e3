package yamldoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Encode writes a value, by its json tags, as one YAML document, two columns to
// a level. apiVersion and kind come first; then struct fields stay in their
// order, map keys are sorted. A string
// that any YAML reader could take for a number, a boolean, a date or null is
// quoted. An error comes only from a value that JSON can't express.
func Encode(v any) ([]byte, error) {
	node, err := toNode(v)
	if err != nil {
		return nil, err
	}
	return write(node)
}

// EncodeClean is Encode without the fields of structs that are empty: no null,
// no "", no empty list or map. What is within a map or a value of type any
// stays as it is.
func EncodeClean(v any) ([]byte, error) {
	node, err := toNode(v)
	if err != nil {
		return nil, err
	}
	prune(node, reflect.TypeOf(v))
	return write(node)
}

func toNode(v any) (*yaml.Node, error) {
	var asJSON bytes.Buffer
	enc := json.NewEncoder(&asJSON)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(&asJSON)
	dec.UseNumber()
	return build(dec)
}

func write(node *yaml.Node) ([]byte, error) {
	typeFirst(node)
	var out bytes.Buffer
	yenc := yaml.NewEncoder(&out)
	yenc.SetIndent(2)
	if err := yenc.Encode(node); err != nil {
		return nil, err
	}
	if err := yenc.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// typeFirst begins a document with apiVersion and kind, as people do.
func typeFirst(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return
	}
	var head, rest []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		pair := n.Content[i : i+2]
		switch pair[0].Value {
		case "apiVersion":
			head = slices.Concat(pair, head)
		case "kind":
			head = append(head, pair...)
		default:
			rest = append(rest, pair...)
		}
	}
	n.Content = append(head, rest...)
}

// prune removes the empty fields of structs.
func prune(n *yaml.Node, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			prune(item, t.Elem())
		}
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		types := fields(t)
		var kept []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			prune(value, types[key.Value])
			if len(value.Content) > 0 || value.Kind == yaml.ScalarNode && value.Value != "" && value.Tag != "!!null" {
				kept = append(kept, key, value)
			}
		}
		n.Content = kept
	}
}

// build makes a node of the next JSON value, keeping the order of the keys.
func build(dec *json.Decoder) (*yaml.Node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case json.Delim:
		return buildCollection(dec, t)
	case string:
		return text(t), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	return nil, fmt.Errorf("unexpected JSON token %v", tok)
}

func buildCollection(dec *json.Decoder, open json.Delim) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if open == '{' {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	for dec.More() {
		child, err := build(dec)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if _, err := dec.Token(); err != nil && err != io.EOF {
		return nil, err
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	return node, nil
}

var (
	// word begins with a letter or a slash, so that it is no number or date.
	word = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@=+-]*(?::[A-Za-z0-9_./@=+-]+)*$`)
	// dotted has two dots or more, as addresses have, so that it is no number.
	dotted = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9_./+-]*(?::[0-9]+)?$`)
	// longHex is a key or a digest: some are floats (12e34), so all are quoted.
	longHex = regexp.MustCompile(`^[0-9a-fA-F]{32,}$`)
	// block is text that a literal block carries unharmed by any reader.
	block = regexp.MustCompile(`^[!-~][\n -~]*[!-~]\n$`)
)

// text makes a node of a string, plain only where nobody can misread it.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
	switch {
	case (word.MatchString(s) || dotted.MatchString(s)) && !reserved(s) && !longHex.MatchString(s):
		n.Style = 0
	case block.MatchString(s) && strings.Count(s, "\n") > 1 && !strings.Contains(s, " \n"):
		n.Style = yaml.LiteralStyle
	}
	return n
}

// reserved tells whether YAML 1.1 or 1.2 gives a meaning to the word.
func reserved(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return true
	}
	return false
}
