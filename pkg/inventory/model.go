package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

const (
	// maxHosts bounds what host ranges expand to.
	maxHosts = 1000
	// maxGroups bounds the groups.
	maxGroups = 1000
	// maxSize bounds the inventory and each file of variables, in bytes.
	maxSize = 1 << 20
	// maxErrors is how many errors are reported at once.
	maxErrors = 20
)

// The groups that every inventory has.
const (
	allGroup       = "all"
	ungroupedGroup = "ungrouped"
)

// variable is a setting's value and what sets it: a file, or a host in it.
//
// A value is nil, a string, a bool, an int64, a float64, a []any, a
// map[string]any, or one of the kinds below.
type variable struct {
	value any
	where string
}

type (
	// literal is text that Ansible takes as it is, without templates (!unsafe).
	literal string
	// vaulted is a value that is encrypted with ansible-vault.
	vaulted string
)

// model is what an inventory says, as Ansible understands it. Names of groups
// and hosts are exactly as written.
type model struct {
	name string
	// groups and hosts, and their names in the order in which they first appear.
	groups     map[string]*group
	groupNames []string
	hosts      map[string]*host
	hostNames  []string
	// notes are what was passed over on the way.
	notes []string
}

// group is a group of an inventory.
type group struct {
	name string
	// hosts are those that are named in it; children the groups within it.
	hosts, children, parents []string
	// has are the hosts as a set.
	has map[string]bool
	// vars are the inventory's own, files those of group_vars.
	vars, files map[string]variable
	// priority is ansible_group_priority; of groups of one depth, the highest decides.
	priority int
	// depth is the longest way from the group all.
	depth int
}

// host is a host of an inventory.
type host struct {
	// vars are the inventory's own, files those of host_vars.
	vars, files map[string]variable
	// groups are those that name it, once the model is finished.
	groups []string
}

func newModel(name string) *model {
	m := &model{name: name, groups: map[string]*group{}, hosts: map[string]*host{}}
	m.addGroup(allGroup)
	m.addGroup(ungroupedGroup)
	m.link(m.groups[allGroup], m.groups[ungroupedGroup])
	return m
}

func (m *model) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func (m *model) addGroup(name string) *group {
	g, ok := m.groups[name]
	if !ok {
		g = &group{name: name, has: map[string]bool{}, vars: map[string]variable{}, files: map[string]variable{}, priority: 1}
		m.groups[name] = g
		m.groupNames = append(m.groupNames, name)
	}
	return g
}

// addHost puts a host into a group. The port counts for a host that is new
// only, as it does for Ansible.
func (m *model) addHost(name, group, port, where string) error {
	if name == "" {
		return fmt.Errorf("a host has no name")
	}
	if m.hosts[name] == nil {
		if len(m.hosts) >= maxHosts {
			return errTooMany
		}
		h := &host{vars: map[string]variable{}, files: map[string]variable{}}
		if port != "" {
			number, err := strconv.ParseInt(port, 10, 64)
			if err != nil {
				return fmt.Errorf("%q is no port number", port)
			}
			if number != 0 {
				h.vars["ansible_port"] = variable{number, where}
			}
		}
		m.hosts[name] = h
		m.hostNames = append(m.hostNames, name)
	}
	m.groups[group].add(name)
	return nil
}

func (g *group) add(host string) {
	if !g.has[host] {
		g.has[host] = true
		g.hosts = append(g.hosts, host)
	}
}

// addChild puts a group, or else a host, into a group.
func (m *model) addChild(parent, child string) error {
	p, c := m.groups[parent], m.groups[child]
	switch {
	case c == nil && m.hosts[child] == nil:
		return fmt.Errorf("%s is no group and no host", child)
	case c == nil:
		p.add(child)
		return nil
	case c == p || m.upwards(parent)[child]:
		return fmt.Errorf("the group %s can't be within %s, which is within it", child, parent)
	}
	m.link(p, c)
	return nil
}

func (m *model) link(parent, child *group) {
	if !slices.Contains(parent.children, child.name) {
		parent.children = append(parent.children, child.name)
		child.parents = append(child.parents, parent.name)
	}
}

// upwards are some groups and all those that they are in, directly or not.
func (m *model) upwards(names ...string) map[string]bool {
	seen := map[string]bool{}
	for queue := names; len(queue) > 0; {
		next := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !seen[next] {
			seen[next] = true
			queue = append(queue, m.groups[next].parents...)
		}
	}
	return seen
}

// set gives a variable to the group of that name, or else to the host: a host
// that is called like a group can't have variables on its own line.
func (m *model) set(entity, key string, v variable) error {
	g := m.groups[entity]
	if g == nil {
		m.hosts[entity].vars[key] = v
		return nil
	}
	if key != "ansible_group_priority" {
		g.vars[key] = v
		return nil
	}
	text, _ := scalar(v.value)
	number, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("ansible_group_priority of the group %s is no number", entity)
	}
	g.priority = number
	return nil
}

// finish does what Ansible does after reading: groups without a parent are in
// all, hosts without a group are in ungrouped, and the groups' depths are known.
func (m *model) finish() {
	for _, name := range m.groupNames {
		if g := m.groups[name]; name != allGroup && len(g.parents) == 0 {
			m.link(m.groups[allGroup], g)
		}
	}
	grouped := map[string]bool{}
	for _, g := range m.groups {
		for _, name := range g.hosts {
			grouped[name] = grouped[name] || g.name != allGroup && g.name != ungroupedGroup
		}
	}
	ungrouped := m.groups[ungroupedGroup]
	ungrouped.hosts = slices.DeleteFunc(ungrouped.hosts, func(name string) bool { return grouped[name] })
	for _, name := range m.hostNames {
		if !grouped[name] {
			ungrouped.add(name)
		}
	}
	for _, name := range m.groupNames {
		for _, h := range m.groups[name].hosts {
			m.hosts[h].groups = append(m.hosts[h].groups, name)
		}
	}
	m.depths()
}

// depths computes each group's depth, parents before children.
func (m *model) depths() {
	waiting := map[string]int{}
	for _, g := range m.groups {
		waiting[g.name] = len(g.parents)
	}
	queue := []string{allGroup}
	for len(queue) > 0 {
		g := m.groups[queue[0]]
		queue = queue[1:]
		for _, name := range g.children {
			child := m.groups[name]
			child.depth = max(child.depth, g.depth+1)
			if waiting[name]--; waiting[name] == 0 {
				queue = append(queue, name)
			}
		}
	}
}

// members are the hosts of a group and of all groups within it, level by level.
func (m *model) members(name string) []string {
	if m.groups[name] == nil {
		return nil
	}
	var out []string
	seenGroup, seenHost := map[string]bool{}, map[string]bool{}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		if seenGroup[queue[0]] {
			continue
		}
		seenGroup[queue[0]] = true
		g := m.groups[queue[0]]
		for _, h := range g.hosts {
			if !seenHost[h] {
				seenHost[h] = true
				out = append(out, h)
			}
		}
		queue = append(queue, g.children...)
	}
	return out
}

// groupsOf are a host's groups without all, in the order in which their
// variables count, the weakest first: by depth, then by priority, then by name.
func (m *model) groupsOf(name string) []*group {
	in := m.upwards(slices.Clone(m.hosts[name].groups)...)
	delete(in, allGroup)
	var out []*group
	for group := range in {
		out = append(out, m.groups[group])
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
	})
	return out
}

// view are a host's variables: of the group all, of its groups, then of the
// files for these in the same order, then its own, then those of its files.
// https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_variables.html#understanding-variable-precedence
func (m *model) view(name string) map[string]variable {
	groups, own := m.groupsOf(name), m.hosts[name]
	layers := []map[string]variable{m.groups[allGroup].vars}
	for _, g := range groups {
		layers = append(layers, g.vars)
	}
	layers = append(layers, m.groups[allGroup].files)
	for _, g := range groups {
		layers = append(layers, g.files)
	}
	out := map[string]variable{}
	for _, vars := range append(layers, own.vars, own.files) {
		for key, v := range vars {
			out[key] = v
		}
	}
	return out
}
