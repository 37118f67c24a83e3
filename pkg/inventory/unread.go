package inventory

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxUnread is how many files that were not read are named, of one folder.
const maxUnread = 50

// noteUnread names what lies in group_vars or host_vars and was not read, with
// the reason: a setting that Ansible does not see is not seen here either, but
// a person may believe in it.
func (v *varFiles) noteUnread(dir string) {
	info := v.stat(dir)
	if info == nil {
		return
	}
	if !info.IsDir() {
		v.model.note("%s was not read: it is no folder", dir)
		return
	}
	named := 0
	err := fs.WalkDir(v.folder, dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if at == dir || v.readWithin(at, e) {
			return nil
		}
		why := v.whyUnread(dir, at, e.IsDir())
		if why == "" {
			return nil
		}
		if named++; named > maxUnread {
			v.model.note("more of what is in %s was not read either", dir)
			return fs.SkipAll
		}
		v.model.note("%s was not read: %s", at, why)
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		v.errs = append(v.errs, err)
	}
}

// readWithin tells whether a file was read, or something within a folder or
// what a link leads to.
func (v *varFiles) readWithin(at string, e fs.DirEntry) bool {
	if v.read[at] {
		return true
	}
	if e.Type().IsRegular() {
		return false
	}
	for file := range v.read {
		if strings.HasPrefix(file, at+"/") {
			return true
		}
	}
	return false
}

// whyUnread is why something was not read, or "" when there was nothing to read.
func (v *varFiles) whyUnread(dir, at string, isFolder bool) string {
	name := path.Base(at)
	if why := whyIgnored(name); why != "" {
		if name == ".gitkeep" || name == ".gitignore" {
			return ""
		}
		return why
	}
	if path.Dir(at) != dir {
		switch ext := path.Ext(name); {
		case isFolder && ext == "" || slices.Contains(extensions, ext):
			return "" // an empty folder
		case isFolder:
			return "Ansible passes over folders with a dot in their names"
		default:
			return "Ansible reads files that end in .yml, .yaml or .json, or have no dot in their names"
		}
	}
	kind := "group"
	if dir == hostVars {
		kind = "host"
	}
	for _, ext := range extensions {
		if stem, ok := strings.CutSuffix(name, ext); ok && v.known(dir, stem) {
			if first := v.first(dir, stem); first != at {
				return fmt.Sprintf("%s goes first, and Ansible reads one of them", first)
			}
			return "" // an empty folder
		}
	}
	if stem := strings.TrimSuffix(name, path.Ext(name)); v.known(dir, stem) {
		return fmt.Sprintf("Ansible reads files for the %s %s that end in .yml, .yaml or .json, or in nothing", kind, stem)
	}
	why := fmt.Sprintf("the inventory has no %s of that name", kind)
	if twin := v.twin(dir, name); twin != "" {
		why += fmt.Sprintf(" (it has %s; dashes and underscores are different)", twin)
	}
	return why
}

func (v *varFiles) known(dir, name string) bool {
	if dir == hostVars {
		return v.model.hosts[name] != nil
	}
	return v.model.groups[name] != nil
}

// first is the file or folder that is read for a name.
func (v *varFiles) first(dir, name string) string {
	for _, ext := range extensions {
		if at := path.Join(dir, name) + ext; v.stat(at) != nil {
			return at
		}
	}
	return ""
}

// twin is the group or host whose name differs in dashes, underscores and case only.
func (v *varFiles) twin(dir, name string) string {
	names := v.model.groupNames
	if dir == hostVars {
		names = v.model.hostNames
	}
	for _, ext := range extensions {
		for _, other := range names {
			if strings.EqualFold(strings.ReplaceAll(strings.TrimSuffix(name, ext), "-", "_"), strings.ReplaceAll(other, "-", "_")) {
				return other
			}
		}
	}
	return ""
}

// nobodys are the variables of groups without hosts, which Ansible gives to nobody.
func (m *model) nobodys() []Setting {
	var out []Setting
	for _, name := range m.groupNames {
		g := m.groups[name]
		if len(m.members(name)) > 0 {
			continue
		}
		for _, vars := range []map[string]variable{g.vars, g.files} {
			for key, v := range vars {
				out = append(out, Setting{Name: key, Where: v.where, Why: fmt.Sprintf("no host is in the group %s", name)})
			}
		}
	}
	return out
}
