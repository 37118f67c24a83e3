package inventory

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"
)

// parseINI reads an inventory in Ansible's INI form. All errors are returned at
// once, each with its line.
// https://docs.ansible.com/ansible/latest/collections/ansible/builtin/ini_inventory.html
func parseINI(data []byte, name string) (*model, error) {
	p := &iniParser{model: newModel(name), section: ungroupedGroup, kind: kindHosts, pending: map[string]*declaration{}}
	var errs []error
	for i, line := range lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		p.number = i + 1
		if err := p.line(line); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, p.number, err))
		}
		if len(p.model.groups) > maxGroups {
			errs = append(errs, fmt.Errorf("%s:%d: more than %d groups", name, p.number, maxGroups))
		}
		if len(errs) >= maxErrors || len(p.model.groups) > maxGroups {
			return nil, errors.Join(errs...)
		}
	}
	for _, group := range p.order {
		d := p.pending[group]
		switch {
		case d == nil:
		case d.kind == kindVars:
			errs = append(errs, fmt.Errorf("%s:%d: [%s:vars] is for a group that is nowhere defined", name, d.line, group))
		default:
			errs = append(errs, fmt.Errorf("%s:%d: [%s:children] has the group %s, which is nowhere defined", name, d.line, d.parents[0], group))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p.model.finish()
	return p.model, nil
}

// lines splits at every kind of line end that Windows and Unix write.
func lines(text string) []string {
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
}

const (
	kindHosts    = "hosts"
	kindChildren = "children"
	kindVars     = "vars"
)

// declaration is a group that was named before it is defined.
type declaration struct {
	kind    string
	line    int
	parents []string
}

// iniParser knows in which section it is.
type iniParser struct {
	model *model
	// number is the line's, from 1.
	number        int
	section, kind string
	// pending are the groups that are not defined yet, order their names.
	pending map[string]*declaration
	order   []string
}

var (
	sectionLine = regexp.MustCompile(`^\[([^:\]\s]+)(?::([\p{L}\p{N}_]+))?\]\s*(?:#.*)?$`)
	groupLine   = regexp.MustCompile(`^([^:\]\s]+)\s*(?:#.*)?$`)
)

func (p *iniParser) line(line string) error {
	if !utf8.ValidString(line) {
		return errors.New("is no UTF-8")
	}
	if m := sectionLine.FindStringSubmatch(line); m != nil {
		return p.header(m[1], m[2])
	}
	if line[0] == '[' && strings.HasSuffix(line, "]") {
		return fmt.Errorf("%.60q is no section; write [GROUP], [GROUP:children] or [GROUP:vars] without spaces", line)
	}
	switch p.kind {
	case kindChildren:
		return p.child(line)
	case kindVars:
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return errors.New("expected NAME=VALUE")
		}
		return p.model.set(p.section, strings.TrimSpace(key), variable{pythonValue(strings.TrimSpace(value)), p.model.name})
	default:
		return p.host(line)
	}
}

// header begins a section. [GROUP:vars] alone defines no group; it must be
// defined elsewhere.
func (p *iniParser) header(name, kind string) error {
	if kind == "" {
		kind = kindHosts
	}
	if kind != kindHosts && kind != kindChildren && kind != kindVars {
		return fmt.Errorf("unknown kind of section %q; children and vars are known", kind)
	}
	p.section, p.kind = name, kind
	if p.model.groups[name] == nil {
		if kind == kindVars && p.pending[name] == nil {
			p.wait(name, &declaration{kind: kindVars, line: p.number})
		}
		p.model.addGroup(name)
	}
	d := p.pending[name]
	if d == nil || kind == kindVars {
		return nil
	}
	if d.kind == kindChildren {
		return p.defined(name)
	}
	delete(p.pending, name)
	return nil
}

func (p *iniParser) wait(name string, d *declaration) {
	p.pending[name] = d
	p.order = append(p.order, name)
}

func (p *iniParser) child(line string) error {
	m := groupLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%.60q is no group's name", line)
	}
	name := m[1]
	if p.model.groups[name] != nil {
		return p.model.addChild(p.section, name)
	}
	if p.pending[name] == nil {
		p.wait(name, &declaration{kind: kindChildren, line: p.number})
	}
	p.pending[name].parents = append(p.pending[name].parents, p.section)
	return nil
}

// defined puts a group that was waited for into the groups that named it.
func (p *iniParser) defined(name string) error {
	d := p.pending[name]
	delete(p.pending, name)
	for _, parent := range d.parents {
		if err := p.model.addChild(parent, name); err != nil {
			return err
		}
		if waiting := p.pending[parent]; waiting != nil && waiting.kind == kindChildren {
			if err := p.defined(parent); err != nil {
				return err
			}
		}
	}
	return nil
}

// host reads a line such as m[1:3].example.com:2222 ansible_user=admin.
func (p *iniParser) host(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return nil
	}
	vars := make([][2]string, 0, len(words)-1)
	for _, word := range words[1:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("expected NAME=VALUE after the host %.60s", words[0])
		}
		vars = append(vars, [2]string{key, value})
	}
	names, port, err := hostPattern(words[0], maxHosts)
	if err != nil {
		return err
	}
	if strings.HasSuffix(words[0], ":") && port == "" {
		return fmt.Errorf("%.60q ends in a colon, after which a port belongs", words[0])
	}
	for _, name := range names {
		if name == "---" {
			return errors.New("--- begins a YAML document, and this is no YAML inventory")
		}
		where := p.model.name + ", host " + name
		if err := p.model.addHost(name, p.section, port, where); err != nil {
			return err
		}
		for _, v := range vars {
			if err := p.model.set(name, v[0], variable{pythonValue(v[1]), where}); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostPattern expands a host's name with ranges, and takes off its port.
func hostPattern(pattern string, limit int) (names []string, port string, err error) {
	if host, p, ok := cutPort(pattern); ok {
		pattern, port = host, p
	}
	names, err = expand(pattern, limit)
	return names, port, err
}

var (
	bracketedPort = regexp.MustCompile(`^\[(.+)\]:([0-9]+)$`)
	plainPort     = regexp.MustCompile(`^((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)$`)
	// hostLabel is a part of a host's name between dots, with ranges in it: it
	// does not end in a dash or an underscore.
	hostLabel = `(?:` + hostEnd + `|(?:[\p{L}\p{N}_]|` + hostRange + `)(?:[\p{L}\p{N}_-]|` + hostRange + `)*` + hostEnd + `)`
	hostEnd   = `(?:[\p{L}\p{N}]|` + hostRange + `)`
	hostRange = `\[(?:[A-Za-z]:[A-Za-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]`
	hostName  = regexp.MustCompile(`^` + hostLabel + `(?:\.` + hostLabel + `)*$`)
)

// cutPort splits host:port and [address]:port. Where what is left is no host's
// name, Ansible takes it all for the name.
func cutPort(s string) (host, port string, ok bool) {
	for _, form := range []*regexp.Regexp{bracketedPort, plainPort} {
		if m := form.FindStringSubmatch(s); m != nil {
			s, port = m[1], m[2]
		}
	}
	if _, err := netip.ParseAddr(s); port == "" || err != nil && !hostName.MatchString(s) {
		return "", "", false
	}
	return s, port, true
}
