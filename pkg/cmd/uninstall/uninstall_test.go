package uninstall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func newUninstallTest(t *testing.T) (*uninstallOptions, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	o := &uninstallOptions{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: io.Discard}, cluster: &v1alpha1.Cluster{},
		state: filepath.Join(t.TempDir(), "state"), snapshotOut: filepath.Join(t.TempDir(), "s.db")}
	o.cluster.Metadata.Name = "prod"
	return o, out
}

func TestUninstallValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(o *uninstallOptions)
		says   string // empty: it is right
	}{
		"nobody to ask":   {func(*uninstallOptions) {}, "--yes"},
		"yes":             {func(o *uninstallOptions) { o.yes = true }, ""},
		"dry run":         {func(o *uninstallOptions) { o.dryRun = true }, ""},
		"format":          {func(o *uninstallOptions) { o.yes, o.output = true, "xml" }, "xml"},
		"no directory":    {func(o *uninstallOptions) { o.yes, o.snapshotOut = true, "/nowhere/s.db" }, "no such directory"},
		"not needed":      {func(o *uninstallOptions) { o.yes, o.noSnapshot, o.snapshotOut = true, true, "/nowhere/s.db" }, ""},
		"something there": {func(o *uninstallOptions) { o.yes, o.snapshotOut = true, "uninstall_test.go" }, "--snapshot-out"},
		"would be forgotten": {func(o *uninstallOptions) {
			o.yes, o.forget, o.snapshotOut = true, true, filepath.Join(o.state, "s.db")
			if err := os.Mkdir(o.state, 0o700); err != nil {
				panic(err)
			}
		}, "--forget"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := newUninstallTest(t)
			tc.change(o)
			err := o.Validate()
			if (err == nil) != (tc.says == "") || err != nil && (!strings.Contains(err.Error(), tc.says) || cli.ExitCode(t.Context(), err) != cli.ExitUsage) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUninstallAsksForTheName(t *testing.T) {
	for answer, ok := range map[string]bool{"prod\n": true, " prod \n": true, "y\n": false, "yes\n": false, "": false, "production\n": false} {
		err := cli.ConfirmName(t.Context(), strings.NewReader(answer), io.Discard, "?", "prod")
		if (err == nil) != ok || err != nil && cli.ExitCode(t.Context(), err) != cli.ExitUsage {
			t.Errorf("%q: %v", answer, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cli.ErrInterrupted)
	r, w := io.Pipe()
	defer w.Close()
	if err := cli.ConfirmName(ctx, r, io.Discard, "?", "prod"); !errors.Is(err, cli.ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}

func TestUninstallExitCodes(t *testing.T) {
	o, _ := newUninstallTest(t)
	away := uninstall.HostResult{Host: "cp2", State: uninstall.Unreachable, Error: "cp2: no route to host"}
	done := uninstall.HostResult{Host: "cp1", State: uninstall.Done}
	failed := &bootstrap.TaskError{Host: "w1"}
	failed.Failure.Message, failed.Failure.Hint = "etcd does not stop", "look at it"
	for name, tc := range map[string]struct {
		hosts []uninstall.HostResult
		err   error
		code  int
		says  []string
	}{
		"all":  {[]uninstall.HostResult{done, {State: uninstall.Bare}}, nil, cli.ExitOK, nil},
		"left": {[]uninstall.HostResult{done, away}, nil, cli.ExitUnreachable, []string{"1 host is left", "no route to host", "again"}},
		"failed": {[]uninstall.HostResult{away, {Host: "w1", State: uninstall.Failed}}, failed, cli.ExitFailed,
			[]string{"w1: etcd does not stop", "look at it", "1 host is left", "cp2: no route to host"}},
	} {
		err := o.outcome(t.Context(), uninstall.Result{Hosts: tc.hosts}, tc.err)
		if cli.ExitCode(t.Context(), err) != tc.code {
			t.Errorf("%s: %v has the code %d", name, err, cli.ExitCode(t.Context(), err))
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q is not in %v", name, s, err)
			}
		}
	}
	if err := o.refused(&bootstrap.PreflightError{}); cli.ExitCode(t.Context(), err) != cli.ExitFindings {
		t.Errorf("got %v", err)
	}
	if err := o.refused(bootstrap.ErrLocked); cli.ExitCode(t.Context(), err) != cli.ExitUsage {
		t.Errorf("got %v", err)
	}
}

func TestUninstallReport(t *testing.T) {
	r := uninstall.Result{Snapshot: &uninstall.Snapshot{File: "/home/me/prod.db"}, Hosts: []uninstall.HostResult{
		{Host: "cp1", State: uninstall.Done, Left: []string{"/etc/kubernetes: in it is what kubectl-ha did not make (audit.yaml)"},
			Changes: []host.Change{{Action: "remove", Target: "/etc/x", Note: "directory"}}},
		{Host: "cp2", State: uninstall.Unreachable}}}
	o, out := newUninstallTest(t)
	if err := o.report(r, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 host is as before", "1 left", "cp1 keeps /etc/kubernetes", "/home/me/prod.db"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "--forget") {
		t.Errorf("a host is left, and it tells how to forget:\n%s", out)
	}
	o, out = newUninstallTest(t)
	o.dryRun = true
	if err := o.report(r, time.Second); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "cp1, 1 change:\n  remove   /etc/x  (directory)\n") || !strings.HasSuffix(out.String(), "A dry run: nothing was changed.\n") {
		t.Errorf("dry run:\n%s", out)
	}
	o, out = newUninstallTest(t)
	o.output = cli.OutputJSON
	if err := o.report(r, time.Second); err != nil || strings.Contains(out.String(), "/etc/x") || !strings.Contains(out.String(), `"kind":"summary"`) || !strings.Contains(out.String(), `"state":"unreachable"`) {
		t.Errorf("json: %v\n%s", err, out)
	}
}
