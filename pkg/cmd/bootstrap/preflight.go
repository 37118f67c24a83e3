package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// preflightOptions look at the hosts.
type preflightOptions struct {
	genericiooptions.IOStreams
	file    string
	output  string
	hostKey cli.HostKeyFlag

	cluster  *v1alpha1.Cluster
	warnings []v1alpha1.FieldWarning
}

func NewPreflight(streams genericiooptions.IOStreams) *cobra.Command {
	o := &preflightOptions{IOStreams: streams}
	c := &cobra.Command{
		Use:     "preflight [-f FILE]",
		Short:   "Look at the hosts, change nothing, and tell what stands in the way",
		GroupID: cli.GroupCluster,
		Long: cli.Paragraphs(
			"Logs in to all hosts at once and looks: system, kernel, cgroups, disks, ports, clocks, identities, the virtual IP, what is left of other clusters, whether the hosts reach each other. Nothing is changed.",
			fmt.Sprintf("All findings come in one list, each with what to do. The exit code is %d when one stands in the way, %d when a host can't be reached.", cli.ExitFindings, cli.ExitUnreachable)),
		Example: cli.Examples(`
			kubectl ha preflight
			kubectl ha preflight -f cluster.yaml -o json`),
		Args: cli.NoArgs,
		RunE: cli.InOrder(o),
	}
	cli.AddFileFlag(c, &o.file)
	cli.AddHostKeyFlag(c, &o.hostKey)
	c.Flags().StringVarP(&o.output, "output", "o", "", "text (default) or json")
	return c
}

// Complete reads the Cluster file.
func (o *preflightOptions) Complete() (err error) {
	o.cluster, o.warnings, err = cli.FindCluster(&o.file, o.In)
	return err
}

// Validate checks the output format.
func (o *preflightOptions) Validate() error { return cli.CheckOutput(o.output) }

// preflightReport is what -o json prints.
type preflightReport struct {
	Cluster  string            `json:"cluster"`
	Hosts    int               `json:"hosts"`
	OK       bool              `json:"ok"`
	Findings []cli.HostFinding `json:"findings"`
}

// Run looks at the hosts and prints the findings.
func (o *preflightOptions) Run(ctx context.Context) error {
	var found []report.Finding
	var err error
	if o.output == cli.OutputJSON {
		found, err = o.look(ctx, report.Discard())
	} else {
		shown := cli.NewProgress(o.ErrOut, "")
		found, err = o.look(ctx, shown)
		shown.Close()
	}
	if err != nil {
		return err
	}
	found = append(cli.FileFindings(o.warnings), found...)
	bad, warnings := cli.Count(found)
	result := cli.FindingsError(found)
	if o.output == cli.OutputJSON {
		err := cli.WriteJSON(o.Out, preflightReport{o.cluster.Metadata.Name, len(o.cluster.Spec.Hosts), bad == 0, cli.HostFindings(found)})
		return errors.Join(err, result)
	}
	if err := cli.PrintFindings(o.Out, cli.StyleFor(o.Out), found); err != nil || result != nil {
		return errors.Join(err, result)
	}
	hosts := report.Plural(len(o.cluster.Spec.Hosts), "host", "hosts")
	_, err = fmt.Fprintf(o.Out, "%s looked at, nothing stands in the way, %s.\n", hosts, report.Plural(warnings, "warning", "warnings"))
	return err
}

// look connects and judges: a bootstrap's dry run up to the plan, without any
// bundle. Hosts that can't be reached are findings as well.
func (o *preflightOptions) look(ctx context.Context, sink report.Sink) ([]report.Finding, error) {
	hosts, err := cli.Connect(ctx, o.cluster, &o.hostKey, sink)
	if hosts == nil {
		return nil, err
	}
	defer remote.Close(hosts, sink)
	state, err := cli.StateDir(o.cluster)
	if err != nil {
		return nil, err
	}
	noBundle := func(context.Context, string) (bootstrap.Bundle, error) { return nil, nil }
	end := action.Begin(sink, "look", "look at the hosts")
	result, err := bootstrap.Run(ctx, bootstrap.Config{Cluster: o.cluster, Hosts: hosts, StateDir: state, DryRun: true, Bundle: noBundle},
		withoutFindings(sink))
	end("")
	var found *bootstrap.PreflightError
	if errors.As(err, &found) {
		err = nil
	}
	return result.Findings, err
}

// withoutFindings leaves out the warnings: they come in one list at the end.
func withoutFindings(sink report.Sink) report.Sink {
	return report.SinkFunc(func(e report.Event) {
		if e.Kind != report.Warning || e.Step != "" {
			sink.Emit(e)
		}
	})
}
