package flagtable

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// Flags are a program's.
type Flags struct {
	program string
	entries entries
}

// FlagsOf are the flags of etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler or the kubelet; of another program there are none.
func FlagsOf(program string) Flags { return Flags{program, read(flagLines, program)} }

// Names are the flags of a minor version, sorted; all versions' when it is empty.
func (f Flags) Names(minor string) []string { return f.entries.names(minor) }

// Check finds what a minor version (3.6, 1.36) of the program would refuse, or pass
// over: a name that it does not have, a value that is not of the flag's type. An
// empty version is any that is known. Of feature gates only the syntax is looked at,
// see Gates.
func (f Flags) Check(minor, name, value string) Problem {
	kind, p := f.entries.lookup(minor, name, f.program, "flag")
	if p.Message != "" {
		return p
	}
	if want := wrong(kind, value); want != "" {
		return Problem{Message: fmt.Sprintf("%s=%q: must be %s", name, value, want)}
	}
	return Problem{}
}

// wrong says what a value of the kind looks like; empty when this is one. The
// parsers are those of the packages flag and pflag.
func wrong(kind, value string) string {
	var err error
	want := ""
	switch kind {
	case "bool":
		_, err = strconv.ParseBool(value)
		want = "true or false"
	case "int", "int64":
		_, err = strconv.ParseInt(value, 0, 64)
		want = "a whole number"
	case "int32":
		_, err = strconv.ParseInt(value, 0, 32)
		want = "a whole number of 32 bits"
	case "uint", "uint64":
		_, err = strconv.ParseUint(value, 0, 64)
		want = "a whole number that is not negative"
	case "uint16", "uint32":
		_, err = strconv.ParseUint(value, 0, 32)
		want = "a whole number of 32 bits that is not negative"
	case "float32", "float64":
		_, err = strconv.ParseFloat(value, 64)
		want = "a number"
	case "duration":
		_, err = time.ParseDuration(value)
		want = "a duration with its unit, such as 20s, 5m or 1h"
	case "ip":
		_, err = netip.ParseAddr(value)
		want = "an IP address"
	case "boolmap":
		_, err = parseGates(value, "")
		want = "a list such as NameA=true,NameB=false"
	}
	if err != nil {
		return want
	}
	return ""
}

func didYouMean(name string, known []string) string {
	if near := yamldoc.Nearest(name, known); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

// parseGates reads the value of a flag feature-gates, whose names may have a prefix.
func parseGates(value, prefix string) (map[string]bool, error) {
	out := map[string]bool{}
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, text, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("%q has no =", part)
		}
		name = strings.TrimPrefix(strings.TrimSpace(name), prefix)
		if strings.Contains(name, ":") {
			return nil, fmt.Errorf("%q is no gate's name", name)
		}
		on, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
		out[name] = on
	}
	return out, nil
}
