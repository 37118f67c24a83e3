package inventory

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// stem is a file's name without folder and extension.
func stem(name string) string {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	return strings.TrimSuffix(base, path.Ext(base))
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

// view are the variables that a host has.
type view struct {
	host string
	vars map[string]variable
}

const encrypted = "the value is encrypted with ansible-vault, and was not read"

// text is a variable's single value with its templates carried out; why says
// why there is none.
func (cv *converter) text(v variable, in view) (text, why string) {
	if _, ok := v.value.(vaulted); ok {
		return "", encrypted
	}
	text, ok := scalar(v.value)
	if !ok {
		return "", "a single value was expected"
	}
	if _, ok := v.value.(literal); ok {
		return text, ""
	}
	text, err := cv.expandTemplates(text, in, 0)
	if err != nil {
		return "", err.Error()
	}
	return text, ""
}

// expandTemplates carries out the templates that need no Ansible: another
// variable's name, the host's, and a host of a group (groups['apiserver_vip'][0]).
func (cv *converter) expandTemplates(s string, in view, depth int) (string, error) {
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
		value, err := cv.expression(template.FindStringSubmatch(match)[1], in, depth)
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

func (cv *converter) expression(e string, in view, depth int) (string, error) {
	if cv.expansions++; cv.expansions > maxExpansions || cv.allExpansions > maxAllExpansions {
		return "", errors.New("its template expands to too much")
	}
	if m := groupIndex.FindStringSubmatch(e); m != nil {
		i, err := strconv.Atoi(m[3])
		hosts := cv.model.members(m[1] + m[2])
		if err != nil || i >= len(hosts) {
			return "", fmt.Errorf("its template asks for a host that the group %s has not", m[1]+m[2])
		}
		return hosts[i], nil
	}
	switch e {
	case "inventory_hostname":
		return in.host, nil
	case "inventory_hostname_short":
		short, _, _ := strings.Cut(in.host, ".")
		return short, nil
	}
	if v, ok := in.vars[e]; ok && identifier.MatchString(e) {
		if s, ok := scalar(v.value); ok {
			if _, asIs := v.value.(literal); asIs {
				return s, nil
			}
			return cv.expandTemplates(s, in, depth+1)
		}
	}
	return "", errors.New("its template is not understood; write the value by hand")
}
