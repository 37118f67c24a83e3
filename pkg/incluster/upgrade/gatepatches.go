package upgrade

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// gatesFlag sets feature gates on a command line.
const gatesFlag = "--feature-gates"

// patchCut takes feature gates out of one of kubeadm's patch files.
type patchCut struct {
	place, version string
	found          []Gate
}

// cutPatch takes what a version refuses out of a patch file. The content is the same
// when nothing is; else it is written anew, without its comments.
func cutPatch(name, content, version string) (string, []Gate, error) {
	target, kind, ok := v1alpha1.PatchFile(name)
	if !ok || target == "etcd" || target == "corednsdeployment" {
		return content, nil, nil // Other programs' gates, if any.
	}
	p := &patchCut{place: "spec.kubeadm.patches[" + name + "]", version: version}
	var docs []any
	// kubeadm takes several documents of one file.
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(content)))
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var doc any
		if err == nil {
			err = yaml.Unmarshal(raw, &doc)
		}
		if err != nil {
			return "", nil, fmt.Errorf("%s can't be read: %w", p.place, err)
		}
		if doc != nil {
			docs = append(docs, p.document(target, kind, doc))
		}
	}
	if len(p.found) == 0 {
		return content, nil, nil
	}
	out, err := writePatch(docs, strings.HasSuffix(name, ".json"))
	return out, p.found, err
}

func writePatch(docs []any, asJSON bool) (string, error) {
	var parts [][]byte
	for _, doc := range docs {
		write := yaml.Marshal
		if asJSON {
			write = func(v any) ([]byte, error) {
				data, err := json.MarshalIndent(v, "", "  ")
				return append(data, '\n'), err
			}
		}
		data, err := write(doc)
		if err != nil {
			return "", err
		}
		parts = append(parts, data)
	}
	return string(bytes.Join(parts, []byte("---\n"))), nil
}

func (p *patchCut) document(target, kind string, doc any) any {
	switch ops, isList := doc.([]any); {
	case kind == "json" && isList:
		return p.operations(target, ops)
	case target == "kubeletconfiguration":
		p.kubelet(doc)
		return doc
	default:
		return p.words(doc)
	}
}

func (p *patchCut) kubelet(doc any) {
	if object, ok := doc.(map[string]any); ok {
		p.found = append(p.found, cutGates(p.place, object, false, p.version)...)
	}
}

// words takes gates out of the command lines in a part of a pod.
func (p *patchCut) words(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			value[key] = p.words(value[key])
		}
		return value
	case []any:
		return p.list(value)
	case string:
		if strings.Contains(value, gatesFlag) {
			p.stuck(value)
		}
	}
	return value
}

// list takes a word out when no gate is left in it.
func (p *patchCut) list(list []any) []any {
	out := []any{}
	for i := 0; i < len(list); i++ {
		word, isText := list[i].(string)
		flag, gates, joined := strings.Cut(word, "=")
		switch {
		case !isText || flag != gatesFlag:
			out = append(out, p.words(list[i]))
		case joined:
			if left := p.gates(gates); left != "" || gates == "" {
				out = append(out, flag+"="+left)
			}
		default: // The next word is its value, if there is one.
			var next string
			isText = false
			if i+1 < len(list) {
				next, isText = list[i+1].(string)
			}
			if !isText {
				out = append(out, word)
				continue
			}
			i++
			if left := p.gates(next); left != "" || next == "" {
				out = append(out, word, left)
			}
		}
	}
	return out
}

// gates is what is left of a flag's value. What can't be read is left alone: no
// version takes it.
func (p *patchCut) gates(value string) string {
	gates, err := flagtable.ParseGates(value)
	if err != nil {
		return value
	}
	before := len(p.found)
	for _, name := range slices.Sorted(maps.Keys(gates)) {
		if why := refused(flagtable.ComponentGates(), p.version, name, gates[name]); why != "" {
			delete(gates, name)
			p.found = append(p.found, Gate{Place: p.place, Name: name, Problem: why})
		}
	}
	if len(p.found) == before {
		return value
	}
	return flagtable.FormatGates(gates)
}

// gateWord is one gate in a text that is more than a flag: a script.
var gateWord = regexp.MustCompile(`\b([A-Z][A-Za-z0-9]*)=(true|false)\b`)

// stuck names the gates in a text that can't be changed here.
func (p *patchCut) stuck(text string) {
	_, after, _ := strings.Cut(text, gatesFlag)
	for _, m := range gateWord.FindAllStringSubmatch(after, -1) {
		if why := refused(flagtable.ComponentGates(), p.version, m[1], m[2] == "true"); why != "" {
			p.found = append(p.found, Gate{Place: p.place, Name: m[1], Problem: why, Stuck: true})
		}
	}
}

// operations are a JSON patch's (RFC 6902).
func (p *patchCut) operations(target string, ops []any) []any {
	out := []any{}
	for _, item := range ops {
		op, ok := item.(map[string]any)
		if !ok || p.operation(target, op) {
			out = append(out, item)
		}
	}
	return out
}

// operation tells whether it is to be kept. What is only compared with (test) is not
// changed: whoever expects a gate somewhere has to say what to expect instead.
func (p *patchCut) operation(target string, op map[string]any) bool {
	before, keep := len(p.found), true
	if target == "kubeletconfiguration" {
		keep = p.kubeletOperation(op)
	} else if value, has := op["value"]; has {
		op["value"] = p.operand(value)
	}
	if op["op"] == "test" {
		for i := range p.found[before:] {
			p.found[before+i].Stuck = true
		}
	}
	return keep
}

// operand is the value of an operation on a pod. One word stays when no gate is left in
// it: later operations count the words.
func (p *patchCut) operand(value any) any {
	word, isText := value.(string)
	if flag, gates, _ := strings.Cut(word, "="); isText && flag == gatesFlag {
		return flag + "=" + p.gates(gates)
	}
	return p.words(value)
}

func (p *patchCut) kubeletOperation(op map[string]any) bool {
	switch path := op["path"]; path {
	case "":
		p.kubelet(op["value"])
		return true
	case "/featureGates":
		p.kubelet(map[string]any{"featureGates": op["value"]})
		return true
	}
	for _, end := range []string{"path", "from"} {
		at, _ := op[end].(string)
		name, below := strings.CutPrefix(at, "/featureGates/")
		if !below {
			continue
		}
		if why := p.refusedAt(name, op["value"]); why != "" {
			p.found = append(p.found, Gate{Place: p.place, Name: name, Problem: why, Stuck: op["from"] != nil})
			return false
		}
	}
	return true
}

// refusedAt says why a gate can't be set to a value, or, without one, why it can't be
// there to be removed or moved.
func (p *patchCut) refusedAt(name string, value any) string {
	known := flagtable.ComponentGates()
	if on, set := value.(bool); set {
		return refused(known, p.version, name, on)
	}
	if known.Gone(flagtable.Minor(p.version), name) {
		return refused(known, p.version, name, false)
	}
	return ""
}
