// Command testsum reads what `go test -json` prints and shows it as `go test`
// would, then how many tests passed, failed and were skipped. It ends with 1
// when one failed, or none was run.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is a line of `go test -json`.
// https://pkg.go.dev/cmd/test2json
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	// Elapsed is in seconds.
	Elapsed float64
}

// sums are the counts, and what failed.
type sums struct {
	passed, skipped int
	failed          []string
	packages        int
	// each shows every test's end, for tests that take long.
	each bool
}

func main() {
	each := flag.Bool("each", false, "show every test as it ends")
	flag.Parse()
	s := sums{each: *each}
	err := s.read(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	fmt.Print(s)
	if s.passed+s.skipped+len(s.failed) == 0 {
		fmt.Fprintln(os.Stderr, "testsum: no test was run")
		os.Exit(1)
	}
	if len(s.failed) > 0 || s.packages > 0 {
		os.Exit(1)
	}
}

// read shows a test's output when it failed, and a package's own lines always.
func (s *sums) read(in io.Reader, out io.Writer) error {
	output := map[string]*strings.Builder{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				// A compiler's message, for instance.
				if _, err := out.Write(line); err != nil {
					return err
				}
			} else if err := s.take(e, output, out); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *sums) take(e event, output map[string]*strings.Builder, out io.Writer) error {
	key := e.Package + " " + e.Test
	text := output[key]
	if text == nil {
		text = &strings.Builder{}
		output[key] = text
	}
	switch e.Action {
	case "output", "build-output":
		if e.Test == "" && !noise(e.Output) {
			_, err := io.WriteString(out, e.Output)
			return err
		}
		text.WriteString(e.Output)
		return nil
	case "pass":
		if e.Test != "" {
			s.passed++
		}
	case "skip":
		if e.Test != "" {
			s.skipped++
		}
	case "build-fail":
		s.packages++
	case "fail":
		if e.Test == "" {
			s.packages++
			break
		}
		s.failed = append(s.failed, key)
		_, err := io.WriteString(out, text.String())
		return err
	}
	if e.Action != "pass" && e.Action != "skip" {
		return nil
	}
	delete(output, key)
	if !s.each || e.Test == "" {
		return nil
	}
	_, err := fmt.Fprintf(out, "--- %s: %s (%.1fs)\n", strings.ToUpper(e.Action), e.Test, e.Elapsed)
	return err
}

// noise are a package's lines that say nothing.
func noise(line string) bool {
	return line == "PASS\n" || line == "FAIL\n" || strings.HasSuffix(line, "[no test files]\n")
}

// String is the closing lines.
func (s sums) String() string {
	var b strings.Builder
	slices.Sort(s.failed)
	for _, f := range s.failed {
		fmt.Fprintf(&b, "failed: %s\n", f)
	}
	if s.packages > 0 && len(s.failed) == 0 {
		fmt.Fprintf(&b, "%d packages failed\n", s.packages)
	}
	fmt.Fprintf(&b, "%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), s.skipped)
	return b.String()
}
