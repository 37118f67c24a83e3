package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, streams genericiooptions.IOStreams, args []string) int {
	err := cli.QuietLibraries()
	if err == nil {
		root := NewRoot(streams)
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	if err != nil {
		printError(ctx, streams.ErrOut, err)
	}
	return cli.ExitCode(ctx, err)
}

// printError prints the message of an error. An interruption is no failure of
// ours, and said in a word.
func printError(ctx context.Context, w io.Writer, err error) {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, cli.ErrSaid) {
		// Whoever read the output has seen enough, or all.
		return
	}
	prefix := "error: "
	if cli.ExitCode(ctx, err) == cli.ExitInterrupted {
		prefix = "interrupted: "
	}
	message := strings.TrimRight(err.Error(), "\n")
	if _, ok := cli.Terminal(w); ok {
		message = cli.Fitted(message, cli.HelpWidth-len(prefix))
	}
	if strings.Contains(message, "\n") {
		message = "\n  " + strings.ReplaceAll(message, "\n", "\n  ")
		prefix = strings.TrimRight(prefix, " ")
	}
	// A standard error that is closed has nobody to be told about it.
	_, _ = fmt.Fprintln(w, prefix+message)
}

// NewRoot makes the command tree.
func NewRoot(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-ha",
		Short: "Highly available Kubernetes clusters from bare Linux hosts",
		Long: cli.Paragraphs(
			"Turns bare Linux hosts into a highly available kubeadm cluster: etcd with TLS on its own, a virtual IP that keepalived moves within a second, several control planes, a pod network.",
			"SSH is needed for the bootstrap only. From then on everything runs as Jobs inside the cluster, recorded in Operations that anybody may watch."),
		Example: cli.Examples(`
			# Write a commented Cluster file, then edit it
			kubectl ha init

			# Look at the hosts, change nothing
			kubectl ha preflight -f cluster.yaml

			# Make the cluster
			kubectl ha bootstrap -f cluster.yaml`),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: program.Name},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          cli.RunGroup,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(cli.FlagError)
	cli.AddVerbosity(root.PersistentFlags(), streams.ErrOut)
	root.AddGroup(
		&cobra.Group{ID: cli.GroupCluster, Title: "Make a cluster:"},
		&cobra.Group{ID: cli.GroupBundle, Title: "Prepare what it is made of:"},
		&cobra.Group{ID: cli.GroupAccess, Title: "Use and watch it:"},
	)
	for _, verb := range verbs(streams) {
		root.AddCommand(verb)
	}
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	cli.SetTemplates(root)
	return root
}
