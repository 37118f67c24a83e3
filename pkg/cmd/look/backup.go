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
		Short:   "List the backups that upgrades have made",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Each upgrade of the control planes begins with a backup: a snapshot of etcd, read back and checked, and the host's own configuration and keys. Backups stay on their hosts, where only root can read them; docs/disaster-recovery.md says how one is restored."),
		Example: cli.Examples("kubectl ha backup list"),
		Args:    cobra.ArbitraryArgs,
		RunE:    cli.RunGroup,
	}
	cli.AddAccess(c, access)
	output, hosts := "", false
	list := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List backups, the newest first",
		Long: cli.Paragraphs(
			"Lists what the Operations in this cluster tell of backups that they have made and that their hosts keep. With --hosts the hosts themselves are asked: what is on their disks is listed, also when no Operation tells of it any more, and each file is read and compared with its digest."),
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
			none := "No Operation in this cluster tells of a backup; --hosts asks the hosts."
			if hosts {
				none = "There is no backup on any host."
			}
			return errors.Join(printBackups(streams.Out, backups, none, time.Now()), incomplete)
		},
	}
	list.Flags().BoolVar(&hosts, "hosts", false, "ask the hosts themselves, and read every backup")
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
