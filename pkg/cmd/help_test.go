package cmd

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
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
			if n := len([]rune(l)); n > helpWidth+2 && !strings.HasPrefix(strings.TrimSpace(l), "kubectl ") && !strings.Contains(l, "--") {
				t.Errorf("%s: %d columns: %s", path, n, l)
			}
		}
	})
	if seen < 25 {
		t.Errorf("only %d commands were looked at", seen)
	}
}
