package certs

import (
	"context"
	"fmt"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
)

// scheduleFlag is the flag's name.
const scheduleFlag = "schedule"

// checkSchedule finds flags that say what to renew now: a schedule renews what is due then.
func (o *renewOptions) checkSchedule() error {
	if o.action.All || len(o.action.Names) > 0 || len(o.action.Only) > 0 {
		return action.Invalidf("--schedule renews what is due at that time, on all nodes: certificate names, --all and --host cannot be combined with it; a schedule is given as --schedule=%q", renewal.DefaultCron)
	}
	if o.cron == schedule.Off {
		return nil
	}
	_, err := renewal.Renewal().Parse(o.cron)
	return action.As(action.Invalid, err)
}

// schedule sets the schedule up, or takes it away.
func (o *renewOptions) schedule(ctx context.Context) error {
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	defer cli.TellInterrupted(ctx, shown)()
	o.warnOfLife(shown)
	var done certs.Scheduled
	var err error
	if o.cron == schedule.Off {
		done, err = certs.Unschedule(ctx, o.action, shown)
	} else {
		done, err = certs.Schedule(ctx, o.action, o.cron, shown)
	}
	shown.Close()
	if err != nil {
		return err
	}
	if o.output.ForPrograms() {
		return o.output.PrintLine(o.Out, done)
	}
	_, err = fmt.Fprintln(o.Out, o.scheduled(done))
	return err
}

// scheduled says what was done, as kubectl says it of the CronJob.
func (o *renewOptions) scheduled(done certs.Scheduled) string {
	text := "cronjob.batch/" + renewal.Name + " "
	off := o.cron == schedule.Off
	switch {
	case off && !done.Changed:
		return "Certificates are not renewed by schedule."
	case off:
		text += "deleted"
	case done.Changed:
		text += "configured"
	default:
		text += "unchanged"
	}
	if o.action.DryRun {
		text += " (dry run)"
	}
	if off {
		return text
	}
	return text + fmt.Sprintf("\nCertificates that the kubeadm CAs have signed are renewed after two thirds of their validity. The first run is at about %s. The certificates of the etcd CA are not renewed by schedule: `kubectl ha status` warns %d days before they expire.",
		done.Next.Local().Format("2006-01-02 15:04"), int(certs.WarnBefore/(24*time.Hour)))
}

// scheduleLine is the schedule in `certs status`.
func scheduleLine(r certs.Report) string {
	s := r.Schedule
	if s == nil {
		return "Scheduled renewal: none; set up by `kubectl ha certs renew --schedule`"
	}
	text := "Scheduled renewal: " + s.Cron
	switch {
	case s.Running:
		text += ", running now"
	case !s.LastSuccess.IsZero():
		text += ", last succeeded " + s.LastSuccess.Local().Format("2006-01-02 15:04")
	default:
		text += ", has not run yet"
	}
	if what, next := renewal.Renewal().Problem(*s, r.Time); what != "" {
		text += "\n  " + what + "\n  next: " + next
	}
	return text
}
