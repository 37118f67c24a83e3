package agent

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/registry"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

// tasks are all tasks that this program can do on a host.
func tasks() map[string]node.Task { return registry.All() }

// more are the agent's long-running forms.
func more(streams genericiooptions.IOStreams) []*cobra.Command {
	return []*cobra.Command{newBlobs(streams), newWatchVIP(streams), newCoordinate(streams), newFeed(streams), newJoin(streams), newApprove(streams), newRenewCertificates(streams), newScheduledBackup(streams),
		newBalance(streams), newBalanceState(streams)}
}

func newBlobs(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "blobs",
		Short: "Exchange a bundle's blobs with the other hosts, as standard input says",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// What goes wrong with others is no reason to stop.
			log := func(line string) { _, _ = fmt.Fprintln(streams.ErrOut, line) }
			return swarm.RunHosted(c.Context(), streams.In, streams.Out, prepare.StoreDir, log)
		},
	}
}

func newWatchVIP(streams genericiooptions.IOStreams) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "watch-vip --config FILE",
		Short: "Watch the local API server for keepalived",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := vip.ReadWatchConfig(path)
			if err != nil {
				return err
			}
			config.NotifySocket = os.Getenv("NOTIFY_SOCKET")
			// The journal that this goes to is no reason to stop watching.
			config.Log = func(line string) { _, _ = fmt.Fprintln(streams.ErrOut, line) }
			return vip.Watch(c.Context(), config)
		},
	}
	c.Flags().StringVar(&path, "config", vip.WatchConfigPath, "the watcher's configuration `file`")
	return c
}
