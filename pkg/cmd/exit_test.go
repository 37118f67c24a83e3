package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exitConstants are the codes of exit.go with what their comments say.
func exitConstants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is || !strings.HasPrefix(spec.Names[0].Name, "Exit") || len(spec.Values) != 1 {
			return true
		}
		value, is := spec.Values[0].(*ast.BasicLit)
		if !is {
			t.Fatalf("%s is no number", spec.Names[0].Name)
		}
		if other, twice := out[value.Value]; twice {
			t.Errorf("%s has two meanings: %s, %s", value.Value, other, spec.Names[0].Name)
		}
		name, meaning, _ := strings.Cut(strings.Join(strings.Fields(spec.Doc.Text()), " "), ": ")
		if name != spec.Names[0].Name {
			t.Errorf("the comment of %s begins with %q", spec.Names[0].Name, name)
		}
		out[value.Value] = meaning
		return true
	})
	return out
}

// TestExitCodesOfThePage: the table in docs/scripting.md is what the code says of its exit
// codes, no more and no less.
func TestExitCodesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/scripting.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = row[2]
	}
	if diff := cmp.Diff(exitConstants(t), documented); diff != "" {
		t.Errorf("exit.go and docs/scripting.md differ (-code +page):\n%s", diff)
	}
}

// TestExitCodesAreNamed: a code is given by its constant's name, so that none has a
// meaning beside the table.
func TestExitCodesAreNamed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	given := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, is := n.(*ast.CallExpr)
			if !is {
				return true
			}
			if f, is := call.Fun.(*ast.Ident); !is || f.Name != "withCode" {
				return true
			}
			given++
			// code is what findingsError chooses among constants.
			if name, is := call.Args[0].(*ast.Ident); !is || !strings.HasPrefix(name.Name, "Exit") && name.Name != "code" {
				t.Errorf("%s: an exit code without a name", set.Position(call.Pos()))
			}
			return true
		})
	}
	if given < 30 {
		t.Errorf("only %d calls were looked at", given)
	}
}
