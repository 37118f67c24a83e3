package loadbalancer

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	balancer "github.com/kubectl-ha/kubectl-ha/pkg/action/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// statusOptions look at the load balancer.
type statusOptions struct {
	operate.Options
}

func newStatus(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	o := &statusOptions{operate.Options{IOStreams: streams, Access: access}}
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the load balancer on each control plane node and the health of its API servers",
		Long: cli.Paragraphs(
			"Queries each pod for its API servers and their health, tests the port of the virtual IP, and checks where kube-proxy, cluster-info and the stored Cluster document point to. The exit code is 3 if there are problems."),
		Example: cli.Examples(`
			kubectl ha loadbalancer status
			kubectl ha loadbalancer status -o json`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Connect(c.Context()); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	cli.AddOutput(c, &o.Output, cli.Formats{})
	return c
}

// Run looks, and tells.
func (o *statusOptions) Run(ctx context.Context) error {
	seen, found := balancer.RunStatus(ctx, balancer.StatusOptions{To: o.Connection})
	if seen == nil {
		return found
	}
	var err error
	if o.Output.ForPrograms() {
		err = o.Output.Print(o.Out, seen)
	} else {
		err = printStatus(o.Out, seen, time.Now())
	}
	if err != nil {
		return err
	}
	return found
}

func printStatus(w io.Writer, s *loadbalancer.Status, now time.Time) error {
	if !s.Installed {
		_, err := fmt.Fprintf(w, "No load balancer is installed; %s loadbalancer install installs one.\n", program.Name)
		return err
	}
	uses := "not used by any client"
	if len(s.UseFor) > 0 {
		uses = "used by " + strings.Join(s.UseFor, ", ")
	}
	if _, err := fmt.Fprintf(w, "%s (%s) at https://%s, %s\n\n", s.Type, s.Image, s.Endpoint, uses); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ON\tSTATE\tSINCE\tAPI SERVERS") //nolint:errcheck // Flush tells
	for _, p := range s.Pods {
		state, since := "serving", ""
		if p.Problem != "" {
			state = p.Problem
		}
		if !p.Since.IsZero() {
			since = now.Sub(p.Since).Round(time.Second).String()
		}
		var servers []string
		for _, h := range p.Servers {
			one := h.Name + " up"
			if !h.Up {
				one = h.Name + " down (" + h.Reason + ")"
			} else if h.Streams >= 0 {
				one = fmt.Sprintf("%s up, %s", h.Name, report.Plural(h.Streams, "stream", "streams"))
			}
			servers = append(servers, one)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Node, state, since, strings.Join(servers, "; ")) //nolint:errcheck // Flush tells
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nkube-proxy uses %s\ncluster-info names %s\n", s.KubeProxy, s.ClusterInfo)
	return err
}
