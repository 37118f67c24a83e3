package main

import (
	"bytes"
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
	if s.String() != closing || s.packages != 1 {
		t.Errorf("got %q, %d packages", s.String(), s.packages)
	}
}

func TestAPackageThatDoesNotBuildIsAFailure(t *testing.T) {
	const in = `{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p"}
`
	var out bytes.Buffer
	var s sums
	err := s.read(strings.NewReader(in), &out)
	if err != nil || s.packages == 0 || out.String() != "# p\n" {
		t.Errorf("%+v %q %v", s, out.String(), err)
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
