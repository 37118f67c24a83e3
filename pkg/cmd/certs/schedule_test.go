package certs

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// TestScheduleFlags: what can't be meant is refused before anything is asked.
func TestScheduleFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--schedule --all":                     "cannot be combined",
		"--schedule --host cp1":                "cannot be combined",
		"--schedule apiserver":                 "cannot be combined",
		"--schedule=never":                     "can't be read",
		"--csr-dir a --signed-dir b":           "mutually exclusive",
		"--schedule=off --all":                 "cannot be combined",
		"--ca-cert a --kubeconfig /none":       "",
		"--schedule=@daily --kubeconfig /none": "",
	} {
		streams, _, _, _ := genericiooptions.NewTestIOStreams()
		c := New(streams)
		c.SetArgs(append([]string{"renew"}, strings.Fields(args)...))
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.ExecuteContext(t.Context())
		refused := err != nil && action.KindOf(err) == action.Invalid && strings.Contains(err.Error(), want)
		if want != "" && (!refused || cli.ExitCode(context.Background(), err) != cli.ExitUsage) || want == "" && err == nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestScheduled: as kubectl says it, and what a schedule does not do.
func TestScheduled(t *testing.T) {
	for want, tc := range map[string]struct {
		cron string
		dry  bool
		done certs.Scheduled
	}{
		"cronjob.batch/certificate-renewal configured\nCertificates that the kubeadm CAs": {"@daily", false, certs.Scheduled{Changed: true}},
		"cronjob.batch/certificate-renewal unchanged\n":                                   {"@daily", false, certs.Scheduled{}},
		"cronjob.batch/certificate-renewal configured (dry run)\n":                        {"@daily", true, certs.Scheduled{Changed: true}},
		"cronjob.batch/certificate-renewal deleted":                                       {schedule.Off, false, certs.Scheduled{Changed: true}},
		"Certificates are not renewed by schedule.":                                       {schedule.Off, false, certs.Scheduled{}},
	} {
		o := renewOptions{cron: tc.cron}
		o.action.DryRun = tc.dry
		if got := o.scheduled(tc.done); !strings.HasPrefix(got, want) || tc.cron != schedule.Off && !strings.Contains(got, "warns 60 days before") {
			t.Errorf("%q", got)
		}
	}
}

// TestScheduleLine: a schedule that fails is seen where certificates are listed.
func TestScheduleLine(t *testing.T) {
	now := time.Now()
	for want, s := range map[string]*schedule.State{
		"none; set up by": nil,
		"has not run yet": {Cron: renewal.DefaultCron, Since: now},
		"last succeeded ": {Cron: renewal.DefaultCron, Since: now, LastSuccess: now},
		"running now":     {Cron: renewal.DefaultCron, Since: now, Running: true},
		"\n  the last scheduled renewal of certificates has failed: cp1 is away\n  next: kubectl -n ha-system logs job/x": {Cron: renewal.DefaultCron, Since: now, FailedJob: "x", Failed: "cp1 is away"},
	} {
		if got := scheduleLine(certs.Report{Time: now, Schedule: s}); !strings.Contains(got, want) || !strings.HasPrefix(got, "Scheduled renewal: ") {
			t.Errorf("%q", got)
		}
	}
}
