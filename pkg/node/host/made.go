package host

// ActionRestore is the action of entries about what was put back as it was
// before kubectl-ha touched it.
const ActionRestore = "restore"

// Further kinds of what entries are about.
const (
	// KindAttributes: only mode and owner of a directory are ours.
	KindAttributes = "attributes"
	// KindEmptyDirectory is a directory that others may make on our behalf, and may
	// come to use for themselves: it goes only when it is empty.
	KindEmptyDirectory = "empty-directory"
)

// Made is one thing that kubectl-ha made, replaced or had made on the host, as
// all entries about it together tell.
type Made struct {
	Kind, Target string
	// Whole: what is in a directory is ours as well, whoever put it there.
	Whole bool
	// Original is what was there before; nil when there was nothing.
	Original *Original
	// Set is the last value given to a kernel setting; empty when it was only noted.
	Set string
	// Note is that of the first entry.
	Note string
}

// Made lists everything that is to be taken back to leave the host as it was,
// in the order in which it was first touched. What was removed since by
// kubectl-ha itself is in it only when there is an original to put back.
func (l *Ledger) Made() []Made {
	l.mu.Lock()
	defer l.mu.Unlock()
	var order []string
	all := map[string]*Made{}
	for _, e := range l.entries {
		if e.Kind == KindTask || e.Kind == KindCommand || e.Kind == KindCluster {
			continue
		}
		if e.Action == ActionRemove || e.Action == ActionRestore {
			forget(all, e)
			continue
		}
		m := all[key(e.Kind, e.Target)]
		if m == nil {
			m = &Made{Kind: e.Kind, Target: e.Target, Note: e.Note}
			all[key(e.Kind, e.Target)] = m
			order = append(order, key(e.Kind, e.Target))
		}
		m.add(e)
	}
	var out []Made
	listed := map[string]bool{}
	for _, k := range order {
		if m := all[k]; m != nil && !listed[k] {
			listed[k] = true
			out = append(out, *m)
		}
	}
	return out
}

// add takes an entry in. The last original counts: a target that was removed by us
// may have been made anew by somebody else before we replaced it again.
func (m *Made) add(e Entry) {
	if e.Original != nil {
		m.Original = e.Original
	}
	if e.Kind == KindDirectory && e.Action == ActionRecord {
		m.Whole = true
	}
	if e.Kind == KindSysctl && e.Action == ActionReplace {
		m.Set = e.Note
	}
}

// forget takes out what an entry says is gone. A removal says nothing of the
// kind but whether it was a directory with what was in it.
func forget(all map[string]*Made, e Entry) {
	kinds := []string{e.Kind}
	if e.Action == ActionRemove {
		kinds = []string{KindFile, KindLink, KindDirectory, KindEmptyDirectory}
	}
	for _, kind := range kinds {
		m := all[key(kind, e.Target)]
		if m == nil || e.Action == ActionRemove && m.Original != nil && kind != KindDirectory && kind != KindEmptyDirectory {
			continue // Removed by us, and there is something to put back.
		}
		delete(all, key(kind, e.Target))
	}
}
