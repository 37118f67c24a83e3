package inventory

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads an inventory in Ansible's YAML form: groups with their hosts,
// children and vars.
// https://docs.ansible.com/ansible/latest/collections/ansible/builtin/yaml_inventory.html
func parseYAML(root *yaml.Node, name string) (*model, error) {
	p := &yamlParser{model: newModel(name)}
	entries, err := p.entries(root, 0)
	if err != nil {
		return nil, in(name, err)
	}
	for _, e := range entries {
		if e.name == "plugin" {
			return nil, fmt.Errorf("%s:%d: this configures a plugin that makes an inventory; %s", name, e.key.Line, makeStatic)
		}
	}
	for _, e := range entries {
		if err := p.group(e, 0); err != nil {
			return nil, in(name, err)
		}
	}
	for _, twice := range p.twice {
		p.model.note("%s, %s", name, twice)
	}
	p.model.finish()
	return p.model, nil
}

// makeStatic is what helps with an inventory that has to be run.
const makeStatic = "write what it makes with `ansible-inventory -i FILE --list --export --yaml --output hosts.yaml`, and convert hosts.yaml"

type yamlParser struct {
	yamlReader
	model *model
}

// group reads a group and what is in it.
func (p *yamlParser) group(e entry, depth int) error {
	if e.name == "" {
		return failAt(e.key, "a group has no name")
	}
	if isMapping, err := p.mapping(e, "the group "+e.name); !isMapping || err != nil {
		return err
	}
	p.model.addGroup(e.name)
	if len(p.model.groups) > maxGroups {
		return failAt(e.key, "more than %d groups", maxGroups)
	}
	if isNull(e.value) {
		return nil
	}
	sections, err := p.entries(e.value, depth+1)
	if err != nil {
		return err
	}
	for _, section := range sections {
		if err := p.section(e.name, section, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mapping tells whether something is a mapping or empty; anything else is passed
// over with a note, as Ansible does with a warning.
func (p *yamlParser) mapping(e entry, what string) (bool, error) {
	n, err := p.visit(e.value, 0)
	if err != nil {
		return false, err
	}
	if n.Kind == yaml.MappingNode || isNull(n) {
		return true, nil
	}
	p.model.note("%s:%d: %s was not read: names with values were expected", p.model.name, e.key.Line, what)
	return false, nil
}

func isNull(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return false
	}
	value, err := scalarNode(n)
	return err == nil && value == nil
}

// section reads a group's hosts, children or vars.
func (p *yamlParser) section(group string, e entry, depth int) error {
	known := e.name == kindHosts || e.name == kindChildren || e.name == kindVars
	items, text, err := p.items(e, depth)
	switch {
	case err != nil:
		return err
	case known && text != nil:
		items = []entry{*text}
	case known && items == nil && !isNull(e.value):
		return failAt(e.key, "%s of the group %s must be names, each with a colon", e.name, group)
	case !known:
		p.model.note("%s:%d: %.60s of the group %s was not read: a group has hosts, children and vars", p.model.name, e.key.Line, e.name, group)
		return nil
	}
	for _, item := range items {
		switch e.name {
		case kindHosts:
			err = p.host(group, item, depth+1)
		case kindChildren:
			if err = p.group(item, depth+1); err == nil {
				if err = p.model.addChild(group, item.name); err != nil {
					err = failAt(item.key, "%w", err)
				}
			}
		case kindVars:
			err = p.variable(group, item, p.model.name, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// items are a section's entries, or the one name that stands there as text.
func (p *yamlParser) items(e entry, depth int) (items []entry, text *entry, err error) {
	n, err := p.visit(e.value, depth)
	if err != nil {
		return nil, nil, err
	}
	switch n.Kind {
	case yaml.MappingNode:
		items, err = p.entries(n, depth)
		if items == nil {
			items = []entry{}
		}
		return items, nil, err
	case yaml.ScalarNode:
		if value, err := scalarNode(n); err == nil {
			if name, ok := value.(string); ok {
				return nil, &entry{name, n, &yaml.Node{Kind: yaml.ScalarNode, Line: n.Line}}, nil
			}
		}
	}
	return nil, nil, nil
}

func (p *yamlParser) host(group string, e entry, depth int) error {
	if name, err := scalarNode(e.key); err != nil {
		return err
	} else if _, ok := name.(string); !ok {
		return failAt(e.key, "the host's name %.60s is no text; put it in quotes", e.name)
	}
	names, port, err := hostPattern(e.name, maxHosts)
	if err != nil {
		return failAt(e.key, "%w", err)
	}
	var vars []entry
	if !empty(e.value) {
		if vars, err = p.entries(e.value, depth+1); err != nil {
			return errors.Join(failAt(e.key, "the variables of the host %.60s can't be read", e.name), err)
		}
	}
	for _, name := range names {
		where := p.model.name + ", host " + name
		if err := p.model.addHost(name, group, port, where); err != nil {
			return failAt(e.key, "%w", err)
		}
		for _, v := range vars {
			if err := p.variable(name, v, where, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// empty is what Python takes for nothing: null, false, 0, "", [] and {}.
func empty(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return len(n.Content) == 0
	}
	value, err := scalarNode(n)
	return err == nil && (value == nil || value == false || value == int64(0) || value == 0.0 || value == "")
}

func (p *yamlParser) variable(entity string, e entry, where string, depth int) error {
	value, err := p.value(e.value, depth)
	if err != nil {
		return err
	}
	if err := p.model.set(entity, e.name, variable{value, where}); err != nil {
		return failAt(e.key, "%w", err)
	}
	return nil
}
