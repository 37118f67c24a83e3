// Package addon has the commands about addons, and the dashboard, which is one.
package addon

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
)

// options are what all verbs about addons share.
type options struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	output cli.Output
}

// New makes the command addon.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "addon",
		Aliases: []string{"addons"},
		Short:   "List, install and uninstall addons: dashboard, metrics, monitoring and more",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"An addon is a folder with manifests and a descriptor. Built-in addons have pinned versions. You can also install your own folder. Installed objects are recorded: uninstalling removes all of them, and an update removes those that the new version no longer has."),
		Example: cli.Examples(`
			kubectl ha addon list
			kubectl ha addon install metrics-server
			kubectl ha addon install ./my-addon
			kubectl ha addon status`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	shared := options{IOStreams: streams, access: access}
	c.AddCommand(newList(shared), newInstall(shared), newUninstall(shared), newStatus(shared))
	return c
}

// completeAddons completes the names of addons for the shell.
func completeAddons(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := addon.BuiltIn()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return all.Names(), cobra.ShellCompDirectiveDefault
}
