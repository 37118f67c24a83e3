package cmd

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// referencePage is where the command reference is.
const referencePage = "../../docs/cli.md"

const referenceIntro = `# Commands

Generated from the commands by ` + "`make docs`" + `; a test fails when it is stale. ` + "`kubectl ha COMMAND --help`" + ` prints the same.
For exit codes, ` + "`-o json`" + `, files and environment see [scripting](scripting.md).
`

// TestCommandReference: docs/cli.md is what the commands say of themselves; -update
// writes it anew. The renderer is here, and not in the program, which has no use for it.
func TestCommandReference(t *testing.T) {
	// A flag's default that is a folder of the caller's is written as such.
	t.Setenv("HOME", "/home/you")
	t.Setenv("KUBECACHEDIR", "")
	want := commandReference()
	if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
		if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), want); diff != "" {
		t.Errorf("docs/cli.md is stale, `make docs` writes it anew (-have +want):\n%s", diff)
	}
}

// TestCommandReferenceIsWhole: each command that people see has its heading, with its
// usage, examples and flags, and each link of the contents leads to one.
func TestCommandReferenceIsWhole(t *testing.T) {
	page := commandReference()
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	walk(NewRoot(streams), func(c *cobra.Command) {
		_, part, found := strings.Cut(page, "\n## "+c.CommandPath()+"\n")
		if !found {
			t.Errorf("%s is not in it", c.CommandPath())
			return
		}
		part, _, _ = strings.Cut(part, "\n## ")
		if !strings.Contains(part, c.Short) || !strings.Contains(part, exampleOf(c)) {
			t.Errorf("%s: what it is, or its examples, are not in it", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, access := f.Annotations[cli.AccessFlag]; !access && !f.Hidden && f.Name != "help" && !strings.Contains(part, "--"+f.Name) {
				t.Errorf("%s: --%s is not in it", c.CommandPath(), f.Name)
			}
		})
	})
	for _, link := range regexp.MustCompile(`\(#([a-z-]+)\)`).FindAllStringSubmatch(page, -1) {
		heading := "\n## " + strings.ReplaceAll(link[1], "-", " ") + "\n"
		if !strings.Contains(strings.ReplaceAll(page, "-", " "), heading) {
			t.Errorf("the link %s leads nowhere", link[0])
		}
	}
	if strings.Contains(page, "kubectl ha agent") {
		t.Error("the hidden commands are in it")
	}
}

// commandReference is the whole page.
func commandReference() string {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	root := NewRoot(streams)
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, group := range append(root.Groups(), &cobra.Group{Title: "Other:"}) {
		fmt.Fprintf(&b, "\n**%s**\n\n| Command | |\n|---|---|\n", strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == group.ID && c.IsAvailableCommand() {
				walk(c, func(c *cobra.Command) {
					fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
				})
			}
		}
	}
	walk(root, func(c *cobra.Command) { referenceOf(&b, c) })
	return b.String()
}

// referenceOf writes a command's part, after its help.
func referenceOf(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n", c.CommandPath(), c.Short)
	if c.Long != "" {
		// Markdown breaks the lines itself.
		for _, p := range strings.Split(c.Long, "\n\n") {
			fmt.Fprintf(b, "\n%s\n", escaped(strings.ReplaceAll(p, "\n", " ")))
		}
	}
	usage := c.UseLine()
	if c.HasAvailableSubCommands() {
		usage = c.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(b, "\n```\n%s\n```\n", usage)
	if c.HasExample() {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", exampleOf(c))
	}
	flags := cli.OwnFlags(c)
	if c.Name() == "options" {
		flags = strings.TrimRight(cli.CommonFlags().FlagUsagesWrapped(cli.HelpWidth), "\n")
	}
	if flags != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", flags)
	}
	if cli.HasAccessFlags(c) {
		b.WriteString("\nAlso accepts the [flags for access to the cluster](#kubectl-ha-options).\n")
	}
}

// exampleOf is a command's examples without the indentation of its help.
func exampleOf(c *cobra.Command) string {
	return strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n")
}

// escaped keeps Markdown from taking a placeholder for HTML, or a star for emphasis.
func escaped(text string) string {
	return strings.NewReplacer("<", "\\<", "*", "\\*", "_", "\\_").Replace(text)
}
