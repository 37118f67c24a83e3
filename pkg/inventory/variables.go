package inventory

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// variable is a setting's value and the file it comes from.
type variable struct {
	value any
	where string
}

// layer is a set of variables that applies to a group.
type layer struct {
	where string
	group string // its key; "all" for everybody
	vars  map[string]any
	// members are the hosts it applies to; nil for all of them.
	members map[string]bool
}

// readLayers orders everything that sets variables, lowest first, as Ansible
// does: the inventory's own group variables, then group_vars/all, then the
// other group_vars files, the one named like the inventory last.
func readLayers(f *file, groupVars map[string][]byte) (layers []layer, unmapped []Setting, notes []string, err error) {
	for _, key := range f.order {
		if g := f.groups[key]; len(g.vars) > 0 {
			vars := map[string]any{}
			for name, value := range g.vars {
				vars[name] = value
			}
			layers = append(layers, layer{where: f.name, group: key, vars: vars})
		}
	}
	slices.SortStableFunc(layers, func(a, b layer) int { return rank(a.group, f) - rank(b.group, f) })
	var files []layer
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(groupVars)) {
		key := groupKey(stem(name))
		if key != "all" && key != groupKey(stem(f.name)) && f.groups[key] == nil {
			notes = append(notes, fmt.Sprintf("%s was not read: the inventory has no group of that name", name))
			continue
		}
		values, _, problems := yamldoc.Values(groupVars[name])
		if values == nil {
			errs = append(errs, unreadable(name, groupVars[name], problems))
			continue
		}
		for _, p := range problems {
			top, _, _ := strings.Cut(p.Path, ".")
			top, _, _ = strings.Cut(top, "[")
			delete(values, top)
			unmapped = append(unmapped, Setting{Name: top, Where: fmt.Sprintf("%s:%d", name, p.Line),
				Why: "the value can't be read (" + p.Message + ")"})
		}
		files = append(files, layer{where: name, group: key, vars: values})
	}
	slices.SortStableFunc(files, func(a, b layer) int { return rank(a.group, f) - rank(b.group, f) })
	layers = append(layers, files...)
	for i := range layers {
		l := &layers[i]
		if l.group == "all" || l.group == groupKey(stem(f.name)) {
			continue
		}
		l.members = map[string]bool{}
		for _, host := range f.members(l.group) {
			l.members[host] = true
		}
	}
	return layers, unmapped, notes, errors.Join(errs...)
}

func unreadable(name string, data []byte, problems []yamldoc.Problem) error {
	if strings.HasPrefix(string(data), "$ANSIBLE_VAULT;") {
		return fmt.Errorf("%s is encrypted; decrypt it with ansible-vault first, or leave it out", name)
	}
	if len(problems) == 0 {
		return fmt.Errorf("%s: expected variables (NAME: value)", name)
	}
	return fmt.Errorf("%s:%d: %s", name, problems[0].Line, problems[0].Message)
}

// rank orders groups by how much they decide: all, others, the cluster's own.
func rank(key string, f *file) int {
	switch key {
	case "all":
		return 0
	case groupKey(stem(f.name)):
		return 2
	default:
		return 1
	}
}

// stem is a file's name without folder and extension.
func stem(name string) string {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	return strings.TrimSuffix(base, path.Ext(base))
}

// settings are the variables for the whole cluster: all layers' together.
func settings(layers []layer) map[string]variable {
	out := map[string]variable{}
	for _, l := range layers {
		for name, value := range l.vars {
			out[name] = variable{value, l.where}
		}
	}
	return out
}

const (
	// maxExpanded bounds what a template expands to, in bytes.
	maxExpanded = 4096
	// maxExpansions bounds the templates carried out for one value, and
	// maxAllExpansions those of a conversion.
	maxExpansions    = 1000
	maxAllExpansions = 100_000
)

var (
	template   = regexp.MustCompile(`\{\{\s*(.*?)\s*\}\}`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	groupIndex = regexp.MustCompile(`^groups(?:\[['"]([A-Za-z0-9_-]+)['"]\]|\.([A-Za-z0-9_]+))\[(\d{1,4})\]$`)
)

// expandTemplates carries out the templates that need no Ansible: another
// variable's name, and a host of a group (groups['apiserver_vip'][0]).
func (cv *converter) expandTemplates(s string, depth int) (string, error) {
	if depth == 0 {
		cv.allExpansions += cv.expansions
		cv.expansions = 0
	}
	if !strings.Contains(s, "{{") && !strings.Contains(s, "{%") {
		return s, nil
	}
	if depth > 10 {
		return "", errors.New("its template refers to itself")
	}
	var failed error
	out := template.ReplaceAllStringFunc(s, func(match string) string {
		value, err := cv.expression(template.FindStringSubmatch(match)[1], depth)
		if err != nil {
			failed = err
		}
		return value
	})
	switch {
	case failed != nil:
		return "", failed
	case len(out) > maxExpanded:
		return "", errors.New("its template expands to too much")
	case strings.Contains(out, "{{") || strings.Contains(out, "{%"):
		return "", errors.New("its template is not understood; write the value by hand")
	}
	return out, nil
}

func (cv *converter) expression(e string, depth int) (string, error) {
	if cv.expansions++; cv.expansions > maxExpansions || cv.allExpansions > maxAllExpansions {
		return "", errors.New("its template expands to too much")
	}
	if m := groupIndex.FindStringSubmatch(e); m != nil {
		i, err := strconv.Atoi(m[3])
		hosts := cv.file.members(m[1] + m[2])
		if err != nil || i >= len(hosts) {
			return "", fmt.Errorf("its template asks for a host that the group %s has not", m[1]+m[2])
		}
		return hosts[i], nil
	}
	if v, ok := cv.settings[e]; ok && identifier.MatchString(e) {
		if s, ok := scalar(v.value); ok {
			return cv.expandTemplates(s, depth+1)
		}
	}
	return "", errors.New("its template is not understood; write the value by hand")
}

// scalar writes a single value as text.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), true
	case bool, int64, float64:
		return fmt.Sprint(v), true
	default:
		return "", false
	}
}
