package look

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli/clitest"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// TestStatusExitCodes are about the cluster: 0, 1 and 2.
func TestStatusExitCodes(t *testing.T) {
	for health, want := range map[status.Health]int{status.Healthy: 0, status.Degraded: 3, status.Broken: 6} {
		if got := cli.ExitCode(t.Context(), healthError(health)); got != want {
			t.Errorf("%s: %d, want %d", health, got, want)
		}
	}
}

func TestStatusRefuses(t *testing.T) {
	for want, o := range map[string]statusOptions{
		"at least 500ms": {interval: time.Millisecond},
		"--deep":         {interval: time.Second, watch: true, deep: true},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) || cli.ExitCode(t.Context(), err) != cli.ExitUsage {
			t.Errorf("%+v: %v", o, err)
		}
	}
	good := statusOptions{interval: time.Second, output: clitest.Output(t, "wide"), watch: true}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// TestStatusShown: in a series JSON has a line a look, and text that goes to no terminal
// no sequences in it.
func TestStatusShown(t *testing.T) {
	r := status.Report{Cluster: "prod", Health: status.Degraded, Problems: []status.Problem{{Severity: status.Degraded, Subject: "cp1", Message: "it is not ready"}}}
	var out bytes.Buffer
	o := statusOptions{IOStreams: genericiooptions.IOStreams{Out: &out}, output: clitest.Output(t, "json"), watch: true}
	for range 2 {
		if err := o.show(r); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var back status.Report
	if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &back) != nil || back.Health != status.Degraded {
		t.Errorf("got %q", out.String())
	}
	out.Reset()
	o.output = cli.Output{}
	if err := o.show(r); err != nil || strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "cp1: it is not ready") {
		t.Errorf("%v, %q", err, out.String())
	}
}
