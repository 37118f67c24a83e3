package inventory

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// maxHosts bounds what host ranges expand to.
	maxHosts = 1000
	// maxGroups bounds the groups.
	maxGroups = 1000
	// maxSize bounds the inventory, in bytes.
	maxSize = 1 << 20
	// maxErrors is how many errors are reported at once.
	maxErrors = 20
)

// file is a parsed inventory.
type file struct {
	name string
	// hosts are all hosts in the order in which they first appear.
	hosts []string
	// hostVars are the variables on the hosts' own lines.
	hostVars map[string]map[string]string
	groups   map[string]*group
	// order are the groups in the order in which they first appear.
	order []string
}

// group is a group of an inventory.
type group struct {
	hosts    []string
	children []string
	vars     map[string]string
}

// groupKey makes primary-master and primary_master one.
func groupKey(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

func (f *file) group(name string) *group {
	key := groupKey(name)
	g, ok := f.groups[key]
	if !ok {
		g = &group{vars: map[string]string{}}
		f.groups[key] = g
		f.order = append(f.order, key)
	}
	return g
}

// members are the hosts of a group and of all groups within it, in order.
func (f *file) members(name string) []string {
	var out []string
	seenGroup, seenHost := map[string]bool{}, map[string]bool{}
	var visit func(key string)
	visit = func(key string) {
		g := f.groups[key]
		if g == nil || seenGroup[key] {
			return
		}
		seenGroup[key] = true
		for _, h := range g.hosts {
			if !seenHost[h] {
				seenHost[h] = true
				out = append(out, h)
			}
		}
		for _, child := range g.children {
			visit(child)
		}
	}
	visit(groupKey(name))
	return out
}

// parse reads an inventory in Ansible's INI form. All errors are returned at
// once, each with its line.
// https://docs.ansible.com/ansible/latest/collections/ansible/builtin/ini_inventory.html
func parse(data []byte, name string) (*file, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s: the inventory has %d bytes, at most %d are read", name, len(data), maxSize)
	}
	f := &file{name: name, hostVars: map[string]map[string]string{}, groups: map[string]*group{}}
	p := parser{file: f, section: "ungrouped", kind: "hosts"}
	var errs []error
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if i == 0 && line == "---" {
			return nil, fmt.Errorf("%s: a YAML inventory; only Ansible's INI form is read", name)
		}
		if err := p.line(line); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, i+1, err))
		}
		if len(f.groups) > maxGroups {
			errs = append(errs, fmt.Errorf("%s:%d: more than %d groups", name, i+1, maxGroups))
		}
		if len(errs) >= maxErrors || len(f.groups) > maxGroups {
			break
		}
	}
	return f, errors.Join(errs...)
}

// parser knows in which section it is.
type parser struct {
	file    *file
	section string
	// kind is hosts, children or vars.
	kind string
}

func (p *parser) line(line string) error {
	if line[0] == '[' && strings.HasSuffix(stripComment(line), "]") {
		return p.header(stripComment(line))
	}
	switch p.kind {
	case "children":
		g := p.file.group(p.section)
		child := stripComment(line)
		if strings.ContainsAny(child, " \t=") {
			return fmt.Errorf("%q is no group's name", child)
		}
		p.file.group(child)
		g.children = append(g.children, groupKey(child))
		return nil
	case "vars":
		key, value, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return fmt.Errorf("expected NAME=VALUE")
		}
		p.file.group(p.section).vars[key] = unquote(strings.TrimSpace(value))
		return nil
	default:
		return p.host(line)
	}
}

func (p *parser) header(line string) error {
	name, kind, found := strings.Cut(line[1:len(line)-1], ":")
	if !found {
		kind = "hosts"
	}
	if kind != "hosts" && kind != "children" && kind != "vars" {
		return fmt.Errorf("unknown kind of section %q; children and vars are known", kind)
	}
	if name == "" || strings.ContainsAny(name, " \t[]") {
		return fmt.Errorf("%q is no group's name", name)
	}
	p.section, p.kind = name, kind
	p.file.group(name)
	return nil
}

// host reads a line such as m[1:3].example.com:2222 ansible_user=admin.
func (p *parser) host(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return nil
	}
	pattern, vars := words[0], map[string]string{}
	if host, port, ok := cutPort(pattern); ok {
		pattern, vars["ansible_port"] = host, port
	}
	for _, word := range words[1:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return fmt.Errorf("expected NAME=VALUE after the host %s, found %q", words[0], word)
		}
		vars[key] = value
	}
	names, err := expand(pattern, maxHosts-len(p.file.hosts))
	if err != nil {
		return err
	}
	g := p.file.group(p.section)
	for _, name := range names {
		if p.file.hostVars[name] == nil {
			p.file.hostVars[name] = map[string]string{}
			p.file.hosts = append(p.file.hosts, name)
		}
		for key, value := range vars {
			p.file.hostVars[name][key] = value
		}
		g.hosts = append(g.hosts, name)
	}
	return nil
}

// cutPort splits host:port; an IPv6 address has more colons, a range has its
// own in brackets.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 1 || strings.LastIndexByte(s, ']') > i {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	outside := host
	if j := strings.LastIndexByte(host, ']'); j >= 0 {
		outside = host[j:]
	}
	if port == "" || strings.Trim(port, "0123456789") != "" || strings.Contains(outside, ":") {
		return "", "", false
	}
	return host, port, true
}
