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
		Short: "Create and operate highly available Kubernetes clusters on bare Linux hosts",
		Long: cli.Paragraphs(
			"Creates a highly available kubeadm cluster on bare Linux hosts: several control plane nodes, an external etcd with TLS, a virtual IP that fails over within a second, and a pod network.",
			"SSH is used only to install, rescue and uninstall hosts. All other changes run as Jobs inside the cluster. Each change is recorded in an Operation, which you can watch, pause and resume."),
		Example: cli.Examples(`
			# Write a commented Cluster file, then edit it
			kubectl ha init

			# Check the hosts; nothing is changed
			kubectl ha preflight -f cluster.yaml

			# Create the cluster
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
		&cobra.Group{ID: cli.GroupCluster, Title: "Create a cluster:"},
		&cobra.Group{ID: cli.GroupBundle, Title: "Prepare bundles and images:"},
		&cobra.Group{ID: cli.GroupAccess, Title: "Operate a cluster:"},
	)
	for _, verb := range verbs(streams) {
		root.AddCommand(verb)
	}
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	cli.SetTemplates(root)
	return root
}
