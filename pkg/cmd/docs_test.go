package cmd

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// pages are the pages that people read, by their paths from the repository's root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "test/lab/README.md"}
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			files = append(files, strings.TrimPrefix(path, "../../"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join("../..", f))
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(text)
	}
	return out
}

var (
	// link is a link's target.
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// called is a command in a page: to the end of the line, of the code, or to a comment.
	called = regexp.MustCompile("kubectl ha ([a-z][^`#\n|;&]*)")
	option = regexp.MustCompile(`(?:^|\s)--([a-z][a-z-]+)`)
)

// TestLinksOfThePages: what is in this repository is there.
func TestLinksOfThePages(t *testing.T) {
	n := 0
	for file, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" || u.Path == "" {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(file), u.Path)); err != nil {
				t.Errorf("%s: %s leads nowhere", file, m[1])
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d links were followed", n)
	}
}

// TestCommandsInThePages: each command that a page names is there, with its flags.
func TestCommandsInThePages(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	root := NewRoot(streams)
	n := 0
	for file, text := range pages(t) {
		for _, line := range strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n") {
			// In a sentence "kubectl ha" may be anybody's; in code it is a command.
			if strings.Count(line, "`") == 0 && !strings.HasPrefix(strings.TrimLeft(line, " $"), "kubectl ha") {
				continue
			}
			for _, m := range called.FindAllStringSubmatch(line, -1) {
				c := commandOf(root, strings.Fields(m[1]))
				if c == root {
					t.Errorf("%s: there is no command %q", file, m[0])
					continue
				}
				n++
				for _, o := range option.FindAllStringSubmatch(m[1], -1) {
					if o[1] != "help" && c.Flag(o[1]) == nil && c.InheritedFlags().Lookup(o[1]) == nil {
						t.Errorf("%s: %s has no --%s: %s", file, c.CommandPath(), o[1], m[0])
					}
				}
			}
		}
	}
	if n < 150 {
		t.Errorf("only %d commands were looked at", n)
	}
}

// commandOf follows the words down the tree.
func commandOf(c *cobra.Command, words []string) *cobra.Command {
	for _, w := range words {
		// `list|show` stands for several.
		w, _, _ = strings.Cut(strings.Trim(w, "().,:"), "\\|")
		next := c
		for _, sub := range c.Commands() {
			if sub.Name() == w || sub.HasAlias(w) {
				next = sub
			}
		}
		if next == c {
			return c
		}
		c = next
	}
	return c
}
