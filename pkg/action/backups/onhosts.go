package backups

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// OnHosts are the backups on the disks of the hosts that can be reached, which read each of them; the
// newest come first. The error is of those that could not be asked, beside what the others have told.
func OnHosts(ctx context.Context, o Options, sink report.Sink) ([]upgrade.Backup, error) {
	said, failed := transport.Ask(o.Cluster.Keepers(o.On), func(h v1alpha1.Host) (data taskbackup.ListData, err error) {
		err = o.call(ctx, h, tasks.ListBackups, taskbackup.Timeout, taskbackup.ListSpec{Verify: true}, &data, sink)
		return data, err
	})
	var out []upgrade.Backup
	for _, name := range slices.Sorted(maps.Keys(said)) {
		out = append(out, upgrade.OnHost(name, said[name])...)
	}
	slices.SortStableFunc(out, func(a, b upgrade.Backup) int { return b.Made.Compare(a.Made) })
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[name])
	}
	if len(o.left) > 0 {
		errs = append(errs, action.As(action.Unreachable, fmt.Errorf("hosts that cannot be reached over SSH are left out: %s", strings.Join(o.left, ", "))))
	}
	return out, errors.Join(errs...)
}
