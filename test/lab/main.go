// Command lab runs bare Linux hosts as containers on one machine, with
// everything that a Kubernetes cluster is made of built from source: the hosts
// are for the product's end-to-end tests and for trying it out by hand.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubectl-ha/kubectl-ha/test/lab/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
