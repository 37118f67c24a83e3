// Package node has the commands that add hosts, take them out and replace one by another.
package node

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
)

// New is the command with the verbs about hosts below it.
func New(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "node",
		Aliases: []string{"nodes"},
		Short:   "Add, remove and replace hosts of the cluster",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Adds and removes hosts while the cluster runs: workers, control plane nodes and etcd members. No host is special: you can replace the first control plane node, or the holder of the virtual IP, like any other.",
			"A new host is prepared over SSH. Everything else is an Operation in the cluster, which continues if you disconnect."),
		Example: cli.Examples(`
			# Add a host that you added to the Cluster file
			kubectl ha node add w2 -f cluster.yaml

			kubectl ha node remove w1
			kubectl ha node replace cp1 cp4 -f cluster.yaml`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newAdd(streams, access), newRemove(streams, access), newReplace(streams, access))
	return c
}

// completeHosts completes hosts of the stored document for the shell.
func completeHosts(o *operate.Options) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || o.Connect(c.Context()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, h := range o.Stored.Spec.Hosts {
			var roles []string
			for _, r := range h.Roles {
				roles = append(roles, string(r))
			}
			out = append(out, h.Name+"\t"+strings.Join(roles, ", "))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// addDrainFlags adds the flags about how gently a host is emptied.
func addDrainFlags(c *cobra.Command, spec *v1alpha1.RemoveNodeSpec, drain *time.Duration) {
	f := c.Flags()
	f.DurationVar(drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "maximum time to drain the node")
	f.BoolVar(&spec.ForceDrain, "force-drain", false, "also evict pods without a controller, and delete pods that are still there after --drain-timeout")
	f.BoolVar(&spec.DeleteEmptyDirData, "delete-emptydir-data", false, "also evict pods that use emptyDir volumes; their data is deleted")
	f.BoolVar(&spec.Fenced, "fenced", false, "confirm that the host is permanently cut off (power or network); treat it as lost even if something responds at its address")
}
