package certs

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli/clitest"
)

// TestFinish: the exit code is the same in every output, and nobody reads that all is well
// where nothing could be done.
func TestFinish(t *testing.T) {
	left := certs.Result{Plan: certs.Plan{Left: []string{"etcd-server of e1: no CA"}}}
	some := certs.Result{Plan: certs.Plan{Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Local: []string{"apiserver"}}}, Left: left.Plan.Left}}
	away := action.As(action.Unreachable, errors.New("cp1: no route to host"))
	for name, tc := range map[string]struct {
		rescue bool
		r      certs.Result
		err    error
		code   int
		text   string
	}{
		"nothing is due":               {false, certs.Result{}, nil, cli.ExitOK, "No certificate is due."},
		"nothing that is due was done": {false, left, nil, cli.ExitFindings, ""},
		"a part was done":              {false, some, nil, cli.ExitOK, "The certificates were renewed"},
		"renew fails":                  {false, some, away, cli.ExitUnreachable, ""},
		"nothing to rescue":            {true, certs.Result{}, nil, cli.ExitOK, "Nothing was due."},
		"rescue fails":                 {true, certs.Result{}, away, cli.ExitUnreachable, ""},
	} {
		for _, format := range []string{"", "json", "jsonpath={.plan}\n"} {
			var out bytes.Buffer
			o := options{IOStreams: genericiooptions.IOStreams{Out: &out}, output: clitest.Output(t, format)}
			finish := (&renewOptions{options: o}).finish
			if tc.rescue {
				finish = (&rescueOptions{options: o}).finish
			}
			err := finish(tc.r, tc.err, time.Now())
			if code := cli.ExitCode(context.Background(), err); code != tc.code {
				t.Errorf("%s, %q: exit code %d, %v", name, format, code, err)
			}
			if format == "" && (!strings.Contains(out.String(), tc.text) || tc.text == "" && out.Len() > 0) || format != "" && strings.Count(out.String(), "\n") != 1 {
				t.Errorf("%s, %q: %s", name, format, out.String())
			}
		}
	}
}

// TestFinishRotation: a rotation that is run again once it is complete says so, and is no failure.
func TestFinishRotation(t *testing.T) {
	const kubernetes = "kubernetes"
	for name, tc := range map[string]struct {
		r    certs.RotationResult
		text string
	}{
		"it has this CA":     {certs.RotationResult{Plan: certs.RotationPlan{Authority: kubernetes, From: "abc", To: "abc"}}, "the cluster already has this CA (abc) for kubernetes"},
		"the phase is there": {certs.RotationResult{Plan: certs.RotationPlan{Authority: kubernetes, From: "abc", To: "def", Reached: "trust"}, Reached: "trust"}, "the phase trust is complete"},
	} {
		for _, dryRun := range []bool{false, true} {
			var out bytes.Buffer
			o := rotateOptions{options: options{IOStreams: genericiooptions.IOStreams{Out: &out}, output: clitest.Output(t, "")}}
			o.action.DryRun = dryRun
			if err := o.finish(tc.r, nil, time.Now()); err != nil || !strings.Contains(out.String(), tc.text) {
				t.Errorf("%s: %q, %v", name, out.String(), err)
			}
		}
	}
}
