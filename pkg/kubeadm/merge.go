package kubeadm

import (
	"fmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// object is a document or a part of one.
type object = map[string]any

// layers merges one over the other, the first lowest. Maps are merged key by
// key; argument lists (extraArgs, kubeletExtraArgs) by the arguments' names, the
// later list's replacing all of that name; other lists and scalars replace.
// Nothing in the result is shared with a layer. The error names the place where
// a layer would replace a map of a lower one by something else.
func layers(where string, all ...object) (object, error) {
	out := object{}
	for _, layer := range all {
		if err := mergeInto(out, layer, where); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func mergeInto(to, from object, where string) error {
	for key, value := range from {
		at := where + "." + key
		below, exists := to[key]
		belowMap, belowIsMap := below.(object)
		valueMap, valueIsMap := value.(object)
		switch {
		case belowIsMap && valueIsMap:
			if err := mergeInto(belowMap, valueMap, at); err != nil {
				return err
			}
		case belowIsMap && exists:
			return fmt.Errorf("%s: expected fields (name: value), found %v", at, value)
		case key == "extraArgs" || key == "kubeletExtraArgs":
			args, err := mergeArgs(below, value, at)
			if err != nil {
				return err
			}
			to[key] = args
		default:
			to[key] = clone(value)
		}
	}
	return nil
}

// mergeArgs merges lists of {name, value}. A name may stand in a list several
// times, which some flags want.
func mergeArgs(below, above any, where string) ([]any, error) {
	lower, upper, err := argLists(below, above, where)
	if err != nil {
		return nil, err
	}
	replaced := map[any]bool{}
	for _, arg := range upper {
		replaced[arg["name"]] = true
	}
	out := []any{}
	for _, arg := range lower {
		if !replaced[arg["name"]] {
			out = append(out, arg)
		}
	}
	for _, arg := range upper {
		out = append(out, arg)
	}
	return out, nil
}

func argLists(below, above any, where string) (lower, upper []object, err error) {
	for _, list := range []struct {
		from any
		to   *[]object
	}{{below, &lower}, {above, &upper}} {
		items, ok := list.from.([]any)
		if !ok && list.from != nil {
			return nil, nil, fmt.Errorf("%s: must be a list of name and value (kubeadm v1beta4)", where)
		}
		for i, item := range items {
			arg, ok := item.(object)
			name, named := arg["name"].(string)
			if !ok || !named || name == "" {
				return nil, nil, fmt.Errorf("%s[%d]: must have a name and a value", where, i)
			}
			*list.to = append(*list.to, clone(arg).(object))
		}
	}
	return lower, upper, nil
}

// clone copies a value as it comes from YAML.
func clone(v any) any {
	switch v := v.(type) {
	case object:
		out := make(object, len(v))
		for key, value := range v {
			out[key] = clone(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = clone(value)
		}
		return out
	default:
		return v
	}
}

// documents writes several documents into one file.
func documents(docs ...object) ([]byte, error) {
	var out []byte
	for i, doc := range docs {
		data, err := yamldoc.Encode(doc)
		if err != nil {
			return nil, fmt.Errorf("write kubeadm's %v: %w", doc["kind"], err)
		}
		if i > 0 {
			out = append(out, "---\n"...)
		}
		out = append(out, data...)
	}
	return out, nil
}

// list makes a YAML list of strings.
func list(items []string) []any {
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}
