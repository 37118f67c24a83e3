package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

// What an inventory means is Ansible's to say. testdata/ansible has what the
// real ansible-inventory made of each inventory in the table below;
// TestMeansWhatAnsibleSays compares with that always, and
// TestRecordedIsAnsibles compares it with the real program where there is one
// (`go test ./pkg/inventory -update` records it anew).

// inventoryCase is an inventory with the files beside it, by path.
type inventoryCase struct {
	// file is the inventory among the files.
	file  string
	files map[string]string
}

func TestMeansWhatAnsibleSays(t *testing.T) {
	for name, tc := range inventoryCases() {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata/ansible", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			got := canonical(t, listing(tc))
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("Ansible's meaning (-) and ours (+):\n%s", diff)
			}
		})
	}
}

func TestRecordedIsAnsibles(t *testing.T) {
	program, err := exec.LookPath("ansible-inventory")
	if err != nil {
		t.Skip("ansible-inventory is not on the PATH: only what was recorded of it is compared. Debian and Ubuntu have it in ansible-core, which `bin/lab build` installs")
	}
	for name, listed := range askAnsible(t, program, inventoryCases()) {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, "ansible/"+name+".json", canonical(t, listed.value(t)))
		})
	}
}

// Names that only a folder on a disk can have: a link, and a folder of links.
func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"i": "[masters]\nm1 ansible_host=10.0.0.1\n", "elsewhere/a.yml": "MASTER_VIP: 10.0.0.9\n",
		"common.yml": "POD_NETWORK_CIDR: 10.7.0.0/16\n"} {
		put(t, dir, name, text)
	}
	if err := os.Mkdir(filepath.Join(dir, "group_vars"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"group_vars/all": "../elsewhere", "group_vars/masters.yml": "../common.yml"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Convert([]byte("[masters]\nm1 ansible_host=10.0.0.1\n"), "i", os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Cluster.Spec; s.VirtualIP != "10.0.0.9" || s.Network.PodSubnet != "10.7.0.0/16" {
		t.Errorf("%+v", s)
	}
	for _, n := range r.Notes {
		if bytes.Contains([]byte(n), []byte("was not read")) {
			t.Errorf("read, and yet: %s", n)
		}
	}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	at := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// listed is how the real program ended, and what it wrote.
type listed struct {
	Code     int
	Out, Err string
}

// askAnsible has the real program list all inventories.
func askAnsible(t *testing.T, program string, cases map[string]inventoryCase) map[string]listed {
	t.Helper()
	dir, own := t.TempDir(), t.TempDir()
	argv := []string{"testdata/list.py"}
	var names []string
	for name, tc := range cases {
		for file, text := range tc.files {
			put(t, filepath.Join(dir, name), file, text)
		}
		names = append(names, name)
		argv = append(argv, filepath.Join(dir, name, filepath.FromSlash(tc.file)))
	}
	put(t, own, "ansible.cfg", "")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter(t, program), argv...)
	// Nobody's configuration, and a failure where it would be a warning.
	cmd.Env = []string{"HOME=" + own, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "ANSIBLE_CONFIG=" + filepath.Join(own, "ansible.cfg"),
		"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true", "ANSIBLE_NOCOLOR=true"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var all []listed
	if err := json.Unmarshal(data, &all); err != nil || len(all) != len(names) {
		t.Fatalf("%v in %s", err, data)
	}
	out := map[string]listed{}
	for i, name := range names {
		out[name] = all[i]
	}
	return out
}

// interpreter is the Python that has Ansible: the one of the program's first line.
func interpreter(t *testing.T, program string) string {
	t.Helper()
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	python, ok := strings.CutPrefix(strings.TrimSpace(line), "#!")
	if python = strings.TrimSpace(python); !ok || strings.ContainsAny(python, " \t") {
		t.Fatalf("%s is no Python program with a plain first line: %q", program, line)
	}
	return python
}

// value is what was listed; {"refused": true} stands for an inventory that the
// program refuses.
func (l listed) value(t *testing.T) any {
	t.Helper()
	if l.Code != 0 {
		// How it says that an inventory or a file can't be read; other failures are ours.
		if !strings.Contains(l.Err, "ERROR! ") {
			t.Fatalf("exit code %d: %s", l.Code, l.Err)
		}
		return refused
	}
	var out any
	if err := json.Unmarshal([]byte(l.Out), &out); err != nil {
		t.Fatalf("%v in %s", err, l.Out)
	}
	return plainText(out)
}

var refused = map[string]any{"refused": true}

// plainText takes away how Ansible marks text without templates and encrypted text.
func plainText(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, mark := range []string{"__ansible_unsafe", "__ansible_vault"} {
			if text, ok := v[mark]; ok && len(v) == 1 {
				return text
			}
		}
		for key := range v {
			v[key] = plainText(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plainText(v[i])
		}
	}
	return v
}

// listing writes a model as `ansible-inventory --list` does.
func listing(tc inventoryCase) any {
	m, err := parse([]byte(tc.files[tc.file]), filepath.Base(tc.file))
	if err == nil {
		var unmapped []Setting
		// Ansible ends at a value of an unknown kind, which is only named here.
		if unmapped, err = readVarFiles(m, folder(tc.files)); len(unmapped) > 0 {
			return refused
		}
	}
	if err != nil {
		return refused
	}
	hosts := map[string]any{}
	for _, name := range m.hostNames {
		vars := map[string]any{}
		for key, v := range m.view(name) {
			vars[key] = v.value
		}
		if len(vars) > 0 {
			hosts[name] = vars
		}
	}
	out := map[string]any{"_meta": map[string]any{"hostvars": hosts}}
	for name, g := range m.groups {
		members := map[string]any{}
		if len(g.hosts) > 0 && name != allGroup {
			members["hosts"] = g.hosts
		}
		if len(g.children) > 0 {
			members["children"] = g.children
		}
		if len(members) > 0 {
			out[name] = members
		}
	}
	return out
}

// canonical writes a value in one way.
func canonical(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

func TestEveryRecordingIsOfAnInventory(t *testing.T) {
	recorded, err := filepath.Glob("testdata/ansible/*.json")
	if err != nil {
		t.Fatal(err)
	}
	cases := inventoryCases()
	for _, path := range recorded {
		if _, ok := cases[strings.TrimSuffix(filepath.Base(path), ".json")]; !ok {
			t.Errorf("%s is of no inventory in the table; remove it", path)
		}
	}
	if len(cases) != len(recorded) {
		t.Errorf("%d inventories, %d recordings", len(cases), len(recorded))
	}
}
