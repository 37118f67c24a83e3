package look

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// statusOptions show a cluster's state.
type statusOptions struct {
	genericiooptions.IOStreams
	access   *genericclioptions.ConfigFlags
	file     string
	output   cli.Output
	watch    bool
	interval time.Duration
	deep     bool
}

// NewStatus makes the command status.
func NewStatus(streams genericiooptions.IOStreams) *cobra.Command {
	o := &statusOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show the state of the cluster on one screen",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Queries every component directly: each apiserver at its own address; each controller-manager, scheduler and etcd member through a port forwarded by the kubelet of its node. Shows the holder of the virtual IP, the leaders, etcd size, lag and disk latency, nodes, certificates, DNS, Operations and backups. Nothing is changed, and nothing is started on any node.",
			"--deep also runs a short read-only task on each node, to read what only the hosts know: all certificate files, and when the virtual IP last moved.",
			"It works as long as one apiserver responds. If the one in your kubeconfig does not, pass the Cluster file with -f: then each apiserver is queried at its own address.",
			fmt.Sprintf("The exit code is 0 if the cluster is healthy, %d if there are problems, and %d if the API or a component it depends on is down.", cli.ExitFindings, cli.ExitBroken)),
		Example: cli.Examples(`
			kubectl ha status
			kubectl ha status -w
			kubectl ha status --deep -o wide

			# For a script
			kubectl ha status -o json | jq -r '.problems[].message'

			# If the virtual IP does not respond
			kubectl ha status -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	f := c.Flags()
	cli.AddOutput(c, &o.output, cli.Formats{Wide: "with addresses and details"})
	f.BoolVarP(&o.watch, "watch", "w", false, "refresh continuously")
	f.DurationVar(&o.interval, "interval", 2*time.Second, "with -w: time between two updates")
	f.BoolVar(&o.deep, "deep", false, "also read files on the hosts, with a read-only task on each node")
	f.StringVarP(&o.file, "filename", "f", "", "Cluster `file`, for when the API cannot provide the addresses of the hosts")
	return c
}

// Validate refuses what contradicts itself.
func (o *statusOptions) Validate() error {
	switch {
	case o.interval < 500*time.Millisecond:
		return action.Invalidf("--interval must be at least 500ms")
	case o.watch && o.deep:
		return action.Invalidf("--deep runs a task on each node, and cannot be combined with --watch")
	}
	return nil
}

// Run looks and shows.
func (o *statusOptions) Run(ctx context.Context) error {
	config, cluster, err := target(o.access, o.file, o.In)
	if err != nil {
		return err
	}
	looker := diagnose.NewLooker(diagnose.LookOptions{Config: config, Cluster: cluster, Deep: o.deep})
	for {
		r, err := looker.Look(ctx)
		if err != nil {
			return err
		}
		if err := o.show(r); err != nil {
			return err
		}
		if !o.watch {
			return healthError(r.Health)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(o.interval):
		}
	}
}

// target is the access to a cluster, and the document of the file that says where its hosts
// are; nil without one.
func target(access *genericclioptions.ConfigFlags, file string, in io.Reader) (*rest.Config, *v1alpha1.Cluster, error) {
	config, err := cli.RestConfig(access)
	if err != nil || file == "" {
		return config, nil, err
	}
	cluster, _, err := cli.LoadCluster(file, in)
	return config, cluster, err
}

// show prints one look: a new screen on a terminal that is watched, else below the last.
func (o *statusOptions) show(r status.Report) error {
	if o.output.ForPrograms() {
		if o.watch {
			return o.output.PrintLine(o.Out, r)
		}
		return o.output.Print(o.Out, r)
	}
	text := render(r, cli.StyleFor(o.Out), o.output.Wide())
	if o.watch {
		if _, ok := cli.Terminal(o.Out); ok && cli.Drawable() {
			// Home, and what was there before is cleared below.
			text = "\x1b[H\x1b[2J\x1b[3J" + text
		} else {
			text += "\n"
		}
	}
	_, err := fmt.Fprint(o.Out, text)
	return err
}

// healthError has the exit code of a verdict, which is on the screen already.
func healthError(h status.Health) error {
	if kind := diagnose.KindOf(h); kind != "" {
		return action.As(kind, cli.ErrSaid)
	}
	return nil
}
