package yamldoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxSize is the largest document that is read, in bytes. A Cluster is
	// stored in a ConfigMap, which holds 1 MiB.
	MaxSize = 1 << 20
	// maxNodes bounds how many nodes are visited after the expansion of aliases,
	// against documents that blow up ("billion laughs").
	maxNodes = 100_000
	// maxDepth bounds the nesting.
	maxDepth = 64
	// maxPositionDepth bounds how deep lines are recorded, and so the memory for it.
	maxPositionDepth = 12
	// maxProblems ends the reading: nobody reads more at once.
	maxProblems = 100
)

// Problem is one thing that is wrong in a document.
type Problem struct {
	// Line is where, counted from 1; 0 when unknown.
	Line int
	// Path is the field, such as spec.hosts[1].adress; empty for the document.
	Path string
	// Message says what is wrong.
	Message string
	// Unknown is set for a field that does not exist.
	Unknown bool
	// Nearest is the known name nearest to an unknown field's, or empty.
	Nearest string
}

// Parse reads exactly one document. The node is nil when there is none.
func Parse(data []byte) (*yaml.Node, *Problem) {
	if len(data) > MaxSize {
		return nil, &Problem{Message: fmt.Sprintf("the document has %d bytes, at most %d are read", len(data), MaxSize)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc, err := next(dec)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, syntaxProblem(err)
	}
	for {
		more, err := next(dec)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, syntaxProblem(err)
		}
		if !empty(more) {
			return nil, &Problem{Line: more.Line, Message: "a second document starts here; the file must hold one only"}
		}
	}
	if empty(doc) {
		return nil, nil
	}
	return doc.Content[0], nil
}

// next reads a document, turning a panic of the parser into an error: what a
// person typed must never end the program with a stack trace.
func next(dec *yaml.Decoder) (doc *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	doc = &yaml.Node{}
	err = dec.Decode(doc)
	return doc, err
}

func empty(doc *yaml.Node) bool {
	return len(doc.Content) == 0 ||
		doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null"
}

var errorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxProblem takes the line out of the parser's message.
func syntaxProblem(err error) *Problem {
	text := err.Error()
	m := errorLine.FindStringSubmatch(text)
	p := &Problem{Message: "malformed YAML: " + text[len(m[0]):]}
	if m[1] != "" {
		// The expression admits digits only; a number too large stays 0.
		p.Line, _ = strconv.Atoi(m[1])
	}
	return p
}
