package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const (
	// keepRecords is how many finished Operations of a schedule stay, beside the one that made the
	// last good backup: a backup of each day must not push out what people did.
	keepRecords = 5

	// ReasonMade and ReasonFailed are the Events' reasons.
	ReasonMade   = "BackupMade"
	ReasonFailed = "BackupFailed"
	action       = "MakeBackup"
)

// Options are a run's.
type Options struct {
	schedule.Options
	Settings
}

// run is one backup.
type run struct {
	*schedule.Run
	Settings
}

// Run is what the CronJob's pod does. It may be ended at any moment: who comes next goes on with
// what it has begun. The error is why the run has failed, in one line.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	base, err := Backup().Start(ctx, config, o.Options)
	if err != nil {
		return err
	}
	r := run{Run: base, Settings: o.Settings}
	return schedule.OneLine(r.do(ctx))
}

// do makes a backup, and tells how that ended. Only whether there is one decides how the run has
// ended; what else goes wrong is in its log.
func (r *run) do(ctx context.Context) error {
	began := time.Now()
	err := r.make(ctx)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err) // It is ended, and is tried again.
	}
	if failed := errors.Join(r.tell(ctx, began, err), r.tidy(ctx)); failed != nil {
		r.Say(report.Warning, "not all could be told and tidied up: %v", schedule.OneLine(failed))
	}
	return schedule.OneLine(err)
}

// make goes on with what an earlier run has begun, waits for what others have, and has an Operation
// make the backup. One that has failed is not gone on with: what it has made is old by then.
func (r *run) make(ctx context.Context) error {
	busy, err := r.Settle(ctx)
	if err != nil {
		return err
	}
	if busy != nil {
		return fmt.Errorf("no backup was made: %w", busy)
	}
	spec := &v1alpha1.BackupSpec{Keep: r.Keep}
	if r.To != "" {
		spec.TargetSecret = TargetSecret
	}
	op, err := r.Begin(ctx, backup.ScheduledPrefix+time.Now().UTC().Format("20060102-150405"), v1alpha1.OperationSpec{Type: v1alpha1.OperationBackup, Backup: spec})
	if err != nil {
		return err
	}
	r.Say(report.Info, "operation %s makes the backup", op.Name)
	return r.CarryOut(ctx, op.Name)
}

// tell records an Event, and has Prometheus know. Where the schedule was taken away meanwhile there
// is nobody who wants to know.
func (r *run) tell(ctx context.Context, began time.Time, failed error) error {
	j, err := r.Get(ctx, r.Clients.Kube)
	if err != nil || j == nil {
		return err
	}
	all, err := r.Ops.List(ctx)
	if err != nil {
		return err
	}
	made := last(all)
	e := schedule.Event{Type: corev1.EventTypeNormal, Reason: ReasonMade, Action: action, Note: "the backup is whole"}
	switch {
	case failed != nil:
		e.Type, e.Reason, e.Note = corev1.EventTypeWarning, ReasonFailed, schedule.OneLine(failed).Error()
	case made != nil:
		e.Note = fmt.Sprintf("the backup %s is whole: etcd at revision %d, %s", made.Name, made.Revision, report.Size(made.Bytes))
	}
	period, err := r.Period(j.Spec.Schedule, began)
	if err != nil {
		return errors.Join(err, r.Record(ctx, e))
	}
	return errors.Join(r.Record(ctx, e), r.measure(ctx, backup.MetricsSpec{Run: began, Failed: failed != nil, Period: period, Last: made}))
}

// measure has every control plane that is there tell Prometheus.
func (r *run) measure(ctx context.Context, spec backup.MetricsSpec) error {
	list, err := r.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	there := slices.DeleteFunc(r.Cluster.ControlPlanes(), func(h v1alpha1.Host) bool { return ready.Away(list.Items, h.Name) })
	_, failed := transport.Ask(there, func(h v1alpha1.Host) (json.RawMessage, error) { return r.Ask(ctx, h, tasks.BackupMetrics, spec) })
	var errs []error
	for _, host := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, fmt.Errorf("%s: %w", host, failed[host]))
	}
	return errors.Join(errs...)
}

// tidy removes what is recorded of earlier backups.
func (r *run) tidy(ctx context.Context) error {
	all, err := r.Ops.List(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range surplus(all) {
		if err := r.Ops.Delete(ctx, name); err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// surplus are the Operations of a schedule that nobody needs any more, by name. All Operations are
// given with the oldest first. It is pure.
func surplus(all []v1alpha1.Operation) []string {
	mine := slices.DeleteFunc(slices.Clone(all), func(op v1alpha1.Operation) bool {
		return !Backup().Mine(op) || op.Spec.Type != v1alpha1.OperationBackup
	})
	good := last(mine)
	var out []string
	for _, op := range operations.Surplus(mine, keepRecords) {
		if good == nil || op.Name != good.Name {
			out = append(out, op.Name)
		}
	}
	return out
}
