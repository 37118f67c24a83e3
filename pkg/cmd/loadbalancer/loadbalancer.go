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
		Short:   "Spread the API's clients over all control planes, at a port of the virtual IP",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"The virtual IP leads to one API server at a time. A load balancer on every control plane, at another port of the virtual IP, hands each connection to one of all API servers instead, checks them twice a second, and ends the streams of one that fails. It follows the control planes by itself.",
			"haproxy does all of that; nginx does most of it, and ends more streams than it must when an API server hangs."),
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
