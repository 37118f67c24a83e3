package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// HelpWidth is the longest line in a help text.
const HelpWidth = 100

// The groups of verbs in the help.
const (
	GroupCluster = "cluster"
	GroupBundle  = "bundle"
	GroupAccess  = "access"
)

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

"{{.CommandPath}} COMMAND --help" shows more about a command.{{end}}
{{- if hasAccessFlags .}}

"{{root .}} options" lists the flags for access to the cluster.{{end}}
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

// OwnFlags are the usages of a command's flags, without those that the help leaves out.
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

// HasAccessFlags tells whether a command takes the flags that choose the cluster and the login.
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
