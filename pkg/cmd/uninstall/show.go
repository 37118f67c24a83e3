package uninstall

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// report tells what was done, or would be.
func (o *options) report(r uninstall.Result, took time.Duration) error {
	if o.output.ForPrograms() {
		hosts := slices.Clone(r.Hosts)
		if !o.DryRun {
			for i := range hosts {
				hosts[i].Changes = nil // They came as events of the steps, and are many.
			}
		}
		return o.output.PrintLine(o.Out, map[string]any{"kind": "summary", "cluster": o.Cluster.Metadata.Name, "dryRun": o.DryRun, "hosts": hosts,
			"snapshot": r.Snapshot, "forgotten": r.Forgotten, "elapsed": took.Seconds()})
	}
	if o.DryRun {
		return o.printChanges(r)
	}
	var b strings.Builder
	free := len(r.Hosts) - len(r.Left())
	fmt.Fprintf(&b, "\nCluster %s: %s restored, %d remaining, after %s.\n", o.Cluster.Metadata.Name,
		report.Plural(free, "host is", "hosts are"), len(r.Left()), report.Elapsed(took))
	for _, h := range r.Hosts {
		for _, l := range h.Left {
			fmt.Fprintf(&b, "  %s keeps %s\n", h.Host, l)
		}
	}
	if r.Snapshot != nil {
		fmt.Fprintf(&b, "The last etcd snapshot is %s; it contains every Secret of the cluster.\n", r.Snapshot.File)
	}
	switch {
	case r.Forgotten:
		fmt.Fprintf(&b, "The local files of the cluster were deleted; remove %s.kubeconfig and other kubeconfigs yourself.\n", o.Cluster.Metadata.Name)
	case len(r.Left()) == 0 && o.Cluster.Stacked():
		fmt.Fprintf(&b, "What the cluster was known by stays in %s, for a cluster of the same name; --forget removes it.\n", o.StateDir)
	case len(r.Left()) == 0:
		fmt.Fprintf(&b, "The etcd CA stays in %s, for a cluster of the same name; --forget removes it.\n", o.StateDir)
	}
	_, err := io.WriteString(o.Out, b.String())
	return err
}

// printChanges lists everything that would be done, host by host.
func (o *options) printChanges(r uninstall.Result) error {
	var b strings.Builder
	if err := cli.PrintPlan(&b, cli.StyleFor(o.Out), o.Cluster, r.Plan); err != nil {
		return err
	}
	for _, h := range r.Hosts {
		if len(h.Changes) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s, %s:\n", h.Host, report.Plural(len(h.Changes), "change", "changes"))
		for _, c := range h.Changes {
			line := fmt.Sprintf("  %-8s %s", c.Action, c.Target)
			if c.Note != "" {
				line += "  (" + c.Note + ")"
			}
			b.WriteString(line + "\n")
		}
	}
	b.WriteString("Dry run: nothing was changed.\n")
	_, err := io.WriteString(o.Out, b.String())
	return err
}
