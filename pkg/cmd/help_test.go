package cmd

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// walk calls for every command that people see.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			walk(sub, visit)
		}
	}
}

// TestEveryVerbHelps: a sentence, real examples, and nothing wider than a screen.
func TestEveryVerbHelps(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	// These say all in their usage line.
	plain := map[string]bool{"kubectl ha options": true}
	seen := 0
	walk(NewRoot(streams), func(c *cobra.Command) {
		path := c.CommandPath()
		seen++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q", path, c.Short)
		}
		if !plain[path] && !strings.Contains(c.Example, "kubectl ha") {
			t.Errorf("%s has no example", path)
		}
		var text strings.Builder
		c.SetOut(&text)
		if err := c.Help(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, l := range strings.Split(text.String(), "\n") {
			if n := len([]rune(l)); n > cli.HelpWidth+2 && !strings.HasPrefix(strings.TrimSpace(l), "kubectl ") && !strings.Contains(l, "--") {
				t.Errorf("%s: %d columns: %s", path, n, l)
			}
		}
	})
	if seen < 25 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

// TestUnknownVerbsSuggestTheNearest: each verb, at every level, with a letter left out.
func TestUnknownVerbsSuggestTheNearest(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	root := NewRoot(streams)
	seen := 0
	walk(root, func(c *cobra.Command) {
		if c == root || len(c.Name()) < 4 {
			return
		}
		seen++
		words := strings.Fields(c.CommandPath())[2:]
		words[len(words)-1] = c.Name()[:2] + c.Name()[3:]
		code, out, errOut := run(t, words...)
		if want := `did you mean "` + c.Name() + `"?`; code != cli.ExitUsage || !strings.Contains(errOut, want) || out != "" {
			t.Errorf("%v: exit code %d, %q, want %s", words, code, errOut, want)
		}
	})
	if seen < 40 {
		t.Errorf("only %d commands were tried", seen)
	}
}

// TestMessagesFit: what is said of a mistake fits a terminal, and loses no word there.
func TestMessagesFit(t *testing.T) {
	for _, args := range [][]string{{"statsu"}, {"status", "--wach"}, {"doctor", "--yes"}, {"status", "-o", "xml"}, {"status", "-w", "--deep"}, {"support-bundle", "--lines", "-1"},
		{"version", "extra"}, {"operation", "pause"}, {"completion"}, {"init", "--worker", "w1=192.0.2.1"}, {"upgrade", "v1"}, {"node", "add"}, {"addon", "install"}, {"bundle", "create"}} {
		code, _, errOut := run(t, args...)
		if code == cli.ExitOK {
			t.Errorf("%v: accepted", args)
		}
		text := cli.Fitted(errOut, cli.HelpWidth)
		for _, l := range strings.Split(text, "\n") {
			if n := len([]rune(l)); n > cli.HelpWidth {
				t.Errorf("%v: %d columns: %s", args, n, l)
			}
		}
		if strings.Join(strings.Fields(text), " ") != strings.Join(strings.Fields(errOut), " ") {
			t.Errorf("%v: %q became %q", args, errOut, text)
		}
	}
}

func TestFitted(t *testing.T) {
	const table = "a  table   of   another program"
	if got := cli.Fitted(table+"\n  an indented line that is long", 31); got != table+"\n  an indented line that is long" {
		t.Errorf("got %q", got)
	}
	if got, want := cli.Fitted("short\n  an indented line that is long", 20), "short\n  an indented line\n  that is long"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
