package backups

import (
	"context"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// forgetTimeout bounds the removal of what one host tells Prometheus.
	forgetTimeout = time.Minute
	maxKeep       = 1000
)

// ScheduleOptions say what is made by schedule.
type ScheduleOptions struct {
	// Cron is when, as a CronJob's schedule; empty: schedule.DefaultCron.
	Cron string
	schedule.Settings
	// Credentials are of the target, as a file has them (see TargetOf); nil: those that are in its
	// Secret when a backup is sent.
	Credentials []byte
	// DryRun changes nothing.
	DryRun bool
}

// Scheduled is what Schedule and Unschedule have done.
type Scheduled struct {
	// Schedule is the one that there is now; nil for none.
	Schedule *schedule.State `json:"schedule,omitempty"`
	// Changed tells whether the CronJob was not so before, SecretChanged whether the Secret with
	// the target was not; in a dry run whether they would be so.
	Changed       bool `json:"changed"`
	SecretChanged bool `json:"secretChanged,omitempty"`
	// Next is when it runs next, as this machine's time zone has it: the controller-managers' may
	// be another.
	Next time.Time `json:"next,omitzero"`
}

// check finds what can't be meant, and what a run would lack, before anything is changed.
func (o ScheduleOptions) check(ctx context.Context, conn *operate.Connection) (credentials map[string]string, err error) {
	if o.To == "" {
		if o.Credentials != nil {
			return nil, action.Invalidf("credentials are of a target: name it with --to")
		}
		return nil, nil
	}
	if _, err := backups.Named(conn.Stored, o.To); err != nil {
		return nil, action.As(action.Invalid, err)
	}
	if _, err := backup.Recipients(conn.Stored.Spec.Backup.Recipients); err != nil {
		return nil, action.Invalidf("spec.backup of the Cluster document in the cluster: %w", err)
	}
	if o.Credentials != nil {
		return parse(o.Credentials)
	}
	_, err = InSecret(ctx, conn.Config, conn.Stored, o.To)
	return nil, err
}

// CheckSchedule finds what is wrong with a schedule before a cluster is asked.
func CheckSchedule(o ScheduleOptions) error {
	if o.Cron != "" {
		if _, err := schedule.Backup().Parse(o.Cron); err != nil {
			return action.As(action.Invalid, err)
		}
	}
	for flag, n := range map[string]int32{"--keep-last": o.Keep.Last, "--keep-daily": o.Keep.Daily, "--keep-weekly": o.Keep.Weekly} {
		if n < 0 || n > maxKeep {
			return action.Invalidf("%s is between 0 and %d", flag, maxKeep)
		}
	}
	return nil
}

// Schedule has the cluster make backups by itself. Running it again changes only what is different;
// one that was suspended stays so.
func Schedule(ctx context.Context, config *rest.Config, o ScheduleOptions, sink report.Sink) (Scheduled, error) {
	var out Scheduled
	if err := CheckSchedule(o); err != nil {
		return out, err
	}
	if o.Cron == "" {
		o.Cron = schedule.DefaultCron
	}
	when, err := schedule.Backup().Parse(o.Cron)
	if err != nil {
		return out, action.As(action.Invalid, err)
	}
	conn, err := operate.Connect(ctx, config)
	if err != nil {
		return out, err
	}
	credentials, err := o.check(ctx, conn)
	if err != nil {
		return out, err
	}
	out.Next = when.Next(time.Now())
	if o.DryRun {
		return out, o.foresee(ctx, conn.Clients, credentials, &out)
	}
	// Its rights come with these, and what it runs.
	if _, err := incluster.Install(ctx, config, conn.Stored); err != nil {
		return out, action.OfCluster(err)
	}
	chosen, err := conn.Source.Ensure(ctx, config, sink)
	if err != nil {
		return out, err
	}
	// The target first: a run that begins in between has it.
	if o.To != "" {
		out.SecretChanged, err = schedule.WriteTarget(ctx, conn.Clients, o.To, credentials)
	} else {
		out.SecretChanged, err = schedule.RemoveTarget(ctx, conn.Clients.Kube)
	}
	if err != nil {
		return out, action.OfCluster(err)
	}
	if out.Changed, err = schedule.Apply(ctx, conn.Clients, conn.Stored, schedule.Spec{Cron: o.Cron, Settings: o.Settings, Agents: chosen}); err != nil {
		return out, action.OfCluster(err)
	}
	out.Schedule, err = schedule.Look(ctx, conn.Clients, time.Now())
	return out, action.OfCluster(err)
}

// foresee tells what Schedule would change.
func (o ScheduleOptions) foresee(ctx context.Context, clients *client.Clients, credentials map[string]string, out *Scheduled) (err error) {
	if out.Schedule, err = schedule.Look(ctx, clients, time.Now()); err != nil {
		return action.OfCluster(err)
	}
	out.Changed = out.Schedule == nil || out.Schedule.Cron != o.Cron || out.Schedule.Settings != o.Settings
	have, err := clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, schedule.TargetSecret, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return action.OfCluster(err)
	}
	now := map[string]string{}
	if err == nil {
		for k, v := range have.Data {
			now[k] = string(v)
		}
	}
	want := maps.Clone(credentials)
	if want == nil {
		want = map[string]string{}
	}
	if o.To != "" {
		want[backups.KeyTo] = o.To
	}
	out.SecretChanged = !maps.Equal(now, want)
	return nil
}

// Unschedule takes away what Schedule has made, with the credentials, and what hosts tell
// Prometheus of it. One that is not there is no error. Backups stay.
func Unschedule(ctx context.Context, config *rest.Config, dryRun bool, sink report.Sink) (Scheduled, error) {
	var out Scheduled
	conn, err := operate.Connect(ctx, config)
	if err != nil {
		return out, err
	}
	if dryRun {
		out.Schedule, err = schedule.Look(ctx, conn.Clients, time.Now())
		out.Changed = out.Schedule != nil
		return out, action.OfCluster(err)
	}
	if err := operate.Quiet(ctx, conn.Clients, schedule.Backup(), sink); err != nil {
		return out, err
	}
	if out.Changed, err = schedule.Backup().Remove(ctx, conn.Clients.Kube); err != nil {
		return out, action.OfCluster(err)
	}
	if out.SecretChanged, err = schedule.RemoveTarget(ctx, conn.Clients.Kube); err != nil || !out.Changed {
		return out, action.OfCluster(err)
	}
	if err := forget(ctx, conn); err != nil {
		action.Warn(sink, "", "Prometheus may still be told of the last backup, until the hosts are booted: %v", err)
	}
	return out, nil
}

// forget has the control planes that are there tell Prometheus nothing more.
func forget(ctx context.Context, conn *operate.Connection) error {
	usual, err := agents.Usual(ctx, conn.Config)
	if err != nil {
		return err
	}
	nodes, err := conn.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there := slices.DeleteFunc(conn.Stored.ControlPlanes(), func(h v1alpha1.Host) bool { return ready.Away(nodes.Items, h.Name) })
	jobs := agents.Jobs{Kube: conn.Clients.Kube, Agents: usual, For: "backup"}
	return action.Each(there, func(_ int, h v1alpha1.Host) error {
		_, err := bootstrap.Call(ctx, jobs, h.Name, node.Request{Cluster: conn.Stored.Metadata.Name, Task: tasks.BackupMetrics, Step: tasks.BackupMetrics + "/" + h.Name, Timeout: forgetTimeout, LockTimeout: lockWait}, taskbackup.MetricsSpec{Off: true}, report.Discard())
		return err
	})
}

// Status is what a cluster makes by itself; nil for nothing.
func Status(ctx context.Context, config *rest.Config) (*schedule.State, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	s, err := schedule.Look(ctx, clients, time.Now())
	return s, action.OfCluster(err)
}
