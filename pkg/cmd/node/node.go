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
		Short:   "Add hosts to the cluster, take them out, replace one by another",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Hosts come and go while the cluster runs: workers, control planes and etcd members alike. No host is special: the first control plane can be replaced like any other, and so can the one that has the virtual IP.",
			"A new host is prepared over SSH; all else is an Operation in the cluster, which goes on when you leave."),
		Example: cli.Examples(`
			# A host that was added to the Cluster file
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
	f.DurationVar(drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "how long its pods may take to leave it")
	f.BoolVar(&spec.ForceDrain, "force-drain", false, "also evict pods that nothing makes again, and delete what has not left in time")
	f.BoolVar(&spec.DeleteEmptyDirData, "delete-emptydir-data", false, "also evict pods with data in emptyDir volumes, which ends with them")
	f.BoolVar(&spec.Fenced, "fenced", false, "the host, whose kubelet is silent, was cut off for good (its power or its network): take it for lost, whatever seems to answer at its address")
}
