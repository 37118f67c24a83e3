package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestEveryTestSaysWhatItNeeds: each end-to-end test is in needs once, and nothing else is.
func TestEveryTestSaysWhatItNeeds(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(f.Comments, func(c *ast.CommentGroup) bool { return c.List[0].Text == "//go:build e2e" }) {
			continue
		}
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				there = append(there, f.Name.Name)
			}
		}
	}
	if len(there) < 20 {
		t.Fatalf("only %d end-to-end tests were found: %v", len(there), there)
	}
	var said []string
	for _, n := range needs() {
		said = append(said, n.test)
		if (n.tier == long) != (n.left != "") {
			t.Errorf("%s: a long test says what make test has in its place, and no other does", n.test)
		}
	}
	slices.Sort(there)
	slices.Sort(said)
	if !slices.Equal(there, said) {
		t.Errorf("the tests are\n%v\nand needs has\n%v", there, said)
	}
}

func TestOrder(t *testing.T) {
	all := []need{
		{test: "TestBreaks", on: disturbed}, {test: "TestEats", on: consumed}, {test: "TestLooks", on: shared},
		{test: "TestMakes", on: own}, {test: "TestSoaks", on: shared, tier: long, left: "nothing"}, {test: "TestLooksToo", on: shared},
	}
	for _, c := range []struct {
		run          string
		full         bool
		chosen, left string
	}{
		{"", false, "TestMakes TestLooks TestLooksToo TestBreaks TestEats", "TestSoaks"},
		{"", true, "TestMakes TestLooks TestSoaks TestLooksToo TestBreaks TestEats", ""},
		{"TestLooks", false, "TestLooks TestLooksToo", ""},
		{"^TestLooks$/some part", false, "TestLooks", ""},
		{"Soaks", false, "TestSoaks", ""},
		{"Nothing", true, "", ""},
	} {
		chosen, left, err := order(all, c.run, c.full)
		if err != nil || names(chosen) != c.chosen || names(left) != c.left {
			t.Errorf("%q, full %v: %s, left %s, %v; want %s, left %s", c.run, c.full, names(chosen), names(left), err, c.chosen, c.left)
		}
	}
	if _, _, err := order(all, "Test(", false); err == nil {
		t.Error("a pattern that is none was accepted")
	}
}

func names(list []need) string {
	var s []string
	for _, n := range list {
		s = append(s, n.test)
	}
	return strings.Join(s, " ")
}

func TestPattern(t *testing.T) {
	for run, want := range map[string]string{"": "^TestA$", "TestA": "^TestA$", "Test/a/b": "^TestA$/a/b"} {
		if got := pattern("TestA", run); got != want {
			t.Errorf("pattern of %q: %s, want %s", run, got, want)
		}
	}
}
