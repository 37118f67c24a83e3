package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/balancer"
)

// Where things are in the load balancer's pods, as manifests/loadbalancer.yaml has them.
const (
	balancerSettings = "/etc/kubectl-ha/settings.json"
	balancerDir      = "/run/balancer"
	podCA            = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
	podToken         = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// newBalance is what the load balancer's pods run.
func newBalance(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "balance",
		Short: "Keep this host's load balancer, in its pod",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Images may name a signal of their program's own for a pod's end.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGQUIT)
			defer stop()
			return balancer.Run(ctx, balancer.Options{
				SettingsFile: balancerSettings, Dir: balancerDir, CAFile: podCA, TokenFile: podToken, HostIP: os.Getenv("HOST_IP"),
				// A log that nobody takes is no reason to stop.
				Log: func(format string, args ...any) { _, _ = fmt.Fprintf(streams.Out, format+"\n", args...) },
			})
		},
	}
}

// newBalanceState is what is executed in such a pod, to look at it.
func newBalanceState(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "balance-state",
		Short: "Print the state of the load balancer of this pod, as JSON",
		Args:  cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			state, err := balancer.ReadState(c.Context(), balancerDir, podCA)
			if err != nil {
				return err
			}
			return json.NewEncoder(streams.Out).Encode(state)
		},
	}
}
