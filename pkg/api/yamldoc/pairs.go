package yamldoc

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pair is a key and its value.
type pair struct{ key, value *yaml.Node }

// pairs returns a mapping's keys and values, with merge keys (<<) carried out:
// what the mapping says itself goes before what it merges. A key that stands
// there twice or is no text is a problem.
func (w *walker) pairs(n *yaml.Node, path string) []pair {
	var own, merged []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merged = append(merged, w.merge(value, path)...)
			continue
		}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" {
			w.fail(key, path, "a key must be text, found %s", describe(key))
			continue
		}
		if seen[key.Value] {
			w.fail(key, join(path, key.Value), "is given twice")
			continue
		}
		seen[key.Value] = true
		own = append(own, pair{key, value})
	}
	for _, p := range merged {
		if !seen[p.key.Value] {
			seen[p.key.Value] = true
			own = append(own, p)
		}
	}
	return own
}

// merge returns the pairs of what a merge key names: a mapping or a list of them.
func (w *walker) merge(value *yaml.Node, path string) []pair {
	n, leave, ok := w.enter(value, path)
	defer leave()
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		// Every merged pair costs, also when it is merged in many times over.
		w.visited += len(n.Content)
		return w.pairs(n, path)
	case yaml.SequenceNode:
		var all []pair
		for _, item := range n.Content {
			all = append(all, w.merge(item, path)...)
		}
		return all
	default:
		w.fail(value, path, "<< takes an alias of a mapping, found %s", describe(n))
		return nil
	}
}

// fields maps the json names of a struct to their types, with inlined structs.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for k, v := range fields(f.Type) {
				out[k] = v
			}
		case f.IsExported() && name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}

// nearestSorted makes the answer independent of the order of the names.
func nearestSorted(name string, names []string) string {
	slices.Sort(names)
	return Nearest(name, names)
}
