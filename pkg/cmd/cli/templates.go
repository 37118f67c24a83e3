package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// HelpWidth is the longest line in a help text.
const HelpWidth = 100

// usageTemplate is cobra's in spirit; the flags that choose a cluster, which
// several verbs have, are left to `kubectl ha options`.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
{{- if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}
{{- if not .AllChildCommandsHaveGroup}}

{{if .Groups}}Other commands:{{else}}Commands:{{end}}{{range $cmds}}{{if (and (eq .GroupID "") .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}
{{- with ownFlags .}}

Flags:
{{.}}{{end}}
{{- if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more about a command.{{end}}
{{- if hasAccessFlags .}}

"{{root .}} options" lists the flags that choose the cluster and the login.{{end}}
`

const helpTemplate = `{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`

// SetTemplates sets help and usage for the whole tree. cobra keeps template
// functions and the order of commands for the whole process, hence the plain
// closures over nothing.
func SetTemplates(root *cobra.Command) {
	cobra.EnableCommandSorting = false
	cobra.AddTemplateFunc("ownFlags", OwnFlags)
	cobra.AddTemplateFunc("hasAccessFlags", HasAccessFlags)
	cobra.AddTemplateFunc("root", func(c *cobra.Command) string { return c.Root().DisplayName() })
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
}

// AccessFlag marks a flag that chooses the cluster and the login.
const AccessFlag = "kubectl-ha.dev/access"

func OwnFlags(c *cobra.Command) string {
	own := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
	own.SortFlags = false
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if _, access := f.Annotations[AccessFlag]; !access && f.Name != "help" {
			own.AddFlag(f)
		}
	})
	return strings.TrimRight(own.FlagUsagesWrapped(HelpWidth), "\n")
}

func HasAccessFlags(c *cobra.Command) bool {
	found := false
	look := func(f *pflag.Flag) {
		if _, access := f.Annotations[AccessFlag]; access {
			found = true
		}
	}
	c.Flags().VisitAll(look)
	c.InheritedFlags().VisitAll(look)
	return found
}

// Paragraphs wraps each text to the help's width, with an empty line between.
func Paragraphs(texts ...string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strings.Join(Wrap(t, HelpWidth), "\n")
	}
	return strings.Join(out, "\n\n")
}

// Wrap breaks a text at blanks into lines of at most width characters; a
// longer word stays whole.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Fitted breaks the lines of a message that are longer than width, and leaves the others
// as they are: they may be another program's output.
func Fitted(message string, width int) string {
	lines := strings.Split(message, "\n")
	for i, l := range lines {
		if len([]rune(l)) > width {
			indent := l[:len(l)-len(strings.TrimLeft(l, " "))]
			lines[i] = indent + strings.Join(Wrap(l, width-len(indent)), "\n"+indent)
		}
	}
	return strings.Join(lines, "\n")
}

// Examples takes off the indentation that the source code has, and indents by
// two blanks.
func Examples(text string) string {
	lines := strings.Split(strings.Trim(text, "\n\t "), "\n")
	for i, l := range lines {
		l = strings.TrimLeft(l, "\t")
		if l != "" {
			l = "  " + l
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n")
}
