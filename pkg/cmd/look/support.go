package look

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// supportLogLines is how much of each log is taken along, by default.
const supportLogLines = 500

// supportOptions collect what helps to find out what is wrong.
type supportOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	file   string
	output string
	lines  int
	quick  bool
}

// NewSupportBundle makes the command support-bundle.
func NewSupportBundle(streams genericiooptions.IOStreams) *cobra.Command {
	o := &supportOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "support-bundle",
		Short:   "Collect logs, state and versions in one archive, without secrets",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Collects diagnostic data in one archive: the output of status and doctor, the Cluster document, Operations with their steps, nodes, events, and the logs of kube-system and ha-system. A short read-only task on each node adds the logs of kubelet, containerd, etcd and keepalived, and their versions.",
			"Secrets are never read. Anything in a log or document that looks like a secret is removed: private keys, tokens, passwords in URLs. Host names and addresses are kept. Review the archive before you share it."),
		Example: cli.Examples(`
			kubectl ha support-bundle
			kubectl ha support-bundle --out incident.tar.gz --lines 2000

			# If the API cannot provide the addresses of the hosts
			kubectl ha support-bundle -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.lines < 0 || o.lines > 20000 {
				return action.Invalidf("--lines must be between 0 and 20000")
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	f := c.Flags()
	cli.AddOutFlag(c, streams, &o.output, "`file` to write (default: a name with the current time, in the current directory); - is standard output")
	f.StringVarP(&o.file, "filename", "f", "", "Cluster `file`, for when the API cannot provide the addresses of the hosts")
	f.IntVar(&o.lines, "lines", supportLogLines, "number of lines from the end of each log")
	f.BoolVar(&o.quick, "quick", false, "do not run tasks on the nodes")
	return c
}

// Run collects, then writes. What could not be had is listed in the archive.
func (o *supportOptions) Run(ctx context.Context) error {
	config, cluster, err := target(o.access, o.file, o.In)
	if err != nil {
		return err
	}
	s, err := diagnose.CollectSupport(ctx, diagnose.SupportOptions{Config: config, Cluster: cluster, Lines: o.lines, Quick: o.quick,
		Render: func(r status.Report) string { return render(r, report.Style{}, true) }})
	if err != nil {
		return err
	}
	return o.write(s, time.Now())
}

// write writes the archive, to a new file unless standard output is asked for.
func (o *supportOptions) write(s diagnose.Support, now time.Time) error {
	name := o.output
	if name == "" {
		name = "kubectl-ha-support-" + now.UTC().Format("20060102-150405") + ".tar.gz"
	}
	if name == "-" {
		return s.Write(o.Out, now)
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	if err := errors.Join(s.Write(out, now), out.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.ErrOut, "%s written: %s, %s not collected. Review it before you share it.\n", name, report.Plural(len(s.Files), "file", "files"), report.Plural(len(s.Missed), "thing", "things"))
	return err
}
