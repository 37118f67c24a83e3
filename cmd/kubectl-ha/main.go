// Command kubectl-ha is a kubectl plugin that turns bare Linux hosts into a
// highly available kubeadm cluster, and the agent that does the work on a host.
//
// This file holds what only a process has: signals, standard streams and the
// exit code. Everything else is in pkg/cmd.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := interruptible()
	defer stop()
	// A reader of our output that goes away (a pipe to head) makes writes fail
	// instead of ending a bootstrap half way. Notify, and not Ignore, since
	// commands that the agent runs would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	return cmd.Main(ctx, streams, os.Args[1:])
}

// interruptible returns a context that ends with the first SIGINT or SIGTERM.
// The second one ends the process at once: what was begun on the hosts goes on
// there, and the next run finds it.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(cli.ErrInterrupted)
		<-signals
		os.Exit(cli.ExitInterrupted)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
