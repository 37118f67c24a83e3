package uninstall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	below "github.com/kubectl-ha/kubectl-ha/pkg/bootstrap/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli/clitest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func newTest(t *testing.T) (*options, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	o := &options{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: io.Discard}, Options: uninstall.Options{
		Cluster: &v1alpha1.Cluster{}, StateDir: filepath.Join(t.TempDir(), "state"), SnapshotFile: filepath.Join(t.TempDir(), "s.db")}}
	o.Cluster.Metadata.Name = "prod"
	return o, out
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(o *options)
		says   string // empty: it is right
	}{
		"nobody to ask":         {func(*options) {}, "--yes"},
		"nobody to ask by JSON": {func(o *options) { o.output = clitest.Output(t, "json") }, "--yes"},
		"yes":                   {func(o *options) { o.yes = true }, ""},
		"dry run":               {func(o *options) { o.DryRun = true }, ""},
		"what the action says":  {func(o *options) { o.yes, o.SnapshotFile = true, "/nowhere/s.db" }, "no such directory"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := newTest(t)
			tc.change(o)
			err := o.Validate()
			if (err == nil) != (tc.says == "") || err != nil && (!strings.Contains(err.Error(), tc.says) || cli.ExitCode(t.Context(), err) != cli.ExitUsage) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAsksForTheName(t *testing.T) {
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

func TestReport(t *testing.T) {
	r := uninstall.Result{Snapshot: &below.Snapshot{File: "/home/me/prod.db"}, Hosts: []below.HostResult{
		{Host: "cp1", State: below.Done, Left: []string{"/etc/kubernetes: in it is what kubectl-ha did not make (audit.yaml)"},
			Changes: []host.Change{{Action: "remove", Target: "/etc/x", Note: "directory"}}},
		{Host: "cp2", State: below.Unreachable}}}
	o, out := newTest(t)
	if err := o.report(r, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 host is restored", "1 remaining", "cp1 keeps /etc/kubernetes", "/home/me/prod.db"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "--forget") {
		t.Errorf("a host is left, and it tells how to forget:\n%s", out)
	}
	o, out = newTest(t)
	o.DryRun = true
	if err := o.report(r, time.Second); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "cp1, 1 change:\n  remove   /etc/x  (directory)\n") || !strings.HasSuffix(out.String(), "Dry run: nothing was changed.\n") {
		t.Errorf("dry run:\n%s", out)
	}
	o, out = newTest(t)
	o.output = clitest.Output(t, "json")
	if err := o.report(r, time.Second); err != nil || strings.Contains(out.String(), "/etc/x") || !strings.Contains(out.String(), `"kind":"summary"`) || !strings.Contains(out.String(), `"state":"unreachable"`) {
		t.Errorf("json: %v\n%s", err, out)
	}
}
