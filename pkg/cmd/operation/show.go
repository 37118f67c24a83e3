package operation

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// operationKind is the resource's.
var operationKind = v1alpha1.GroupVersion.WithKind(v1alpha1.OperationKind).GroupKind()

func (o *options) newList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List all Operations, oldest first",
		Example: cli.Examples(`
			kubectl ha operation list
			kubectl ha operation list -o json`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Complete(); err != nil {
				return err
			}
			all, err := o.ops.List(c.Context())
			if err != nil {
				return action.OfCluster(err)
			}
			if o.output.Names() {
				var names []string
				for _, op := range all {
					names = append(names, op.Name)
				}
				return o.output.PrintNames(o.Out, operationKind, names...)
			}
			if o.output.ForPrograms() {
				list := v1alpha1.OperationList{Items: all}
				list.APIVersion, list.Kind = v1alpha1.APIVersion, v1alpha1.OperationKind+"List"
				return o.output.Print(o.Out, list)
			}
			return printList(o.Out, all, time.Now())
		},
	}
	cli.AddOutput(c, &o.output, cli.Formats{Names: true})
	return c
}

func printList(w io.Writer, all []v1alpha1.Operation, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No Operations found in this cluster.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	// A tabwriter keeps its errors until Flush.
	_, _ = fmt.Fprintln(t, "NAME\tTYPE\tPHASE\tPROGRESS\tAGE\tMESSAGE")
	for _, op := range all {
		message, _, _ := strings.Cut(op.Status.Message, "\n")
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", op.Name, op.Spec.Type, operations.Phase(op), op.Status.Progress,
			duration.HumanDuration(now.Sub(op.CreationTimestamp.Time)), message)
	}
	return t.Flush()
}

func (o *options) newShow() *cobra.Command {
	c := &cobra.Command{
		Use:               "show [NAME]",
		Short:             "Show an Operation with all its steps",
		Long:              cli.Paragraphs("Shows an Operation with all its steps. Without a name, it shows the running Operation, else the latest."),
		Example:           cli.Examples("kubectl ha operation show join-x7k2p"),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			op, err := o.find(c.Context(), args)
			if err != nil {
				return err
			}
			if o.output.Names() {
				return o.output.PrintNames(o.Out, operationKind, op.Name)
			}
			if o.output.ForPrograms() {
				op.APIVersion, op.Kind = v1alpha1.APIVersion, v1alpha1.OperationKind
				return o.output.Print(o.Out, op)
			}
			return printOne(o.Out, cli.StyleFor(o.Out), *op, time.Now())
		},
	}
	cli.AddOutput(c, &o.output, cli.Formats{Names: true})
	return c
}

func printOne(w io.Writer, style report.Style, op v1alpha1.Operation, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Operation  %s\nType       %s\nPhase      %s %s\n", op.Name, op.Spec.Type, operations.Phase(op), op.Status.Progress)
	if op.Status.StartedAt != nil {
		fmt.Fprintf(&b, "Started    %s, took %s\n", op.Status.StartedAt.Local().Format(time.DateTime), took(op.Status.StartedAt, op.Status.FinishedAt, now))
	}
	if op.Status.Coordinator != "" {
		fmt.Fprintf(&b, "By         pod %s/%s\n", v1alpha1.SystemNamespace, op.Status.Coordinator)
	}
	if message, _, _ := strings.Cut(op.Status.Message, "\n"); message != "" {
		fmt.Fprintf(&b, "Message    %s\n", message)
	}
	b.WriteString("\n")
	var failures []string
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range op.Status.Steps {
		head, more, _ := strings.Cut(s.Message, "\n")
		if more != "" && s.State == v1alpha1.StepFailed {
			failures = append(failures, s.ID+"\n    "+strings.ReplaceAll(s.Message, "\n", "\n    "))
		}
		// Into memory, which does not fail.
		_, _ = fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\n", stepMark(style, s.State), s.ID, s.Title, took(s.StartedAt, s.FinishedAt, now), head)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range failures {
		fmt.Fprintf(&b, "\n%s\n", f)
	}
	return cli.WriteTrimmed(w, b.String())
}

func stepMark(style report.Style, s v1alpha1.StepState) string {
	switch s {
	case v1alpha1.StepSucceeded:
		return style.Mark(report.StepDone)
	case v1alpha1.StepFailed:
		return style.Mark(report.StepFailed)
	case v1alpha1.StepRunning:
		return style.Mark(report.StepStarted)
	case v1alpha1.StepSkipped:
		return style.Mark(report.StepSkipped)
	}
	return style.Mark(report.Info)
}

// took is how long something ran, or has been running.
func took(start, end *metav1.Time, now time.Time) string {
	if start == nil {
		return ""
	}
	if end != nil {
		now = end.Time
	}
	return report.Elapsed(now.Sub(start.Time))
}
