package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
)

// newPowerVerbs are the verbs that switch hosts.
func newPowerVerbs(e *env) []*cobra.Command {
	type act func(host.Manager, context.Context, *host.Lab, []string) error
	verb := func(use, short, done string, do act, atLeast int) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.MinimumNArgs(atLeast),
			RunE: func(cmd *cobra.Command, args []string) error {
				m, l, err := e.lab(cmd)
				if err != nil {
					return err
				}
				if err := do(m, cmd.Context(), l, args); err != nil {
					return err
				}
				if len(args) == 0 {
					args = []string{"all hosts"}
				}
				e.say("%s: %v", done, args)
				return nil
			},
		}
	}
	return []*cobra.Command{
		verb("stop [HOST…]", "Shut hosts down; all when none is named", "stopped", host.Manager.Stop, 0),
		verb("start [HOST…]", "Start hosts and wait until they can be logged in to; all when none is named", "started", host.Manager.Start, 0),
		verb("kill HOST…", "Cut hosts' power", "killed", host.Manager.Kill, 1),
		verb("pause HOST…", "Freeze hosts: no process runs, no connection is closed", "paused", host.Manager.Pause, 1),
		verb("unpause [HOST…]", "Let frozen hosts go on; all when none is named", "unpaused", host.Manager.Unpause, 0),
	}
}

func newPartition(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "partition HOST…",
		Short: "Cut hosts off from everybody else, this machine included",
		Long: "Cut hosts off from everybody else, this machine included. Hosts named in one call still reach each other. " +
			"lab exec works all the same; lab heal ends it.",
		Example: "  lab partition cp1\n  lab partition cp2 w1\n  lab heal",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			return m.Partition(cmd.Context(), l, args)
		},
	}
}

func newHeal(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "heal [HOST…]",
		Short: "End the partition of hosts; of all when none is named",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			return m.Heal(cmd.Context(), l, args)
		},
	}
}

func newShape(e *env) *cobra.Command {
	var rate string
	cmd := &cobra.Command{
		Use:     "shape HOST|uplink --rate RATE|none",
		Short:   "Limit a host's link (both ways) or what this machine sends to all hosts",
		Example: "  lab shape uplink --rate 100mbit\n  lab shape w1 --rate 20mbit\n  lab shape uplink --rate none",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, l, err := e.lab(cmd)
			if err != nil {
				return err
			}
			return m.Shape(cmd.Context(), l, args[0], rate)
		},
	}
	cmd.Flags().StringVar(&rate, "rate", "", "such as 100mbit, 512kbit or 1gbit; none takes the limit away")
	// The flag exists, so this can't fail.
	_ = cmd.MarkFlagRequired("rate")
	return cmd
}
