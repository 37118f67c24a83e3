package cmd

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
)

func newBackup(streams genericiooptions.IOStreams) *cobra.Command {
	access := newAccess()
	c := &cobra.Command{
		Use:     "backup",
		Short:   "List the backups that upgrades have made",
		GroupID: groupAccess,
		Long: paragraphs(
			"Each upgrade of the control planes begins with a backup: a snapshot of etcd, read back and checked, and the host's own configuration and keys. Backups stay on their hosts, where only root can read them; docs/disaster-recovery.md says how one is restored."),
		Example: examples("kubectl ha backup list"),
		Args:    cobra.ArbitraryArgs,
		RunE:    runGroup,
	}
	addAccess(c, access)
	output := ""
	list := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List backups, the newest first",
		Long: paragraphs(
			"Lists what the Operations in this cluster tell of backups that they have made and that their hosts keep. The hosts themselves are not asked."),
		Example: examples(`
			kubectl ha backup list
			kubectl ha backup list -o json`),
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			config, err := restConfig(access)
			if err != nil {
				return err
			}
			ops, err := incluster.NewOperations(config, "")
			if err != nil {
				return err
			}
			all, err := ops.List(c.Context())
			if err != nil {
				return clusterError(err)
			}
			backups := upgrade.Backups(all)
			if output == outputJSON {
				if backups == nil {
					backups = []upgrade.Backup{}
				}
				return writeJSON(streams.Out, backups)
			}
			return printBackups(streams.Out, backups, time.Now())
		},
	}
	list.Flags().StringVarP(&output, "output", "o", "", "text (default) or json")
	c.AddCommand(list)
	return c
}

func printBackups(w io.Writer, all []upgrade.Backup, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No Operation in this cluster tells of a backup.")
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	// Into memory, which does not fail.
	_, _ = fmt.Fprintln(t, "NAME\tNODE\tAGE\tWHAT")
	for _, one := range all {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", one.Name, one.Node, duration.HumanDuration(now.Sub(one.Made)), one.What)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeTrimmed(w, b.String())
}
