// Command importcheck tells which packages import upwards or sideways:
//
//	cmd -> pkg/cmd -> pkg/action -> {bootstrap, incluster} -> {node, transport, bundle, etcd, …} -> {api, report, plan}
//
// bootstrap and incluster never import each other, foreign libraries stay in
// their rooms, and nothing that ships imports the tests.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/kubectl-ha/kubectl-ha"

// levels are the folders from the top down; a package may import its own level
// and those below.
var levels = [][]string{
	{"cmd", "hack", "test"},
	{"pkg/cmd"},
	{"pkg/action"},
	{"pkg/bootstrap", "pkg/incluster", "pkg/status", "pkg/doctor"},
	{"pkg/backup", "pkg/kubeconfig", "pkg/node", "pkg/transport", "pkg/bundle", "pkg/etcd", "pkg/kubeadm", "pkg/pki", "pkg/inventory"},
	{"pkg/api", "pkg/report", "pkg/plan", "pkg/spdx", "pkg/program", "pkg/localfile", "manifests"},
}

// strangers never import each other, although they are on one level.
var strangers = [][2]string{
	{"pkg/bootstrap", "pkg/incluster"}, {"pkg/bootstrap", "pkg/status"}, {"pkg/bootstrap", "pkg/doctor"},
	{"cmd", "test"}, {"cmd", "hack"},
}

// rooms are foreign libraries that only one folder may import, beside tests.
var rooms = map[string]string{
	"go.etcd.io/etcd/client/v3":      "pkg/etcd",
	"go.etcd.io/bbolt":               "pkg/etcd",
	"github.com/containers/image/v5": "pkg/bundle",
	"github.com/minio/minio-go/v7":   "pkg/backup/store",
	"github.com/pkg/sftp":            "pkg/backup/store",
	"golang.org/x/crypto/ssh":        "pkg/transport/ssh",
	"github.com/spf13/cobra":         "pkg/cmd",
	"k8s.io/cli-runtime":             "pkg/cmd",
	"k8s.io/kubectl":                 "pkg/incluster/drain",
}

// streams is what main may use of a room that is not its own: the type of the
// standard streams.
const streams = "k8s.io/cli-runtime/pkg/genericiooptions"

// pkg is a package as `go list -json` prints it.
type pkg struct {
	ImportPath string
	Imports    []string
}

func main() {
	tags := flag.String("tags", "", "build tags")
	flag.Parse()
	problems, err := run(*tags)
	if err != nil {
		fmt.Fprintln(os.Stderr, "importcheck:", err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

func run(tags string) ([]string, error) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "-tags="+tags, "./...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return check(packages), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what go list prints: %w", err)
		}
		packages = append(packages, p)
	}
}

// check finds what is not allowed.
func check(packages []pkg) []string {
	var problems []string
	for _, p := range packages {
		from, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours {
			continue
		}
		if level(from) < 0 {
			problems = append(problems, fmt.Sprintf("%s has no place in the order of packages; give it one in hack/importcheck", from))
			continue
		}
		for _, i := range p.Imports {
			if why := refused(from, i); why != "" {
				problems = append(problems, fmt.Sprintf("%s imports %s: %s", from, i, why))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// refused says why a package may not import another; empty when it may.
func refused(from, imported string) string {
	to, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return refusedForeign(from, imported)
	}
	switch {
	case level(to) < 0:
		return "it has no place in the order of packages"
	case level(to) < level(from):
		return "that is upwards"
	}
	if why := refusedVerb(from, to); why != "" {
		return why
	}
	for _, pair := range strangers {
		if under(from, pair[0]) && under(to, pair[1]) || under(from, pair[1]) && under(to, pair[0]) {
			return pair[0] + " and " + pair[1] + " don't know each other"
		}
	}
	return ""
}

// shared are what verbs have in common, from the top down.
var shared = []string{"pkg/cmd/operate", "pkg/cmd/cli"}

// refusedVerb says why a package of verbs may not import another: no verb knows another, so
// that what two of them need is in pkg/action. Only pkg/cmd knows all.
func refusedVerb(from, to string) string {
	if !under(to, "pkg/cmd") || !under(from, "pkg/cmd") || from == "pkg/cmd" {
		return ""
	}
	if at := slices.Index(shared, to); at > slices.Index(shared, from) {
		return ""
	}
	return "no verb knows another: what both need belongs into pkg/action"
}

func refusedForeign(from, imported string) string {
	if under(from, "test") || under(from, "hack") || imported == streams && under(from, "cmd") {
		return ""
	}
	for library, room := range rooms {
		if under(imported, library) && !under(from, room) {
			return "only " + room + " may"
		}
	}
	return ""
}

// level is the place of a package in the order, -1 when it has none.
func level(path string) int {
	for i, folders := range levels {
		if slices.ContainsFunc(folders, func(f string) bool { return under(path, f) }) {
			return i
		}
	}
	return -1
}

func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}
