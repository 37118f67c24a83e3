package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	groupVars = "group_vars"
	hostVars  = "host_vars"
	// maxVarFiles bounds the files of variables, and maxFolders how deep their
	// folders are looked into.
	maxVarFiles = 1000
	maxFolders  = 16
)

// extensions are what a file of variables may end in, in the order in which
// Ansible tries them: the first that is there is read, the others are not.
var extensions = []string{"", ".yml", ".yaml", ".json"}

// varFiles reads the folders group_vars and host_vars beside an inventory, the
// files in them by the rules of Ansible's own plugin.
// https://docs.ansible.com/ansible/latest/collections/ansible/builtin/host_group_vars_vars.html
type varFiles struct {
	model  *model
	folder fs.FS
	// read are the files that were read, by path.
	read     map[string]bool
	unmapped []Setting
	errs     []error
}

// readVarFiles gives the model's groups and hosts the variables of their files.
// What was not read is noted, or returned if it is known by name. The error
// joins what Ansible could not read either.
func readVarFiles(m *model, folder fs.FS) ([]Setting, error) {
	v := &varFiles{model: m, folder: folder, read: map[string]bool{}}
	if v.isFolder(groupVars) {
		for _, name := range m.groupNames {
			v.entity(groupVars, name, m.groups[name].files)
		}
	}
	if v.isFolder(hostVars) {
		for _, name := range m.hostNames {
			v.entity(hostVars, name, m.hosts[name].files)
		}
	}
	for _, dir := range []string{groupVars, hostVars} {
		v.noteUnread(dir)
	}
	return v.unmapped, errors.Join(v.errs...)
}

func (v *varFiles) stat(name string) fs.FileInfo {
	if !fs.ValidPath(name) {
		return nil // such as of a group that is called ../x
	}
	info, err := fs.Stat(v.folder, name)
	if errors.Is(err, fs.ErrPermission) {
		v.errs = append(v.errs, err) // Ansible passes over it without a word
	}
	if err != nil {
		return nil
	}
	return info
}

func (v *varFiles) isFolder(name string) bool {
	info := v.stat(name)
	return info != nil && info.IsDir()
}

// entity reads the files for one group or host.
func (v *varFiles) entity(dir, name string, into map[string]variable) {
	if strings.HasPrefix(name, "/") {
		return // the path of a chroot
	}
	for _, ext := range extensions {
		at := path.Join(dir, name) + ext
		info := v.stat(at)
		if info == nil {
			continue
		}
		found := []string{at}
		if info.IsDir() {
			found = v.within(at, 0)
		}
		for _, file := range found {
			v.file(file, into)
		}
		return
	}
}

// within lists the files that count in a folder and in its folders, in the
// order of their names. A folder with a dot in its name does not count.
func (v *varFiles) within(dir string, depth int) []string {
	entries, err := fs.ReadDir(v.folder, dir)
	if err == nil && depth >= maxFolders {
		err = fmt.Errorf("%s: folders are nested too deep", dir)
	}
	if err != nil {
		v.errs = append(v.errs, err)
		return nil
	}
	var found []string
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		if whyIgnored(e.Name()) != "" {
			continue
		}
		switch info := v.stat(at); {
		case info == nil:
		case !info.IsDir() && slices.Contains(extensions, path.Ext(at)):
			found = append(found, at)
		case info.IsDir() && path.Ext(at) == "":
			found = append(found, v.within(at, depth+1)...)
		}
	}
	return found
}

// whyIgnored is why Ansible passes over any file of this name within a folder, or "".
func whyIgnored(name string) string {
	switch {
	case strings.HasPrefix(name, "."):
		return "Ansible ignores hidden files"
	case strings.HasSuffix(name, "~"):
		return "Ansible ignores backups (~)"
	}
	return ""
}

// file reads one file of variables.
func (v *varFiles) file(name string, into map[string]variable) {
	first := !v.read[name]
	if v.read[name] = true; len(v.read) > maxVarFiles {
		if len(v.read) == maxVarFiles+1 && first {
			v.errs = append(v.errs, fmt.Errorf("%s: more than %d files of variables", name, maxVarFiles))
		}
		return
	}
	data, err := v.content(name)
	switch {
	case err != nil:
		v.errs = append(v.errs, err)
		return
	case bytes.HasPrefix(data, []byte("$ANSIBLE_VAULT;")):
		if first {
			v.model.note("%s was not read: it is encrypted. What it sets is missing here; look with `ansible-vault view`, "+
				"and leave passwords out: none are needed", name)
		}
		return
	}
	root, err := yamlNode(data)
	if err != nil {
		v.errs = append(v.errs, in(name, err))
		return
	}
	if root == nil {
		return
	}
	r := &yamlReader{}
	entries, err := r.entries(root, 0)
	if err != nil {
		v.errs = append(v.errs, in(name, err))
		return
	}
	for _, e := range entries {
		value, err := r.value(e.value, 1)
		if err != nil {
			delete(into, e.name)
			v.unmapped = append(v.unmapped, Setting{Name: e.name, Where: fmt.Sprintf("%s:%d", name, e.key.Line),
				Why: fmt.Sprintf("the value can't be read (line %v)", err)})
			continue
		}
		into[e.name] = variable{value, name}
	}
	for _, twice := range r.twice {
		v.model.note("%s, %s", name, twice)
	}
}

func (v *varFiles) content(name string) ([]byte, error) {
	f, err := v.folder.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("%s: more than %d bytes, which are not read", name, maxSize)
	}
	return data, err
}
