package bundles

import (
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// Unverified is what nobody vouches for but where it came from.
type Unverified struct {
	// Name is an image's reference, or a program's component and version.
	Name string `json:"name"`
	// KnownBy says by what it is known all the same.
	KnownBy string `json:"knownBy"`
}

// UnverifiedOf lists them, programs first; those of several architectures once. It is pure.
func UnverifiedOf(c bundle.Contents) []Unverified {
	var out []Unverified
	add := func(name string, check bundle.Check, source string) {
		u := Unverified{Name: name, KnownBy: knownBy(check, source)}
		if !check.Verified() && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	for _, b := range c.Binaries {
		add(b.Component+" "+b.Version, b.Check, b.Source)
	}
	slices.SortStableFunc(out, func(a, b Unverified) int { return strings.Compare(a.Name, b.Name) })
	for _, i := range c.Images {
		add(i.Ref, i.Check, i.Source)
	}
	return out
}

func knownBy(check bundle.Check, source string) string {
	switch {
	case check == bundle.CheckOrigin:
		return "a checksum from its source"
	case check == bundle.CheckNone && strings.HasPrefix(source, "docker://"):
		return "its tag"
	case check == bundle.CheckNone:
		return "the local file it came from"
	}
	return "not recorded: the bundle was made by an older " + program.Name
}
