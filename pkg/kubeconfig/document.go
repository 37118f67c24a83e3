package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	kyaml "sigs.k8s.io/yaml"
)

// document is a kubeconfig's text in which single fields are changed. What is not
// changed stays as somebody has it, also what this version of client-go does not know:
// comments, the order, fields of later versions. Writing it from client-go's types
// would lose these.
type document struct{ top *yaml.Node }

// section is one of a kubeconfig's lists of named entries.
type section struct {
	// list is the list's name, body the field of an item that has its content.
	list, body string
	// own are the fields that say who somebody is or where a cluster is: those that are
	// not set are taken away, since they would contradict what is. All others say how the
	// one is reached or the other is used, and stay.
	own []string
	// first are the fields that are for entries that were not there before.
	first []string
}

var (
	clusterSection = section{list: "clusters", body: "cluster",
		own: []string{"server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"}}
	userSection = section{list: "users", body: "user",
		own: []string{"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile",
			"username", "password", "auth-provider", execField}}
	contextSection = section{list: "contexts", body: "context", own: []string{"cluster", "user"}, first: []string{"namespace"}}
)

const (
	nameField    = "name"
	execField    = "exec"
	currentField = "current-context"
)

// execOwn are the fields of exec credentials that go with the command.
var execOwn = []string{"apiVersion", "command", "args", "interactiveMode", "installHint"}

// parseDocument reads a kubeconfig's text; nothing is an empty one.
func parseDocument(content []byte) (*document, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var first, second yaml.Node
	if err := decoder.Decode(&first); errors.Is(err, io.EOF) {
		return emptyDocument(), nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("it is more than one document, of which kubectl reads the first only"), err)
	}
	top := first.Content[0]
	switch {
	case isNull(top):
		return emptyDocument(), nil
	case top.Kind != yaml.MappingNode:
		return nil, errors.New("it is not a mapping")
	case hasAlias(top):
		return flatDocument(content)
	}
	return &document{top}, nil
}

func emptyDocument() *document {
	d := &document{&yaml.Node{Kind: yaml.MappingNode}}
	setField(d.top, "apiVersion", textNode("v1"))
	setField(d.top, "kind", textNode("Config"))
	return d
}

// flatDocument has aliases carried out as kubectl does it: a change of one entry would
// change others with it otherwise. Comments are lost.
func flatDocument(content []byte) (*document, error) {
	asJSON, err := kyaml.YAMLToJSON(content)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(asJSON, &n); err != nil {
		return nil, err
	}
	plain(&n)
	return &document{n.Content[0]}, nil
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

// plain takes JSON's brackets and quotes away.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}

// bytes is the text, as kubectl indents it.
func (d *document) bytes() ([]byte, error) {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	e.CompactSeqIndent()
	err := e.Encode(d.top)
	return out.Bytes(), errors.Join(err, e.Close())
}

// set makes an entry of a section what the fields say, and returns the names of the
// fields that were there before and stay.
func (d *document) set(s section, name string, fields *yaml.Node) (kept []string) {
	list := field(d.top, s.list)
	if list == nil || isNull(list) {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		setField(d.top, s.list, list)
	}
	for _, item := range list.Content {
		if n := field(item, nameField); n == nil || n.Value != name {
			continue
		}
		// What is changed is written as kubectl writes it, a field a line.
		item.Style &^= yaml.FlowStyle
		if body := field(item, s.body); body != nil && body.Kind == yaml.MappingNode {
			body.Style &^= yaml.FlowStyle
			return fill(body, pick(fields, func(name string) bool { return !slices.Contains(s.first, name) }), s.own)
		}
		setField(item, s.body, fields)
		return nil
	}
	if len(list.Content) == 0 {
		list.Style = 0 // Not within [].
	}
	item := &yaml.Node{Kind: yaml.MappingNode}
	setField(item, s.body, fields)
	setField(item, nameField, textNode(name))
	list.Content = append(list.Content, item)
	return nil
}

// remove takes an entry away.
func (d *document) remove(s section, name string) {
	if list := field(d.top, s.list); list != nil {
		list.Content = slices.DeleteFunc(list.Content, func(item *yaml.Node) bool {
			n := field(item, nameField)
			return n != nil && n.Value == name
		})
	}
}

// fill sets fields of a mapping, takes away its own ones that are not set, and returns
// the names of the others.
func fill(body, fields *yaml.Node, own []string) (kept []string) {
	var content []*yaml.Node
	for i := 0; i+1 < len(body.Content); i += 2 {
		key, old := body.Content[i], body.Content[i+1]
		switch value := field(fields, key.Value); {
		case key.Value == execField && value != nil && sameCommand(old, value):
			// client-go writes an empty env along, which would empty the user's.
			fill(old, pick(value, func(name string) bool { return slices.Contains(execOwn, name) }), execOwn)
		case value != nil:
			value.LineComment = old.LineComment
			old = value
		case slices.Contains(own, key.Value):
			continue
		default:
			kept = append(kept, key.Value)
		}
		content = append(content, key, old)
	}
	body.Content = content
	for i := 0; i+1 < len(fields.Content); i += 2 {
		if field(body, fields.Content[i].Value) == nil {
			setField(body, fields.Content[i].Value, fields.Content[i+1])
		}
	}
	return kept
}

func sameCommand(a, b *yaml.Node) bool {
	x, y := field(a, "command"), field(b, "command")
	return x != nil && y != nil && x.Value == y.Value
}

// pick is a mapping with some of its fields.
func pick(n *yaml.Node, wanted func(name string) bool) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if wanted(n.Content[i].Value) {
			out.Content = append(out.Content, n.Content[i], n.Content[i+1])
		}
	}
	return out
}

// field is the value of a mapping's field; nil when there is none.
func field(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// setField sets a mapping's field where it is, or at the end.
func setField(n *yaml.Node, name string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			value.LineComment = n.Content[i+1].LineComment
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, textNode(name), value)
}

func textNode(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// entriesOf are a kubeconfig's entries in the form in which they are written.
func entriesOf(c *clientcmdapi.Config) (map[string]map[string]*yaml.Node, error) {
	content, err := clientcmd.Write(*c)
	if err != nil {
		return nil, err
	}
	d, err := parseDocument(content)
	if err != nil {
		return nil, fmt.Errorf("the new kubeconfig: %w", err)
	}
	out := map[string]map[string]*yaml.Node{}
	for _, s := range []section{clusterSection, userSection, contextSection} {
		out[s.list] = map[string]*yaml.Node{}
		list := field(d.top, s.list)
		if list == nil {
			continue
		}
		for _, item := range list.Content {
			out[s.list][field(item, nameField).Value] = field(item, s.body)
		}
	}
	return out, nil
}

// SetServer points the cluster of a kubeconfig's current context at another URL, and
// leaves everything else in the text as it is. The content comes back unchanged when it
// points there already. before is where it pointed.
func SetServer(content []byte, server string) (after []byte, before string, err error) {
	c, err := clientcmd.Load(content)
	if err != nil {
		return nil, "", err
	}
	current := c.Contexts[c.CurrentContext]
	if current == nil || c.Clusters[current.Cluster] == nil {
		return nil, "", errors.New("it has no current context")
	}
	if before = c.Clusters[current.Cluster].Server; before == server {
		return content, before, nil
	}
	d, err := parseDocument(content)
	if err != nil {
		return nil, "", err
	}
	fields := &yaml.Node{Kind: yaml.MappingNode}
	setField(fields, "server", textNode(server))
	only := clusterSection
	only.own = nil
	d.set(only, current.Cluster, fields)
	after, err = d.bytes()
	return after, before, err
}
