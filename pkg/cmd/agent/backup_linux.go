package agent

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
)

// backupOptions are a scheduled backup's, in the CronJob's pod.
type backupOptions struct {
	scheduledOptions
	text     string
	settings schedule.Settings
}

func newScheduledBackup(streams genericiooptions.IOStreams) *cobra.Command {
	o := &backupOptions{scheduledOptions: scheduledOptions{IOStreams: streams}}
	c := &cobra.Command{
		Use:   "scheduled-backup --agents JSON --settings JSON",
		Short: "Make a backup of the cluster",
		Args:  cli.NoArgs,
		RunE:  cli.InOrder(o),
	}
	o.addFlags(c)
	c.Flags().StringVar(&o.text, "settings", "", "where it goes and what stays, as `JSON`")
	return c
}

// Validate reads what the CronJob sets.
func (o *backupOptions) Validate() error {
	if err := json.Unmarshal([]byte(o.text), &o.settings); err != nil {
		return action.Invalidf("--settings is required, as the CronJob sets it")
	}
	return o.scheduledOptions.Validate()
}

// Run makes the backup.
func (o *backupOptions) Run(ctx context.Context) error {
	config, options, err := o.options()
	if err != nil {
		return err
	}
	return schedule.Run(ctx, config, schedule.Options{Options: options, Settings: o.settings})
}
