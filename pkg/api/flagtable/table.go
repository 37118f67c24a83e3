package flagtable

import (
	_ "embed" // for the tables
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

var (
	//go:embed flags.txt
	flagLines string
	//go:embed fields.txt
	fieldLines string
	//go:embed gates.txt
	gateLines string
)

// entries map a name to what it is (a kind, or a lock) in each minor version.
type entries map[string]map[string]string

// read are the lines of one table that begin with a word.
func read(lines, first string) entries {
	out := entries{}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) != 4 || words[0] != first {
			continue
		}
		if out[words[1]] == nil {
			out[words[1]] = map[string]string{}
		}
		for _, minor := range strings.Split(words[3], ",") {
			out[words[1]][minor] = words[2]
		}
	}
	return out
}

func (e entries) names(minor string) []string {
	var out []string
	for name, in := range e {
		if _, ok := in[minor]; ok || minor == "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// minors are those that the table knows, the oldest first.
func (e entries) minors() []string {
	var out []string
	for _, in := range e {
		for m := range in {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, compare)
	return out
}

// compare orders minor versions: 1.9 before 1.36.
func compare(a, b string) int {
	n, err := version.MustParseGeneric(a).Compare(b)
	if err != nil {
		return strings.Compare(a, b) // The tables have versions only.
	}
	return n
}

// Minor is 1.36 of v1.36.3; empty for what is no version.
func Minor(v string) string {
	parsed, err := version.ParseGeneric(v)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d", parsed.Major(), parsed.Minor())
}

// Problem is what is wrong with a setting; the zero value is none.
type Problem struct {
	// Message says what is wrong, without the setting's place.
	Message string
	// Newer says that a newer version knows the name.
	Newer bool
	// Untold says that the version is newer than the tables, so that nothing is known
	// of the name.
	Untold bool
}

// lookup finds what a name is in a version. Without a version any will do, and the
// newest counts. what names the program and the thing: kube-apiserver, flag.
func (e entries) lookup(minor, name, program, what string) (kind string, p Problem) {
	known := e.minors()
	in := e[name]
	if minor == "" {
		for _, m := range slices.Backward(known) {
			if kind, ok := in[m]; ok {
				return kind, Problem{}
			}
		}
		return "", Problem{Message: fmt.Sprintf("%s has no %s %s%s", program, what, name, didYouMean(name, e.names("")))}
	}
	if kind, ok := in[minor]; ok {
		return kind, Problem{}
	}
	if newest := known[len(known)-1]; compare(minor, newest) > 0 {
		if kind, ok := in[newest]; ok {
			return kind, Problem{}
		}
		return "", Problem{Message: fmt.Sprintf("the %s %s is not known here, nor is %s %s", what, name, program, minor), Untold: true}
	}
	for _, m := range known {
		if _, ok := in[m]; ok && compare(m, minor) > 0 {
			return "", Problem{Message: fmt.Sprintf("%s %s has no %s %s, only %s and later have it", program, minor, what, name, m), Newer: true}
		}
	}
	for _, m := range slices.Backward(known) {
		if _, ok := in[m]; ok {
			return "", Problem{Message: fmt.Sprintf("%s %s has no %s %s any more, %s was the last with it", program, minor, what, name, m)}
		}
	}
	return "", Problem{Message: fmt.Sprintf("%s %s has no %s %s%s", program, minor, what, name, didYouMean(name, e.names(minor)))}
}
