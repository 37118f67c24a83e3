// Command testsum reads what `go test -json` prints and shows it as `go test`
// would, then how many tests passed, failed and were skipped. It ends with 1
// when one failed, or none was run.
//
// Where $TESTSUMS names a file it also notes there what it has counted, and
// `testsum -total` prints the sum of all that was noted: the closing lines of
// what is made of several runs. Each -failed names a step that ended badly;
// when no test has failed these are what failed, since they have ended before
// they could run their tests.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/hack/tested/record"
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
	// failed are tests, and packages that failed without a test of theirs doing so.
	failed []string
	// each shows every test's end, for tests that take long.
	each bool
	// ended are the tests that were run, in the order of their ends.
	ended []record.Test
}

// errNothing is what a run ends with that had no tests.
var errNothing = errors.New("no test was run")

func main() {
	each := flag.Bool("each", false, "show every test as it ends")
	file := flag.String("record", "", "write what was run to this file, for make tested")
	run := record.Run{Date: time.Now().UTC().Truncate(time.Second)}
	flag.StringVar(&run.Commit, "commit", "", "with -record: the commit that was tested")
	flag.StringVar(&run.Kubernetes, "kubernetes", "", "with -record: the version of Kubernetes")
	flag.StringVar(&run.OS, "os", "", "with -record: the hosts' operating system")
	total := flag.Bool("total", false, "print the sum of the runs that $TESTSUMS has, and read nothing")
	var steps []string
	flag.Func("failed", "with -total: a `step` that ended badly; may be repeated", func(step string) error {
		steps = append(steps, step)
		return nil
	})
	flag.Parse()
	s, err := sums{each: *each}, error(nil)
	if notes := os.Getenv("TESTSUMS"); *total {
		err = s.total(notes, steps)
	} else if err = s.read(os.Stdin, os.Stdout); err == nil && notes != "" {
		err = s.note(notes)
	}
	if run.Tests = s.ended; err == nil && *file != "" {
		err = run.Write(*file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	fmt.Print(s)
	if s.passed+s.skipped+len(s.failed) == 0 {
		fmt.Fprintln(os.Stderr, "testsum:", errNothing)
		os.Exit(1)
	}
	if len(s.failed) > 0 {
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
	if e.Test != "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
		s.ended = append(s.ended, record.Test{Name: e.Test, Result: e.Action, Seconds: e.Elapsed})
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
	case "fail":
		if e.Test == "" {
			s.packageFailed(e.Package)
			return unfinished(e.Package, output, out)
		}
		s.failed = append(s.failed, key)
		delete(output, key)
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

// unfinished shows what tests have printed that did not end, as by a panic in a goroutine of theirs.
func unfinished(name string, output map[string]*strings.Builder, out io.Writer) error {
	for _, key := range slices.Sorted(maps.Keys(output)) {
		if test, ok := strings.CutPrefix(key, name+" "); !ok || test == "" {
			continue
		}
		if _, err := io.WriteString(out, output[key].String()); err != nil {
			return err
		}
		delete(output, key)
	}
	return nil
}

// packageFailed counts a package that failed, unless that is since a test of it did:
// one that can't be built, for instance, or has a data race after its last test.
func (s *sums) packageFailed(name string) {
	if !slices.ContainsFunc(s.failed, func(f string) bool { return strings.HasPrefix(f, name+" ") }) {
		s.failed = append(s.failed, name)
	}
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
	fmt.Fprintf(&b, "%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), s.skipped)
	return b.String()
}
