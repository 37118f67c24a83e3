package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSums(t *testing.T) {
	const in = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: why\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
a compiler's line
{"Action":"output","Package":"q","Output":"ok  \tq\t0.1s\n"}
{"Action":"pass","Package":"q"}
`
	var out bytes.Buffer
	var s sums
	err := s.read(strings.NewReader(in), &out)
	if err != nil {
		t.Fatal(err)
	}
	const shown = "    b_test.go:3: why\nFAIL\tp\t0.1s\na compiler's line\nok  \tq\t0.1s\n"
	if out.String() != shown {
		t.Errorf("shown:\n%s\nwant:\n%s", out.String(), shown)
	}
	const closing = "failed: p TestB\n1 passed, 1 failed, 1 skipped\n"
	if s.String() != closing {
		t.Errorf("got %q", s.String())
	}
}

// A package may fail without a test of its own: it is counted, once, lest the closing
// line says that nothing failed.
func TestAPackageFails(t *testing.T) {
	for name, tt := range map[string]struct{ in, shown string }{
		"does not build": {`{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`, "# p\nFAIL\tp [build failed]\n"},
		"a race after the last test": {`{"Action":"output","Package":"p","Output":"Found 1 data race(s)\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`, "Found 1 data race(s)\nFAIL\tp\t0.1s\n"},
		"a panic in a goroutine of a test": {`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: nil\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`, "FAIL\tp\t0.1s\npanic: nil\n"},
	} {
		t.Run(name, func(t *testing.T) {
			const others = `{"Action":"pass","Package":"p/a","Test":"TestA"}
{"Action":"fail","Package":"p/a","Test":"TestB"}
{"Action":"fail","Package":"p/a"}
`
			var out bytes.Buffer
			var s sums
			err := s.read(strings.NewReader(others+tt.in), &out)
			if err != nil || out.String() != tt.shown || s.String() != "failed: p\nfailed: p/a TestB\n1 passed, 2 failed, 0 skipped\n" {
				t.Errorf("%q %q %v", s.String(), out.String(), err)
			}
		})
	}
}

func TestEach(t *testing.T) {
	const in = `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":61.25}
`
	var out bytes.Buffer
	s := sums{each: true}
	if err := s.read(strings.NewReader(in), &out); err != nil || out.String() != "--- PASS: TestA (61.2s)\n" {
		t.Errorf("%q %v", out.String(), err)
	}
}

func TestTotal(t *testing.T) {
	for name, tt := range map[string]struct {
		runs  []sums
		steps []string
		want  string
	}{
		"all is well":                    {runs: []sums{{passed: 3, skipped: 1}, {passed: 4}}, want: "7 passed, 0 failed, 1 skipped\n"},
		"one failed":                     {runs: []sums{{passed: 3, failed: []string{"p TestA"}}, {passed: 4}}, steps: []string{"make race"}, want: "failed: p TestA\n7 passed, 1 failed, 0 skipped\n"},
		"a run had no tests":             {runs: []sums{{}, {passed: 4}}, want: "failed: no test was run\n4 passed, 1 failed, 0 skipped\n"},
		"a step ended before its tests":  {runs: []sums{{passed: 3}}, steps: []string{"make test"}, want: "failed: make test\n3 passed, 1 failed, 0 skipped\n"},
		"no step came as far as a test":  {steps: []string{"make race", "make test"}, want: "failed: make race\nfailed: make test\n0 passed, 2 failed, 0 skipped\n"},
		"nothing was run, nothing ended": {want: "0 passed, 0 failed, 0 skipped\n"},
	} {
		t.Run(name, func(t *testing.T) {
			notes := filepath.Join(t.TempDir(), "notes")
			for _, run := range tt.runs {
				if err := run.note(notes); err != nil {
					t.Fatal(err)
				}
			}
			var s sums
			if err := s.total(notes, tt.steps); err != nil || s.String() != tt.want {
				t.Errorf("%q, %v; want %q", s.String(), err, tt.want)
			}
		})
	}
}

func TestTotalOfBrokenNotes(t *testing.T) {
	notes := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(notes, []byte("{\"passed\":1}\n{\"pas"), 0o600); err != nil {
		t.Fatal(err)
	}
	var s sums
	if err := s.total(notes, nil); err == nil {
		t.Error("the half of a line is taken for a whole")
	}
}
