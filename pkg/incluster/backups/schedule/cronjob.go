package schedule

import (
	"context"
	"encoding/json"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
)

const (
	// Name is the CronJob's, in v1alpha1.SystemNamespace.
	Name = "scheduled-backup"
	// TargetSecret is the Secret that says where scheduled backups are sent, by which credentials.
	// The coordinator reads it, and its policy has it write none of this name.
	TargetSecret = "scheduled-backup-target"
	// DefaultCron is once a day, before the renewal of certificates looks.
	DefaultCron = "0 3 * * *"
	// DefaultKeep is how many scheduled backups stay on a node when nothing is said of it.
	DefaultKeep = backup.DefaultKeep
	// Off is the flag that takes a schedule away.
	Off = schedule.Off
	// AnnotationSettings is on the CronJob: Settings as JSON.
	AnnotationSettings = v1alpha1.Group + "/backup-settings"

	setUp = "kubectl ha backup schedule"
)

// Backup is the scheduled backup. The second run in a row that is missed is told of: a backup is as
// old as what is lost with it.
func Backup() schedule.Kind {
	return schedule.Kind{Name: Name, Manifest: manifests.ScheduledBackup, DefaultCron: DefaultCron, What: "scheduled backup",
		Late: "the last good scheduled backup is older than twice the schedule's period", Missed: 1, SetUp: setUp, TakeAway: setUp + " --" + Off}
}

// Settings are what a schedule does. There is no secret in them.
type Settings struct {
	// To is the target, as it was given with --to: a name in spec.backup.targets, or a URL. Empty:
	// backups stay on the nodes.
	To string `json:"to,omitempty"`
	// Keep says which scheduled backups stay, at the target or on each node. Empty: at a target
	// all, on a node the newest three.
	Keep v1alpha1.BackupKeep `json:"keep,omitzero"`
}

// Spec is what a schedule is made of.
type Spec struct {
	// Cron is when it runs, as a CronJob's spec.schedule. Empty: DefaultCron.
	Cron string
	Settings
	// Agents carry it out. The first one's image is the CronJob's.
	Agents v1alpha1.Agents
}

// object is the CronJob of a cluster.
func object(s Spec, c *v1alpha1.Cluster) (*batchv1.CronJob, error) {
	j, err := Backup().Object(c, s.Cron, s.Agents)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s.Settings)
	if err != nil {
		return nil, fmt.Errorf("note the settings of the schedule: %w", err)
	}
	j.Annotations = map[string]string{AnnotationSettings: string(text)}
	main := &j.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	main.Args = append(main.Args, "--settings", string(text))
	return j, nil
}

// Apply makes the CronJob, or what there is like it, and tells whether that changed anything.
// Whether it is suspended is left as it is.
func Apply(ctx context.Context, clients *client.Clients, c *v1alpha1.Cluster, s Spec) (bool, error) {
	j, err := object(s, c)
	if err != nil {
		return false, err
	}
	return schedule.Apply(ctx, clients, j)
}

// Follow has a schedule, where there is one, carried out by other agents: those that were just
// brought to the nodes. It tells whether that changed anything.
func Follow(ctx context.Context, clients *client.Clients, agents v1alpha1.Agents) (bool, error) {
	return Backup().Follow(ctx, clients, agents, func(have *batchv1.CronJob, c *v1alpha1.Cluster) (*batchv1.CronJob, error) {
		settings, err := settingsOf(have)
		if err != nil {
			return nil, err
		}
		return object(Spec{Cron: have.Spec.Schedule, Settings: settings, Agents: agents}, c)
	})
}

// settingsOf are a schedule's. Those that can't be read are an error: none would send backups
// nowhere.
func settingsOf(j *batchv1.CronJob) (s Settings, err error) {
	if err := json.Unmarshal([]byte(j.Annotations[AnnotationSettings]), &s); err != nil {
		return s, fmt.Errorf("the settings of the scheduled backup can't be read: %w\nnext: %s writes them anew", err, setUp)
	}
	return s, nil
}
