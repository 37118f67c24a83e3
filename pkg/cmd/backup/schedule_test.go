package backup

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	base "github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

// TestScheduleFlags: what can't be meant is refused before anything is asked.
func TestScheduleFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--cron never":              "can't be read",
		"--keep-daily -1":           "--keep-daily is between 0 and 1000",
		"--keep-weekly 2000":        "--keep-weekly is between",
		"--credentials x":           "name it with --to",
		"--off --cron @daily":       "--cron cannot be combined",
		"--off --to offsite":        "--to cannot be combined",
		"--off --keep-last 1":       "--keep-last cannot be combined",
		"--to a --credentials /no/": "/no/",
		"-o xml":                    `format "xml"`,
		"--kubeconfig /none":        "",
	} {
		streams, _, _, _ := genericiooptions.NewTestIOStreams()
		c := New(streams)
		c.SetArgs(append([]string{"schedule"}, strings.Fields(args)...))
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.ExecuteContext(t.Context())
		refused := err != nil && action.KindOf(err) == action.Invalid && strings.Contains(err.Error(), want)
		if want != "" && (!refused || cli.ExitCode(context.Background(), err) != cli.ExitUsage) || want == "" && err == nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestSaid: as kubectl says it, where backups are, and what stays.
func TestSaid(t *testing.T) {
	kept := schedule.Settings{To: "offsite", Keep: v1alpha1.BackupKeep{Last: 4, Daily: 7, Weekly: 1}}
	for want, tc := range map[string]struct {
		settings schedule.Settings
		off, dry bool
		done     backups.Scheduled
	}{
		"cronjob.batch/scheduled-backup configured\nThe first backup is made at about 2026-11-29 20:00. Backups stay on the nodes; on each are kept: the newest 3. If the nodes are lost, so are they": {done: backups.Scheduled{Changed: true}},
		"cronjob.batch/scheduled-backup unchanged\nThe first":                                                        {},
		"cronjob.batch/scheduled-backup configured\nsecret/scheduled-backup-target deleted\nThe first":               {done: backups.Scheduled{Changed: true, SecretChanged: true}},
		"cronjob.batch/scheduled-backup configured (dry run)\nsecret/scheduled-backup-target configured (dry run)\n": {settings: kept, dry: true, done: backups.Scheduled{Changed: true, SecretChanged: true}},
		"cronjob.batch/scheduled-backup unchanged\nsecret/scheduled-backup-target unchanged\nThe first backup is made at about 2026-11-29 20:00. They are sent to offsite, encrypted. There are kept: the newest 4, the newest of each of 7 days, the newest of each of 1 week.": {settings: kept},
		"cronjob.batch/scheduled-backup deleted\nsecret/scheduled-backup-target deleted": {off: true, done: backups.Scheduled{Changed: true, SecretChanged: true}},
		"No backup is scheduled.": {off: true},
		"cronjob.batch/scheduled-backup unchanged\nthe scheduled backup is suspended: no backup is made\nnext: ": {done: backups.Scheduled{Schedule: &schedule.State{State: base.State{Cron: schedule.DefaultCron, Suspended: true}}}},
	} {
		o := scheduleOptions{off: tc.off, action: backups.ScheduleOptions{Settings: tc.settings, DryRun: tc.dry}}
		tc.done.Next = time.Date(2026, 11, 29, 20, 0, 0, 0, time.Local)
		if got := o.said(tc.done); !strings.HasPrefix(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// TestStatusText: a schedule with its last backup, and what is wrong with it.
func TestStatusText(t *testing.T) {
	now := time.Date(2026, 11, 29, 20, 0, 0, 0, time.Local)
	well := schedule.State{State: base.State{Cron: schedule.DefaultCron, Since: now.AddDate(0, -1, 0), LastSuccess: now.Add(-17 * time.Hour)}, Settings: schedule.Settings{To: "offsite", Keep: v1alpha1.BackupKeep{Daily: 7}},
		Last: &v1alpha1.MadeBackup{Name: "scheduled-20261129-030000", Created: now.Add(-17 * time.Hour), Revision: 42, Bytes: 3 << 20}, Next: now.Add(7 * time.Hour)}
	failed := schedule.State{State: base.State{Cron: schedule.DefaultCron, Since: now, Failed: "access denied", FailedJob: "scheduled-backup-1", LastFailure: now.Add(-time.Hour), Running: true}}
	for want, s := range map[string]*schedule.State{
		"No backup is scheduled; set up by `kubectl ha backup schedule`.\n": nil,
		`Schedule:      0 3 * * *
Target:        offsite
Kept:          the newest of each of 7 days
Last backup:   scheduled-20261129-030000, 17h ago, etcd at revision 42, 3.0 MiB
Last success:  2026-11-29 03:00
Last failure:  none
Next run:      2026-11-30 03:00
`: &well,
		`Schedule:      0 3 * * *
Target:        on the nodes
Kept:          the newest 3
Last backup:   none
Last success:  none
Last failure:  2026-11-29 19:00
Next run:      running now

the last scheduled backup has failed: access denied
next: kubectl -n ha-system logs job/scheduled-backup-1
`: &failed,
	} {
		if got, err := statusText(s, now); err != nil || got != want {
			t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
		}
	}
}
