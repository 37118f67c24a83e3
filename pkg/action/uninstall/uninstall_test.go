package uninstall

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

func newOptions(t *testing.T) Options {
	t.Helper()
	c := &v1alpha1.Cluster{}
	c.Metadata.Name = "prod"
	return Options{Cluster: c, StateDir: filepath.Join(t.TempDir(), "state"), SnapshotFile: filepath.Join(t.TempDir(), "s.db")}
}

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(o *Options)
		says   string // empty: it is right
	}{
		"right":           {func(*Options) {}, ""},
		"no directory":    {func(o *Options) { o.SnapshotFile = "/nowhere/s.db" }, "no such directory"},
		"not needed":      {func(o *Options) { o.NoSnapshot, o.SnapshotFile = true, "/nowhere/s.db" }, ""},
		"something there": {func(o *Options) { o.SnapshotFile = "uninstall_test.go" }, "--snapshot-out"},
		"would be forgotten": {func(o *Options) {
			o.Forget, o.SnapshotFile = true, filepath.Join(o.StateDir, "s.db")
			if err := os.Mkdir(o.StateDir, 0o700); err != nil {
				panic(err)
			}
		}, "--forget"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOptions(t)
			tc.change(&o)
			err := Check(o)
			if (err == nil) != (tc.says == "") || err != nil && (!strings.Contains(err.Error(), tc.says) || action.KindOf(err) != action.Invalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDefaultSnapshotFile(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	if got := DefaultSnapshotFile(newOptions(t).Cluster, at); got != "prod-etcd-20260203-030506.db" {
		t.Errorf("got %s", got)
	}
}

func TestOutcome(t *testing.T) {
	away := uninstall.HostResult{Host: "cp2", State: uninstall.Unreachable, Error: "cp2: no route to host"}
	other := uninstall.HostResult{Host: "a1", State: uninstall.Unreachable, Error: "a1: refused"}
	done := uninstall.HostResult{Host: "cp1", State: uninstall.Done}
	failed := &bootstrap.TaskError{Host: "w1"}
	failed.Failure.Message, failed.Failure.Hint = "etcd does not stop", "look at it"
	for name, tc := range map[string]struct {
		hosts  []uninstall.HostResult
		err    error
		dryRun bool
		kind   action.Kind
		says   []string // in this order; none: no error
	}{
		"all":      {[]uninstall.HostResult{done, {State: uninstall.Bare}}, nil, false, "", nil},
		"left":     {[]uninstall.HostResult{done, away, other}, nil, false, action.Unreachable, []string{"2 hosts are skipped", "a1: refused", "no route to host", "again"}},
		"unlooked": {[]uninstall.HostResult{away}, nil, true, action.Unreachable, []string{"1 host is not checked"}},
		"failed": {[]uninstall.HostResult{away, {Host: "w1", State: uninstall.Failed}}, failed, false, "",
			[]string{"w1: etcd does not stop", "look at it", "1 host is skipped", "cp2: no route to host"}},
		"failed alone":     {[]uninstall.HostResult{{Host: "w1", State: uninstall.Failed}}, failed, false, "", []string{"etcd does not stop", "look at it"}},
		"another's":        {nil, &bootstrap.PreflightError{}, false, action.Findings, []string{"nothing was changed"}},
		"two at a time":    {nil, bootstrap.ErrLocked, false, action.Invalid, []string{"wait for it"}},
		"nothing was done": {nil, errors.New("the disk is full"), false, "", []string{"the disk is full"}},
	} {
		err := outcome(Result{Hosts: tc.hosts}, tc.err, tc.dryRun)
		if (err == nil) != (len(tc.says) == 0) || action.KindOf(err) != tc.kind {
			t.Errorf("%s: %v is %q", name, err, action.KindOf(err))
			continue
		}
		left := ""
		if err != nil {
			left = err.Error()
		}
		for _, s := range tc.says {
			_, after, found := strings.Cut(left, s)
			if !found {
				t.Errorf("%s: %q is not in %v, or not in its place", name, s, err)
			}
			left = after
		}
	}
}

// TestNoWayToAnyHost: nothing is asked and nothing done, all hosts are left for later, and the
// next run knows no more than that. The hosts are addresses of this machine where nobody listens.
func TestNoWayToAnyHost(t *testing.T) {
	o := newOptions(t)
	for _, name := range []string{"cp1", "w1"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		o.Cluster.Spec.Hosts = append(o.Cluster.Spec.Hosts, v1alpha1.Host{Name: name, Address: "127.0.0.1", SSH: &v1alpha1.SSH{Port: int32(port)}})
	}
	o.Cluster.SetDefaults()
	o.Login = remote.Login{Environment: ssh.Environment{Home: t.TempDir(), User: "root"}, HostKeys: ssh.Strict}
	o.Confirm = func(context.Context, plan.Plan) error { return errors.New("asked for nothing") }
	for _, o.DryRun = range []bool{true, false} {
		r, err := Run(t.Context(), o, report.Discard())
		if action.KindOf(err) != action.Unreachable || !strings.Contains(err.Error(), "2 hosts are") || strings.Contains(err.Error(), "asked") {
			t.Errorf("dry run %v: %q, %v", o.DryRun, action.KindOf(err), err)
		}
		if len(r.Left()) != 2 || r.Snapshot != nil || r.Forgotten {
			t.Errorf("dry run %v: %+v", o.DryRun, r)
		}
	}
}
