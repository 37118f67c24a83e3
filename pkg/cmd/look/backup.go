package look

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/diagnose"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

// NewBackup makes the command backup.
func NewBackup(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "backup",
		Short:   "List the backups created by upgrades",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Each upgrade of the control plane starts with a backup: a verified etcd snapshot, and the configuration and keys of the host. Backups stay on their hosts, readable only by root. To restore one, see docs/disaster-recovery.md."),
		Example: cli.Examples("kubectl ha backup list"),
		Args:    cobra.ArbitraryArgs,
		RunE:    cli.RunGroup,
	}
	cli.AddAccess(c, access)
	output, hosts := "", false
	list := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List backups, newest first",
		Long: cli.Paragraphs(
			"Lists the backups recorded in Operations of this cluster. --hosts lists the backups on the disks of the hosts instead, including those that no Operation records, and verifies the digest of each file."),
		Example: cli.Examples(`
			kubectl ha backup list
			kubectl ha backup list --hosts
			kubectl ha backup list -o json`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.CheckOutput(output); err != nil {
				return err
			}
			config, err := cli.RestConfig(access)
			if err != nil {
				return err
			}
			backups, incomplete := diagnose.Backups(c.Context(), config, hosts)
			if incomplete != nil && len(backups) == 0 {
				return incomplete
			}
			if output == cli.OutputJSON {
				if backups == nil {
					backups = []upgrade.Backup{}
				}
				return errors.Join(cli.WriteJSON(streams.Out, backups), incomplete)
			}
			none := "No Operation in this cluster records a backup; use --hosts to read the hosts."
			if hosts {
				none = "No backups found on the hosts."
			}
			return errors.Join(printBackups(streams.Out, backups, none, time.Now()), incomplete)
		},
	}
	list.Flags().BoolVar(&hosts, "hosts", false, "read and verify the backups on the hosts")
	list.Flags().StringVarP(&output, "output", "o", "", "text (default) or json")
	c.AddCommand(list)
	return c
}

// printBackups prints them, or what is to be said when there is none.
func printBackups(w io.Writer, all []upgrade.Backup, none string, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, none)
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "NAME\tNODE\tAGE\tWHAT")
	for _, one := range all {
		age := "?"
		if !one.Made.IsZero() {
			age = duration.HumanDuration(now.Sub(one.Made))
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", one.Name, one.Node, age, one.What)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return cli.WriteTrimmed(w, b.String())
}
