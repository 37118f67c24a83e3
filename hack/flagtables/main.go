// Flagtables writes the tables of pkg/api/flagtable: which flags, fields and
// feature gates the supported minor versions of etcd and of Kubernetes' components
// know. It reads the published Go modules' source and builds nothing, so a new
// version costs a download: go run ./hack/flagtables [DIRECTORY].
//
// What a program registers is found by its calls (fs.StringVar(&x, "name", …)),
// which also finds the flags that --help hides. Tests compare the tables with the
// real programs' --help.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// etcdVersions and kubernetesVersions are one version for each minor one: patch
// versions bring no flags. Only those published as Go modules can be read.
var (
	etcdVersions       = []string{"v3.5.35", "v3.6.16", "v3.7.3"}
	kubernetesVersions = []string{"v1.34.4", "v1.35.4", "v1.36.3", "v1.37.2"}
)

func main() {
	to := "pkg/api/flagtable"
	if len(os.Args) > 1 {
		to = os.Args[1]
	}
	if err := run(to); err != nil {
		fmt.Fprintln(os.Stderr, "flagtables:", err)
		os.Exit(1)
	}
}

func run(to string) error {
	flags, fields, gates := table{}, table{}, table{}
	for _, v := range etcdVersions {
		dir, err := download("go.etcd.io/etcd/server/v3@" + v)
		if err != nil {
			return err
		}
		if err := etcd(flags, dir, minor(v)); err != nil {
			return fmt.Errorf("etcd %s: %w", v, err)
		}
	}
	for _, v := range kubernetesVersions {
		k, err := newKubernetes(v)
		if err != nil {
			return err
		}
		for _, part := range []error{k.flags(flags), k.fields(fields), k.gates(gates)} {
			if part != nil {
				return fmt.Errorf("kubernetes %s: %w", v, part)
			}
		}
	}
	for name, t := range map[string]table{"flags.txt": flags, "fields.txt": fields, "gates.txt": gates} {
		if err := os.WriteFile(filepath.Join(to, name), t.bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// table maps a line's first words to the minor versions that have it.
type table map[string][]string

func (t table) add(minor string, words ...string) {
	key := strings.Join(words, " ")
	if !slices.Contains(t[key], minor) {
		t[key] = append(t[key], minor)
	}
}

func (t table) bytes() []byte {
	var lines []string
	for key, minors := range t {
		lines = append(lines, key+" "+strings.Join(minors, ",")+"\n")
	}
	slices.Sort(lines)
	return []byte("# Written by go run ./hack/flagtables; do not edit.\n" + strings.Join(lines, ""))
}

// minor is 1.36 of v1.36.3.
func minor(version string) string {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	return parts[0] + "." + parts[1]
}

// download fetches a module, and returns the folder of its source.
func download(module string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = os.TempDir() // Outside of this module, whose go.mod is not to be asked.
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w: %s", module, err, out)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", fmt.Errorf("go mod download %s: %w", module, err)
	}
	return m.Dir, nil
}
