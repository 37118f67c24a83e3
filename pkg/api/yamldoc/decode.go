package yamldoc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
)

// Positions are the lines of a document's fields, by path.
type Positions map[string]int

// Line returns the line of the field, or of the nearest field above it that is
// in the document; 0 when there is none.
func (p Positions) Line(path string) int {
	for {
		if line, ok := p[path]; ok {
			return line
		}
		cut := lastBoundary(path)
		if cut < 0 {
			return p[""]
		}
		path = path[:cut]
	}
}

// lastBoundary is where the last element of a path begins.
func lastBoundary(path string) int {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return i
		}
	}
	return -1
}

// Decode reads the one document in data into the value that into points at,
// strictly, by its json tags. With problems, into is left as it was.
//
// Types known: structs (also inlined ones), pointers, slices, maps with string
// keys, strings, booleans, integers and any. An integer within any becomes an int64.
func Decode(data []byte, into any) (Positions, []Problem) {
	root, problem := Parse(data)
	if problem != nil {
		return nil, []Problem{*problem}
	}
	w := &walker{lines: Positions{}, active: map[*yaml.Node]bool{}}
	var value any = map[string]any{}
	if root != nil {
		value = w.walk(root, reflect.TypeOf(into).Elem(), "")
	}
	if len(w.problems) > 0 {
		return w.lines, w.problems
	}
	asJSON, err := json.Marshal(value)
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(asJSON, into)
	}
	if err != nil {
		return w.lines, []Problem{{Message: err.Error()}}
	}
	return w.lines, nil
}

// Values reads a document whose top is a mapping, without a Go type. What could
// be read is returned along with the problems; a value with a problem is nil.
// The values are nil when the document itself can't be read.
func Values(data []byte) (map[string]any, Positions, []Problem) {
	root, problem := Parse(data)
	if problem != nil {
		return nil, nil, []Problem{*problem}
	}
	w := &walker{lines: Positions{}, active: map[*yaml.Node]bool{}}
	if root == nil {
		return map[string]any{}, w.lines, nil
	}
	values, _ := w.walk(root, reflect.TypeFor[map[string]any](), "").(map[string]any)
	return values, w.lines, w.problems
}

// walker turns a node tree into plain values, comparing it with a Go type.
type walker struct {
	problems []Problem
	lines    Positions
	visited  int
	depth    int
	stopped  bool
	// active holds the aliased nodes that are being expanded.
	active map[*yaml.Node]bool
}

func (w *walker) fail(n *yaml.Node, path, format string, args ...any) {
	w.add(Problem{Line: n.Line, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (w *walker) add(p Problem) {
	if w.stopped = w.stopped || len(w.problems) >= maxProblems; !w.stopped {
		w.problems = append(w.problems, p)
	}
}

// mark records a field's line.
func (w *walker) mark(path string, line int) {
	if w.depth <= maxPositionDepth {
		w.lines[path] = line
	}
}

// stop ends the walk: going on would cost too much.
func (w *walker) stop(n *yaml.Node, path, format string, args ...any) {
	w.fail(n, path, format, args...)
	w.stopped = true
}

// enter counts a node and follows aliases; the returned function leaves it.
func (w *walker) enter(n *yaml.Node, path string) (*yaml.Node, func(), bool) {
	leave := func() { w.depth-- }
	w.visited++
	w.depth++
	switch {
	case w.stopped:
		return n, leave, false
	case w.visited > maxNodes:
		w.stop(n, path, "the document has more than %d values once its aliases are expanded", maxNodes)
		return n, leave, false
	case w.depth > maxDepth:
		w.stop(n, path, "nested deeper than %d levels", maxDepth)
		return n, leave, false
	}
	if n.Kind != yaml.AliasNode {
		return n, leave, true
	}
	target := n.Alias
	if w.active[target] {
		w.stop(n, path, "the alias *%s contains itself", n.Value)
		return n, leave, false
	}
	w.active[target] = true
	return target, func() { w.depth--; delete(w.active, target) }, true
}

func (w *walker) walk(n *yaml.Node, t reflect.Type, path string) any {
	line := n.Line
	n, leave, ok := w.enter(n, path)
	defer leave()
	if !ok {
		return nil
	}
	w.mark(path, line)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return w.structure(n, t, path)
	case reflect.Map:
		return w.mapping(n, t.Elem(), path)
	case reflect.Slice:
		return w.sequence(n, t.Elem(), path)
	case reflect.Interface:
		return w.anything(n, t, path)
	default:
		return w.scalar(n, t, path)
	}
}

func (w *walker) structure(n *yaml.Node, t reflect.Type, path string) any {
	if n.Kind != yaml.MappingNode {
		w.fail(n, path, "expected fields (name: value), found %s", describe(n))
		return nil
	}
	known := fields(t)
	out := map[string]any{}
	for _, p := range w.pairs(n, path) {
		at := join(path, p.key.Value)
		field, ok := known[p.key.Value]
		if !ok {
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			w.add(Problem{Line: p.key.Line, Path: at, Message: "unknown field",
				Unknown: true, Nearest: nearestSorted(p.key.Value, names)})
			continue
		}
		if v := w.walk(p.value, field, at); v != nil {
			out[p.key.Value] = v
		}
		w.mark(at, p.key.Line)
	}
	return out
}

func (w *walker) mapping(n *yaml.Node, elem reflect.Type, path string) any {
	if n.Kind != yaml.MappingNode {
		w.fail(n, path, "expected names with values (name: value), found %s", describe(n))
		return nil
	}
	out := map[string]any{}
	for _, p := range w.pairs(n, path) {
		at := join(path, p.key.Value)
		v := w.walk(p.value, elem, at)
		if v == nil && elem.Kind() != reflect.Interface {
			w.fail(p.key, at, "has no value")
			continue
		}
		out[p.key.Value] = v
		w.mark(at, p.key.Line)
	}
	return out
}

func (w *walker) sequence(n *yaml.Node, elem reflect.Type, path string) any {
	if n.Kind != yaml.SequenceNode {
		w.fail(n, path, "expected a list (- value), found %s", describe(n))
		return nil
	}
	out := make([]any, 0, len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		before := len(w.problems)
		v := w.walk(item, elem, at)
		if v == nil && elem.Kind() != reflect.Interface && len(w.problems) == before {
			w.fail(item, at, "is empty")
		}
		out = append(out, v)
	}
	return out
}

func (w *walker) anything(n *yaml.Node, t reflect.Type, path string) any {
	switch n.Kind {
	case yaml.MappingNode:
		return w.mapping(n, t, path)
	case yaml.SequenceNode:
		return w.sequence(n, t, path)
	default:
		return w.looseScalar(n, path)
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join appends a key to a path, in brackets when it would read as several.
func join(path, key string) string {
	if len(key) > 64 {
		key = strings.ToValidUTF8(key[:64], "") + "…"
	}
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + key + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}
