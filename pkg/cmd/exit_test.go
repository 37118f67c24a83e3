package cmd

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// exitConstants are the codes of exit.go with what their comments say.
func exitConstants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "cli/exit.go", nil, parser.ParseComments)
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

// TestKindsHaveCodes: each kind of error has one exit code, however it is wrapped, and an
// interruption comes before all of them.
func TestKindsHaveCodes(t *testing.T) {
	interrupted, interrupt := context.WithCancelCause(t.Context())
	interrupt(cli.ErrInterrupted)
	for kind, want := range map[action.Kind]int{
		action.Invalid: cli.ExitUsage, action.Findings: cli.ExitFindings, action.Unreachable: cli.ExitUnreachable,
		action.Broken: cli.ExitBroken, action.Timeout: cli.ExitTimeout, "": cli.ExitFailed, "Another": cli.ExitFailed,
	} {
		err := fmt.Errorf("on the way: %w", action.As(kind, errors.New("it failed")))
		if got := cli.ExitCode(t.Context(), err); got != want {
			t.Errorf("%q: %d, want %d", kind, got, want)
		}
		if got := cli.ExitCode(interrupted, err); got != cli.ExitInterrupted {
			t.Errorf("%q, interrupted: %d", kind, got)
		}
	}
}
