package adopt

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// release gives the cluster back to those who made it: it shows what goes, asks, and has it taken out.
func (o *options) giveBack(ctx context.Context) (err error) {
	if !o.yes && !o.DryRun {
		if err := cli.Askable(o.In); err != nil {
			return err
		}
	}
	if o.Config, err = cli.RestConfig(o.flags); err != nil {
		return err
	}
	if o.Login, err = o.hostKey.Login(); err != nil {
		return err
	}
	shown := cli.NewProgress(o.ErrOut, cli.Output{})
	defer shown.Close()
	r, err := adopt.FindRelease(ctx, adopt.ReleaseOptions{Config: o.Config, Login: o.Login, SSHUser: o.SSHUser}, shown)
	shown.Close()
	if err != nil {
		return err
	}
	defer r.Close(shown)
	if err := cli.WriteTrimmed(o.Out, releasePlan(r)); err != nil || o.DryRun {
		return err
	}
	if !o.yes {
		question := fmt.Sprintf("Take kubectl ha out of the cluster %s? The cluster runs on.", r.Cluster.Metadata.Name)
		if err := cli.Confirm(ctx, o.In, o.ErrOut, question); err != nil {
			return err
		}
	}
	shown.Open()
	stop := cli.TellInterrupted(ctx, shown)
	defer stop()
	err = r.Run(ctx, shown)
	shown.Close()
	if err != nil {
		return cli.Ended(ctx, err)
	}
	_, err = fmt.Fprintf(o.ErrOut, "released: nothing of kubectl ha is left in the cluster %s, nor on its %s.\n",
		r.Cluster.Metadata.Name, report.Plural(len(r.Cluster.Nodes()), "host", "hosts"))
	return err
}

// releasePlan is what is about to be done, for people.
func releasePlan(r *adopt.Release) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nCluster %s, API at %s: what goes\n\n", r.Cluster.Metadata.Name, r.Cluster.Endpoint())
	for _, line := range r.Lines() {
		if strings.HasPrefix(line, " ") {
			fmt.Fprintf(&b, "  %s\n", line)
			continue
		}
		fmt.Fprintf(&b, "  - %s\n", line)
	}
	b.WriteString("\n")
	return b.String()
}
