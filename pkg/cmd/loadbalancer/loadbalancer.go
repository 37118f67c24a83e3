// Package loadbalancer has the commands about the load balancer of the API.
package loadbalancer

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

// New is the command with the verbs about the load balancer below it.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "loadbalancer",
		Aliases: []string{"lb"},
		Short:   "Balance API clients over all control plane nodes, on a port of the virtual IP",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"The virtual IP leads to one API server at a time. A load balancer on every control plane node, on another port of the virtual IP, distributes connections over all API servers. It checks them twice a second, and closes the connections to one that fails. It adapts automatically when control plane nodes are added or removed.",
			"haproxy supports all of this. nginx supports most of it, but closes more connections than necessary when an API server hangs."),
		Example: cli.Examples(`
			kubectl ha loadbalancer install
			kubectl ha loadbalancer status
			kubectl ha loadbalancer remove`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newInstall(streams, access), newStatus(streams, access), newRemove(streams, access))
	return c
}
