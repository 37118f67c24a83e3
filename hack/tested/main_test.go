package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/hack/tested/record"
)

func TestMerge(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	one := func(d int, result string) record.Run {
		return record.Run{Commit: "c", Date: day(d), Kubernetes: "v1.36.3", OS: "debian-12", Tests: []record.Test{{Name: "TestA", Result: result, Seconds: 1}}}
	}
	var results []result
	for _, step := range []struct {
		run  record.Run
		want string
	}{
		{one(2, "fail"), "fail"}, {one(3, "pass"), "pass"},
		{one(1, "fail"), "pass"}, // an older run that is added later
	} {
		if results = merge(results, step.run); len(results) != 1 || results[0].Result != step.want {
			t.Errorf("%+v, want one with %s", results, step.want)
		}
	}
	elsewhere := one(4, "fail")
	elsewhere.OS = "debian-13"
	if results = merge(results, elsewhere); len(results) != 2 || results[0].Result != "pass" {
		t.Errorf("another system's result replaced it: %+v", results)
	}
}

func TestRun(t *testing.T) {
	docs := t.TempDir()
	file := filepath.Join(docs, "run.json")
	r := record.Run{Commit: "abc", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Kubernetes: "v1.36.3", OS: "debian-12",
		Tests: []record.Test{{Name: "TestA/part", Result: "pass"}, {Name: "TestA", Result: "pass", Seconds: 61.26}}}
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := run(docs, []string{file}); err == nil {
		t.Fatal("no requirements.yaml, and no error")
	}
	const requirements = "- issue: 1\n  title: First\n  requirements:\n  - {what: it works, tests: [TestA]}\n  - {what: it flies, open: no wings}\n"
	if err := os.WriteFile(filepath.Join(docs, "requirements.yaml"), []byte(requirements), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(docs, []string{file}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(docs, "TESTED.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| TestA | v1.36.3 | debian-12 | pass | 1m1.2s | 2026-01-02 | abc |\n", "| it works | `TestA` |\n", "| it flies | not shown: no wings |\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "TestA/part") {
		t.Error("a subtest has a row")
	}
	if err := run(docs, []string{filepath.Join(docs, "tested.json")}); err == nil {
		t.Error("a file that is no run was taken")
	}
}

// TestPageIsCurrent: docs/TESTED.md is what make tested writes.
func TestPageIsCurrent(t *testing.T) {
	results, err := readResults("../../docs/tested.json")
	if err != nil {
		t.Fatal(err)
	}
	issues, err := readRequirements("../../docs/requirements.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/TESTED.md")
	if err != nil || string(text) != page(results, issues) {
		t.Errorf("docs/TESTED.md is stale: make tested (%v)", err)
	}
}

// everyTest is the names of all tests and fuzzers.
func everyTest(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(content), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// TestThreatsNameTests: each row of the threat model names tests that exist, or says that
// there is none.
func TestThreatsNameTests(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	there, name, rows := everyTest(t), regexp.MustCompile("`(Test\\w+)`"), 0
	for line := range strings.Lines(string(text)) {
		named := name.FindAllStringSubmatch(line, -1)
		for _, m := range named {
			if !there[m[1]] {
				t.Errorf("there is no %s", m[1])
			}
		}
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Who | May") {
			continue
		}
		if rows++; len(named) == 0 && !strings.Contains(strings.ToLower(line), "no test") {
			t.Errorf("neither a test nor a word that there is none: %s", line)
		}
	}
	if rows < 10 {
		t.Errorf("only %d rows were found", rows)
	}
}

// TestRequirementsNameTests: every test that shows a requirement exists.
func TestRequirementsNameTests(t *testing.T) {
	issues, err := readRequirements("../../docs/requirements.yaml")
	if err != nil {
		t.Fatal(err)
	}
	there := everyTest(t)
	for _, i := range issues {
		for _, r := range i.Requirements {
			if len(r.Tests) == 0 && r.Open == "" {
				t.Errorf("issue %d, %q: neither a test nor a reason", i.Issue, r.What)
			}
			for _, name := range r.Tests {
				top, _, _ := strings.Cut(name, "/")
				if strings.HasPrefix(name, "Test") && !there[top] {
					t.Errorf("issue %d, %q: there is no %s", i.Issue, r.What, top)
				}
			}
		}
	}
}
