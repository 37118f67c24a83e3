package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	preflight "github.com/kubectl-ha/kubectl-ha/pkg/action/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// preflightOptions look at the hosts.
type preflightOptions struct {
	genericiooptions.IOStreams
	preflight.PreflightOptions
	file    string
	output  cli.Output
	hostKey cli.HostKeyFlag
}

// NewPreflight is the command preflight.
func NewPreflight(streams genericiooptions.IOStreams) *cobra.Command {
	o := &preflightOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:     "preflight [-f FILE]",
		Short:   "Check the hosts and list blocking issues; nothing is changed",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Logs in to all hosts in parallel and checks them: operating system, kernel, cgroups, disks, ports, clocks, machine identities, the virtual IP, leftovers of other clusters, and connections between the hosts. Nothing is changed.",
			fmt.Sprintf("Lists all findings together, each with a remedy. The exit code is %d if there are blocking issues, and %d if a host is unreachable.", cli.ExitFindings, cli.ExitUnreachable)),
		Example: cli.Examples(`
			kubectl ha preflight
			kubectl ha preflight -f cluster.yaml -o json`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	cli.AddFileFlag(c, &o.file)
	cli.AddHostKeyFlag(c, &o.hostKey)
	cli.AddOutput(c, &o.output, cli.Formats{})
	return c
}

// Complete reads the Cluster file.
func (o *preflightOptions) Complete() (err error) {
	if o.Cluster, o.Warnings, err = cli.FindCluster(&o.file, o.In); err != nil {
		return err
	}
	if o.OwnCAs, err = cli.ReadOwnCAs(o.Cluster, o.file); err != nil {
		return err
	}
	o.StateDir, err = cli.StateDir(o.Cluster)
	return err
}

// Validate has nothing to refuse.
func (o *preflightOptions) Validate() error { return nil }

// preflightReport is what -o json prints.
type preflightReport struct {
	Cluster  string            `json:"cluster"`
	Hosts    int               `json:"hosts"`
	OK       bool              `json:"ok"`
	Findings []cli.HostFinding `json:"findings"`
}

// Run looks at the hosts and prints the findings.
func (o *preflightOptions) Run(ctx context.Context) (err error) {
	if o.Login, err = o.hostKey.Login(); err != nil {
		return err
	}
	sink, end := report.Discard(), func() {}
	if !o.output.ForPrograms() {
		shown := cli.NewProgress(o.ErrOut, cli.Output{})
		sink, end = shown, shown.Close
	}
	result, err := preflight.RunPreflight(ctx, o.PreflightOptions, sink)
	end()
	if err != nil {
		return err
	}
	return o.show(result)
}

// show prints what was found. The error is what it means.
func (o *preflightOptions) show(r preflight.PreflightResult) error {
	hosts, bad := len(o.Cluster.Spec.Hosts), r.Err()
	if o.output.ForPrograms() {
		return errors.Join(o.output.Print(o.Out, preflightReport{o.Cluster.Metadata.Name, hosts, bad == nil, cli.HostFindings(r.Findings)}), bad)
	}
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), r.Findings); err != nil || bad != nil {
		return errors.Join(err, bad)
	}
	// Nothing stands in the way, so that all are warnings.
	_, err := fmt.Fprintf(o.Out, "%s checked: no blocking issues, %s.\n", report.Plural(hosts, "host", "hosts"), report.Plural(len(r.Findings), "warning", "warnings"))
	return err
}
