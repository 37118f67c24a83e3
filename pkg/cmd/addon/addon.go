package addon

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
)

// AddonOptions are what all verbs about addons share.
type AddonOptions struct {
	genericiooptions.IOStreams
	Access *genericclioptions.ConfigFlags
	Output string

	config    *rest.Config
	clients   *client.Clients
	cluster   *v1alpha1.Cluster
	installed []install.Inventory
}

func NewAddon(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "addon",
		Aliases: []string{"addons"},
		Short:   "List, install and uninstall addons: dashboard, metrics, monitoring and more",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"An addon is a folder with manifests and a descriptor. Those that come with this program have their versions pinned; a folder of your own is installed alike. What is installed is written down, so that uninstalling removes all of it, and a newer version what it no longer has."),
		Example: cli.Examples(`
			kubectl ha addon list
			kubectl ha addon install metrics-server
			kubectl ha addon install ./my-addon
			kubectl ha addon status`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	shared := func() AddonOptions { return AddonOptions{IOStreams: streams, Access: access} }
	c.AddCommand(newAddonList(shared()), newAddonInstall(shared()), newAddonUninstall(shared()), newAddonStatus(shared()))
	return c
}

// connect reaches the cluster and reads what is installed.
func (o *AddonOptions) connect(ctx context.Context) (err error) {
	if o.config, o.clients, o.cluster, err = cli.StoredCluster(ctx, o.Access); err != nil {
		return err
	}
	o.installed, err = install.Inventories(ctx, o.clients.Kube)
	return action.OfCluster(err)
}

// find is what is known of an installed addon.
func (o *AddonOptions) find(name string) (install.Inventory, bool) {
	i := slices.IndexFunc(o.installed, func(inv install.Inventory) bool { return inv.Name == name })
	if i < 0 {
		return install.Inventory{}, false
	}
	return o.installed[i], true
}

// completeAddons completes the names of addons for the shell.
func completeAddons(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := addon.BuiltIn()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return all.Names(), cobra.ShellCompDirectiveDefault
}
