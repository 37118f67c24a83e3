package inventory

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads an inventory of either form, as Ansible decides it: YAML where the
// file's name allows it and it is a mapping, and INI otherwise. A YAML inventory
// with another name, which Ansible's defaults refuse, is read with a note.
func parse(data []byte, name string) (*model, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s: the inventory has %d bytes, at most %d are read", name, len(data), maxSize)
	}
	switch {
	case strings.HasPrefix(string(data), "#!"):
		return nil, fmt.Errorf("%s: this is a program that makes an inventory; %s", name, makeStatic)
	case strings.HasPrefix(string(data), "$ANSIBLE_VAULT;"):
		return nil, fmt.Errorf("%s is encrypted; decrypt it with ansible-vault first", name)
	case path.Ext(name) == ".toml":
		return nil, fmt.Errorf("%s: inventories are read in Ansible's INI and YAML forms, not in TOML; %s", name, makeStatic)
	}
	root, yamlErr := yamlNode(data)
	isYAML := yamlErr == nil && root != nil && root.Kind == yaml.MappingNode
	usual := slices.Contains(extensions, path.Ext(name))
	if isYAML && usual {
		return parseYAML(root, name)
	}
	m, err := parseINI(data, name)
	if err == nil || !isYAML && !(yamlErr != nil && looksLikeYAML(data)) {
		return m, err
	}
	if yamlErr != nil {
		return nil, in(name, yamlErr)
	}
	if m, err = parseYAML(root, name); err == nil {
		m.note("%s is a YAML inventory, which Ansible itself takes only from names that end in .yml, .yaml or .json, or have no dot", name)
	}
	return m, err
}

// looksLikeYAML tells by the first line that means something.
func looksLikeYAML(data []byte) bool {
	for _, line := range lines(string(data)) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line == "---" || strings.HasSuffix(line, ":") || line[0] == '{'
		}
	}
	return false
}
