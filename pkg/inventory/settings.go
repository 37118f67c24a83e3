package inventory

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// virtualIPGroup is the group whose host is the virtual IP, in the later kubeadm2ha.
const virtualIPGroup = "apiserver_vip"

// rivals are variables for the same field, the one that the playbooks go by
// first. A name that nobody's playbook reads must not win over it.
var rivals = [][]string{
	{"APISERVER_VIP", virtualIPGroup, "MASTER_VIP", "VIRTUAL_IP"},
	{"SERVICE_NETWORK_CIDR", "SERVICE_CIDR"},
	{"LOAD_BALANCING", "HAS_LB"},
	{"KEEPALIVED_ROUTER_ID", "ROUTER_ID"},
	{"KEEPALIVED_INTERFACE", "NETWORK_INTERFACE"},
	{"PROXY_SERVER"}, // before those that name one kind of proxy
	{"NO_PROXY_LIST", "NO_PROXY"},
}

// candidate is something that sets a field.
type candidate struct {
	name string
	variable
	apply rule
}

// applySettings gives every variable of the first master to its rule.
func (cv *converter) applySettings() {
	seen := map[string]bool{}
	for _, field := range rivals {
		if cv.firstGeneration() && field[0] == "APISERVER_VIP" {
			field = []string{"MASTER_VIP", "APISERVER_VIP", "VIRTUAL_IP"}
		}
		cv.applyField(field)
		for _, name := range field {
			seen[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !seen[name] {
			cv.applyField([]string{name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cv.settings.vars)) {
		if !hasRule(name) && !strings.HasPrefix(name, "ansible_") {
			v := cv.settings.vars[name]
			cv.unmapped(name, v.where, cv.whyNot(name, v, cv.settings.host))
		}
	}
}

// firstGeneration tells whether the inventory is of the time when groups had
// dashes, and playbooks read MASTER_VIP.
func (cv *converter) firstGeneration() bool {
	return cv.model.groups["primary-master"] != nil && cv.model.groups["primary_master"] == nil && cv.model.groups[virtualIPGroup] == nil
}

func hasRule(name string) bool { return rules[strings.ToUpper(name)] != nil }

// applyField lets the first usable one of rivals decide, and names the others
// that say something else.
func (cv *converter) applyField(names []string) {
	winner, decided := "", ""
	for _, c := range cv.candidates(names) {
		if c.value == nil {
			continue // set to nothing
		}
		text, why := cv.text(c.variable, cv.settings)
		switch {
		case why != "":
		case text == "" || winner != "" && text == decided:
			continue
		case winner != "":
			why = winner + " decides, and says otherwise"
		default:
			if why = c.apply(cv, text); why == "" {
				winner, decided = c.name, text
			}
		}
		if why != "" {
			cv.unmapped(c.name, c.where, why)
		}
	}
}

// candidates are what is set under some names, in their order, and under the
// same ones in small letters after them.
func (cv *converter) candidates(names []string) []candidate {
	var out []candidate
	for _, name := range names {
		if name == virtualIPGroup {
			if hosts := cv.model.members(virtualIPGroup); len(hosts) > 0 {
				out = append(out, candidate{"the group " + virtualIPGroup, variable{hosts[0], cv.model.name}, virtualIP})
			}
			continue
		}
		// Capital letters are sorted before small ones.
		for _, key := range slices.Sorted(maps.Keys(cv.settings.vars)) {
			if strings.ToUpper(key) == name {
				out = append(out, candidate{key, cv.settings.vars[key], rules[name]})
			}
		}
	}
	return out
}

// whyNot is why a variable without a rule is not taken over.
func (cv *converter) whyNot(name string, v variable, host string) string {
	if _, ok := v.value.(vaulted); ok {
		return encrypted
	}
	if why := reason(name); why != unknown || !cv.ownOf(host, name) {
		return why + passwordHint(name)
	}
	return ownOfAHost
}

// ownOf tells whether a variable is the host's own, not its groups'.
func (cv *converter) ownOf(host, name string) bool {
	h := cv.model.hosts[host]
	_, inline := h.vars[name]
	_, file := h.files[name]
	return inline || file
}

// difference is a variable that the first master has not, or not so.
type difference struct {
	name, where, why string
}

// others names what other hosts have and the first master has not: a Cluster
// has one value for all.
func (cv *converter) others() {
	hosts := map[difference][]string{}
	for _, host := range cv.model.hostNames {
		for name, v := range cv.model.view(host) {
			first, has := cv.settings.vars[name]
			switch {
			case strings.HasPrefix(name, "ansible_") || has && reflect.DeepEqual(first.value, v.value):
			case hasRule(name) && !cv.inCluster[host]:
			case hasRule(name):
				d := difference{name, v.where, ""}
				hosts[d] = append(hosts[d], host)
			case !has:
				hosts[difference{name, v.where, cv.whyNot(name, v, host)}] = nil
			}
		}
	}
	for d, names := range hosts {
		if d.why == "" {
			d.why = fmt.Sprintf("holds for %s; a Cluster has one value for all hosts, and that of %s counts", few(names), cv.settings.host)
		}
		cv.unmapped(d.name, d.where, d.why)
	}
}

// few names the first of many.
func few(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
