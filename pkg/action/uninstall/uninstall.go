// Package uninstall takes a cluster off its hosts, over SSH alone.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// Options say which cluster goes, and what becomes of what it leaves on this machine.
type Options struct {
	// Cluster has its defaults set and is valid.
	Cluster *v1alpha1.Cluster
	// Login is how the caller logs in to the hosts.
	Login remote.Login
	// StateDir is this cluster's directory on the workstation, with the etcd CA by which its
	// hosts are known.
	StateDir string
	// SnapshotFile is where the last snapshot of etcd goes; nothing may be there. It is needed
	// unless NoSnapshot is set.
	SnapshotFile string
	// NoSnapshot goes on without one.
	NoSnapshot bool
	// Unidentified takes hosts too of which only the name tells that they are the cluster's.
	Unidentified bool
	// Forget removes StateDir, with the etcd CA's key, once no host is left.
	Forget bool
	// DryRun changes nothing, and lists every change of every host in the result.
	DryRun bool
	// Confirm, when set, is asked with a plan that has something to do; an error ends it. A dry
	// run asks nobody.
	Confirm func(ctx context.Context, p plan.Plan) error
}

// Result is what became of the hosts.
type Result = uninstall.Result

// DefaultSnapshotFile is a name for the last snapshot of a cluster's etcd, without a directory.
func DefaultSnapshotFile(c *v1alpha1.Cluster, now time.Time) string {
	return fmt.Sprintf("%s-etcd-%s.db", c.Metadata.Name, now.UTC().Format("20060102-150405"))
}

// Check refuses what would fail later, without asking any host. Errors are action.Invalid.
func Check(o Options) error {
	if o.Cluster.Adopted() {
		return action.Invalidf("others made this cluster (spec.endpoint), and uninstall can't tell what on its hosts they made; kubectl ha adopt --release takes kubectl ha out of it")
	}
	if o.NoSnapshot {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(o.SnapshotFile)); err != nil || !info.IsDir() {
		return action.Invalidf("cannot write the snapshot to %s: no such directory", o.SnapshotFile)
	}
	if _, err := os.Lstat(o.SnapshotFile); !errors.Is(err, fs.ErrNotExist) {
		return action.Invalidf("%s already exists; choose another file with --snapshot-out", o.SnapshotFile)
	}
	if o.Forget && uninstall.Within(o.StateDir, o.SnapshotFile) {
		return action.Invalidf("--forget would delete the snapshot in %s; choose another place with --snapshot-out", o.StateDir)
	}
	return nil
}

// Run takes the cluster off its hosts. Without any host in the result nothing was done. A host
// to which there is no way is left for a later run, and makes the error action.Unreachable when
// nothing else failed.
func Run(ctx context.Context, o Options, sink report.Sink) (Result, error) {
	if err := Check(o); err != nil {
		return Result{}, err
	}
	hosts, err := remote.Connect(ctx, o.Cluster, o.Login, sink)
	if hosts == nil {
		return Result{}, err
	}
	defer remote.Close(hosts, sink)
	r, err := uninstall.Run(ctx, uninstall.Config{Cluster: o.Cluster, Hosts: hosts, Failed: hosts.Failed(), StateDir: o.StateDir,
		SnapshotFile: o.SnapshotFile, NoSnapshot: o.NoSnapshot, Unidentified: o.Unidentified, Forget: o.Forget, DryRun: o.DryRun,
		Confirm: o.Confirm}, sink)
	return r, outcome(r, err, o.DryRun)
}

// outcome is the error of a run, with its kind. It is pure.
func outcome(r Result, err error, dryRun bool) error {
	if err != nil && len(r.Hosts) == 0 {
		return action.OfRun(err)
	}
	away := unreachable(r, dryRun)
	switch {
	case err == nil:
		return action.As(action.Unreachable, away)
	case away == nil:
		return action.WithHint(err)
	}
	return fmt.Errorf("%w\n%w", action.WithHint(err), away)
}

// unreachable names the hosts to which there was no way; nil for none.
func unreachable(r Result, dryRun bool) error {
	var lines []string
	for _, h := range slices.SortedFunc(slices.Values(r.Left()), func(a, b uninstall.HostResult) int { return strings.Compare(a.Host, b.Host) }) {
		if h.State == uninstall.Unreachable {
			lines = append(lines, "  "+h.Error)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	what := "skipped"
	if dryRun {
		what = "not checked"
	}
	return fmt.Errorf("%s (unreachable):\n%s\nrun the same command again once they are reachable",
		report.Plural(len(lines), "host is "+what, "hosts are "+what), strings.Join(lines, "\n"))
}

// The transport fits.
var _ uninstall.Hosts = (*ssh.Hosts)(nil)
