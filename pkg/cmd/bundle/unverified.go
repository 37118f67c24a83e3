package bundle

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// unverified is what nobody vouches for but where it came from.
type unverified struct {
	// Name is an image's reference, or a program's component and version.
	Name string `json:"name"`
	// KnownBy says by what it is known all the same.
	KnownBy string `json:"knownBy"`
}

// unverifiedOf lists them, programs first; those of several architectures once.
func unverifiedOf(c bundle.Contents) []unverified {
	var out []unverified
	add := func(name string, check bundle.Check, source string) {
		u := unverified{Name: name, KnownBy: knownBy(check, source)}
		if !check.Verified() && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	for _, b := range c.Binaries {
		add(b.Component+" "+b.Version, b.Check, b.Source)
	}
	slices.SortStableFunc(out, func(a, b unverified) int { return strings.Compare(a.Name, b.Name) })
	for _, i := range c.Images {
		add(i.Ref, i.Check, i.Source)
	}
	return out
}

func knownBy(check bundle.Check, source string) string {
	switch {
	case check == bundle.CheckOrigin:
		return "a checksum from where it came from"
	case check == bundle.CheckNone && strings.HasPrefix(source, "docker://"):
		return "its tag"
	case check == bundle.CheckNone:
		return "the local file that it came from"
	}
	return "not recorded: the bundle was made by an older " + program.Name
}

// printUnverified writes them as a table between two texts, and nothing when there are none. w
// may be a tabwriter, whose errors come with Flush.
func printUnverified(w io.Writer, before string, c bundle.Contents, after string) error {
	list := unverifiedOf(c)
	if len(list) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(w, before, "NOT VERIFIED\tKNOWN BY\n"); err != nil {
		return err
	}
	for _, u := range list {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", u.Name, u.KnownBy); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(w, after)
	return err
}
