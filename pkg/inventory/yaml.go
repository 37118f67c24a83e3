package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// Ansible reads YAML 1.1 with PyYAML: other words are booleans and other digits
// numbers than in YAML 1.2, the last of equal keys counts, and it has tags of
// its own. So the nodes are yamldoc's, and what they mean is told here.
// https://yaml.org/type/

const (
	// maxNodes bounds what is visited of one document, aliases expanded.
	maxNodes = 100_000
	// maxNesting bounds the nesting.
	maxNesting = 64
)

// yamlReader turns the nodes of one document into values.
type yamlReader struct {
	visited int
	// twice are keys that stand in one mapping more than once, with the last line.
	twice []string
}

// yamlNode parses a document of YAML or JSON; the node is nil when it is empty.
// Tabs indent JSON, but not YAML.
func yamlNode(data []byte) (*yaml.Node, error) {
	if json.Valid(data) && bytes.ContainsRune(data, '\t') {
		var flat bytes.Buffer
		if err := json.Compact(&flat, data); err != nil {
			return nil, err
		}
		data = flat.Bytes()
	}
	root, problem := yamldoc.Parse(data)
	if problem != nil {
		return nil, lineError{problem.Line, errors.New(problem.Message)}
	}
	return root, nil
}

// lineError is an error with its line, which the file's name goes before.
type lineError struct {
	line int
	err  error
}

func (e lineError) Error() string { return fmt.Sprintf("%d: %v", e.line, e.err) }
func (e lineError) Unwrap() error { return e.err }

func failAt(n *yaml.Node, format string, args ...any) error {
	return lineError{n.Line, fmt.Errorf(format, args...)}
}

// in names the file of an error.
func in(file string, err error) error {
	var at lineError
	if errors.As(err, &at) && at.line > 0 {
		return fmt.Errorf("%s:%d: %w", file, at.line, at.err)
	}
	if errors.As(err, &at) {
		return fmt.Errorf("%s: %w", file, at.err)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// entry is a key of a mapping with its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// visit counts a node and follows an alias.
func (r *yamlReader) visit(n *yaml.Node, depth int) (*yaml.Node, error) {
	if r.visited++; r.visited > maxNodes || depth > maxNesting {
		return nil, failAt(n, "the document is too large once its aliases are expanded, or nested too deep")
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias, nil
	}
	return n, nil
}

// entries returns a mapping's keys in the order in which they first appear, each
// with its last value; what << merges in comes first and counts least.
func (r *yamlReader) entries(n *yaml.Node, depth int) ([]entry, error) {
	n, err := r.visit(n, depth)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.MappingNode {
		return nil, failAt(n, "expected names with values (name: value)")
	}
	var merged, own []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			more, err := r.merge(value, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if key, err = r.visit(key, depth+1); err != nil {
			return nil, err
		}
		if key.Kind != yaml.ScalarNode {
			return nil, failAt(key, "a name must be a single value")
		}
		own = append(own, entry{key.Value, key, value})
	}
	r.tellTwice(own)
	seen := map[string]int{}
	var out []entry
	for _, e := range append(merged, own...) {
		if at, again := seen[e.name]; again {
			out[at] = e
			continue
		}
		seen[e.name] = len(out)
		out = append(out, e)
	}
	return out, nil
}

func (r *yamlReader) tellTwice(entries []entry) {
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.name] && len(r.twice) < maxErrors {
			r.twice = append(r.twice, fmt.Sprintf("line %d: %.60s is given twice, the last value counts", e.key.Line, e.name))
		}
		seen[e.name] = true
	}
}

// merge returns what a merge key names, a mapping or a list of them, the
// strongest last: of a list that is the first.
func (r *yamlReader) merge(n *yaml.Node, depth int) ([]entry, error) {
	n, err := r.visit(n, depth)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.SequenceNode {
		return r.entries(n, depth)
	}
	var out []entry
	for i := len(n.Content) - 1; i >= 0; i-- {
		more, err := r.entries(n.Content[i], depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// value reads a node of any kind.
func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	n, err := r.visit(n, depth)
	if err != nil {
		return nil, err
	}
	switch n.Kind {
	case yaml.MappingNode:
		entries, err := r.entries(n, depth)
		if err != nil {
			return nil, err
		}
		out := map[string]any{}
		for _, e := range entries {
			if out[e.name], err = r.value(e.value, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			value, err := r.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, value)
		}
		return out, nil
	default:
		return scalarNode(n)
	}
}

// The implicit types of YAML 1.1, as PyYAML finds them.
var (
	yamlBool  = regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)
	yamlNull  = regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)
	yamlInt   = regexp.MustCompile(`^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)$`)
	yamlFloat = regexp.MustCompile(`^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)$`)
)

func scalarNode(n *yaml.Node) (any, error) {
	if n.Style&yaml.TaggedStyle == 0 {
		if n.Style != 0 {
			return n.Value, nil // quoted, or a block of text
		}
		return plain(n.Value), nil
	}
	switch tag := n.ShortTag(); tag {
	case "!!str":
		return n.Value, nil
	case "!!int", "!!float", "!!bool", "!!null":
		return plain(n.Value), nil
	case "!unsafe":
		return literal(n.Value), nil
	case "!vault", "!vault-encrypted":
		return vaulted(n.Value), nil
	default:
		return nil, failAt(n, "has a value of the kind %.40s, which is not supported", tag)
	}
}

// plain reads text without quotes. Dates stay text.
func plain(s string) any {
	switch {
	case yamlNull.MatchString(s):
		return nil
	case yamlBool.MatchString(s):
		on, _ := boolean(s)
		return on
	case yamlInt.MatchString(s):
		if i, err := sexagesimal(strings.ReplaceAll(s, "_", "")); err == nil {
			return i
		}
	case yamlFloat.MatchString(s) && !strings.Contains(s, ":"):
		if f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64); err == nil && !math.IsInf(f, 0) {
			return f
		}
	}
	return s
}

// sexagesimal reads a whole number, of which 1:30 is 90.
func sexagesimal(s string) (int64, error) {
	var total int64
	parts := strings.Split(strings.TrimLeft(s, "+-"), ":")
	for _, part := range parts {
		base := 10
		if len(parts) == 1 {
			base = 0 // 0b, 0x and a leading zero count
		}
		i, err := strconv.ParseInt(part, base, 64)
		if err != nil || total > math.MaxInt64/60-60 && len(parts) > 1 {
			return 0, errors.New("out of range")
		}
		total = total*60 + i
	}
	if s[0] == '-' {
		total = -total
	}
	return total, nil
}
