package backup

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func newStatus(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var output cli.Output
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the schedule of backups, and how its last runs ended",
		Long: cli.Paragraphs(
			"Shows the schedule that `backup schedule` has created, its last backup and last failure, and when it runs next. `status` and `doctor` also report failed, missed and suspended runs."),
		Example: cli.Examples(`
			kubectl ha backup status
			kubectl ha backup status -o json`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return showStatus(c.Context(), streams, access, output)
		},
	}
	cli.AddOutput(c, &output, cli.Formats{})
	return c
}

func showStatus(ctx context.Context, streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags, output cli.Output) error {
	config, err := cli.RestConfig(access)
	if err != nil {
		return err
	}
	s, err := backups.Status(ctx, config)
	if err != nil {
		return err
	}
	if output.ForPrograms() {
		return output.Print(streams.Out, struct {
			Schedule *schedule.State `json:"schedule"`
		}{s})
	}
	text, err := statusText(s, time.Now())
	if err != nil {
		return err
	}
	return cli.WriteTrimmed(streams.Out, text)
}

// statusText is a schedule for people.
func statusText(s *schedule.State, now time.Time) (string, error) {
	if s == nil {
		return "No backup is scheduled; set up by `kubectl ha backup schedule`.\n", nil
	}
	at := func(t time.Time, otherwise string) string {
		if t.IsZero() {
			return otherwise
		}
		return t.Local().Format("2006-01-02 15:04")
	}
	kept := keeping(s.Keep)
	to := s.To
	switch {
	case to == "" && kept == "":
		to, kept = "on the nodes", fmt.Sprintf("the newest %d", schedule.DefaultKeep)
	case to == "":
		to = "on the nodes"
	case kept == "":
		kept = "all"
	}
	made := "none"
	if m := s.Last; m != nil {
		made = fmt.Sprintf("%s, %s ago, etcd at revision %d, %s", m.Name, duration.HumanDuration(now.Sub(m.Created)), m.Revision, report.Size(m.Bytes))
	}
	next := at(s.Next, "never")
	if s.Running {
		next = "running now"
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{{"Schedule", s.Cron}, {"Target", to}, {"Kept", kept}, {"Last backup", made},
		{"Last success", at(s.LastSuccess, "none")}, {"Last failure", at(s.LastFailure, "none")}, {"Next run", next}} {
		// Into memory, which does not fail.
		_, _ = fmt.Fprintf(t, "%s:\t%s\n", line[0], line[1])
	}
	if err := t.Flush(); err != nil {
		return "", err
	}
	if what, todo := s.Problem(now); what != "" {
		b.WriteString("\n" + what + "\nnext: " + todo + "\n")
	}
	return b.String(), nil
}
