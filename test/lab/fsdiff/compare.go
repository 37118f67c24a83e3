package fsdiff

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// Change is one difference between a bare host and the host now.
type Change struct {
	// Kind is A for added, C for changed, D for deleted.
	Kind string `json:"kind"`
	Path string `json:"path"`
	// What names the fields that changed: mode, owner, size, content, target, mount.
	What []string `json:"what,omitempty"`
	// Entries is how many paths there are below an added or deleted folder when
	// they are not listed by themselves.
	Entries int `json:"entries,omitempty"`
}

// Compare lists what has changed from before to after, by path.
func Compare(before, after Manifest) []Change {
	changes := []Change{}
	for p, a := range after {
		b, ok := before[p]
		if !ok {
			changes = append(changes, Change{Kind: "A", Path: p})
		} else if what := differences(b, a); len(what) > 0 {
			changes = append(changes, Change{Kind: "C", Path: p, What: what})
		}
	}
	for p := range before {
		if _, ok := after[p]; !ok {
			changes = append(changes, Change{Kind: "D", Path: p})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes
}

// differences names the fields in which two entries differ.
func differences(b, a Entry) []string {
	var what []string
	if b.Mount || a.Mount {
		if b.Mount != a.Mount {
			what = append(what, "mount")
		}
		return what
	}
	if b.Mode != a.Mode {
		what = append(what, "mode")
	}
	if b.Owner != a.Owner {
		what = append(what, "owner")
	}
	if b.Size != a.Size {
		what = append(what, "size")
	} else if b.SHA256 != a.SHA256 {
		what = append(what, "content")
	}
	if b.Target != a.Target {
		what = append(what, "target")
	}
	return what
}

// Fold leaves out what is below an added or a deleted folder and counts it there.
func Fold(changes []Change) []Change {
	kept := map[string]*Change{}
	for _, c := range changes {
		if c.Kind == "C" {
			kept[c.Path] = &c
			continue
		}
		// Sorted by path, a folder comes before what is below it.
		if top := foldedInto(kept, c); top != nil {
			top.Entries++
			continue
		}
		kept[c.Path] = &c
	}
	folded := make([]Change, 0, len(kept))
	for _, p := range slices.Sorted(maps.Keys(kept)) {
		folded = append(folded, *kept[p])
	}
	return folded
}

// foldedInto is the folder above c that was added or deleted as c was.
func foldedInto(kept map[string]*Change, c Change) *Change {
	for dir := path.Dir(c.Path); dir != "/" && dir != "."; dir = path.Dir(dir) {
		if top, ok := kept[dir]; ok && top.Kind == c.Kind {
			return top
		}
	}
	return nil
}

// Write prints changes for people: A, C or D, the path, and what it is about.
func Write(w io.Writer, changes []Change) error {
	var errs []error
	for _, c := range changes {
		note := ""
		switch {
		case len(c.What) > 0:
			note = " (" + strings.Join(c.What, ", ") + ")"
		case c.Entries > 0:
			note = fmt.Sprintf("/ (%d below it)", c.Entries)
		}
		_, err := fmt.Fprintf(w, "%s %s%s\n", c.Kind, c.Path, note)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
