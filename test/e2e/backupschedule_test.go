//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
)

const (
	// scheduledDeadline is for a run of each minute, with its tries.
	scheduledDeadline = 8 * time.Minute
	backupMetrics     = "/run/kubectl-ha-metrics/backup.prom"
)

// scheduledBackup is the schedule as `backup status -o json` has it.
type scheduledBackup struct {
	Schedule    string
	Failed      string
	LastBackup  *v1alpha1.MadeBackup
	LastFailure time.Time
	NextRun     time.Time
}

// backupStatus is the schedule; nil for none.
func (c *cluster) backupStatus(t *testing.T) *scheduledBackup {
	t.Helper()
	r := c.ha(t, suiteDeadline, "backup", "status", "-o", "json", "--kubeconfig", c.kubeconfig)
	var seen struct{ Schedule *scheduledBackup }
	if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil {
		t.Fatalf("backup status: %v: %s", err, tail(r.String(), 2000))
	}
	return seen.Schedule
}

// backupSchedule has backups made by schedule, or not any more with --off.
func (c *cluster) backupSchedule(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"backup", "schedule", "--yes", "--kubeconfig", c.kubeconfig}, args...)
	if r := c.ha(t, restoreDeadline, args...); r.code != 0 {
		t.Fatalf("%v: %s", args, tail(r.String(), 4000))
	}
}

// backupsAreMetrics waits until a run of the schedule has told Prometheus of its backup.
func (c *cluster) backupsAreMetrics(t *testing.T) {
	t.Helper()
	eventually(t, scheduledDeadline, "a scheduled backup in Prometheus", func() (bool, string) {
		n, err := c.query(backup.MetricMade + " > 0 and on (node) " + backup.MetricFailed + " == 0")
		return err == nil && n == len(c.names("control-plane")), fmt.Sprintf("%d hosts, %v; the schedule is %+v", n, err, c.backupStatus(t))
	})
}

// hasRecipient puts a recipient and a target into the stored Cluster document.
func (c *cluster) hasRecipient(t *testing.T, recipient, endpoint string) {
	t.Helper()
	stored, err := c.client.CoreV1().ConfigMaps("ha-system").Get(t.Context(), v1alpha1.ClusterConfigMap, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text := stored.Data[v1alpha1.ClusterConfigMapKey]
	with := strings.Replace(text, "\nspec:\n", "\nspec:\n  backup:\n    recipients: ["+recipient+"]\n    targets:\n    - {name: offsite, url: \"s3://backups/lab\", endpoint: \""+endpoint+"\", region: us-east-1}\n", 1)
	if with == text {
		t.Fatalf("the stored document has no spec:\n%s", text)
	}
	stored.Data[v1alpha1.ClusterConfigMapKey] = with
	if _, err := c.client.CoreV1().ConfigMaps("ha-system").Update(t.Context(), stored, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestScheduledBackup: the cluster makes backups by itself and sends them to a real S3 server, where
// only as many stay as it was told; one of them can be restored. A target that refuses is seen in
// status, as an Event and in the metrics. With the schedule all of it is gone but the backups.
func TestScheduledBackup(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	endpoint, _ := c.s3(t)
	id, keys, credentials := c.backupKeys(t)
	c.hasRecipient(t, id.Recipient().String(), endpoint)
	c.backupSchedule(t, "--cron", "* * * * *", "--to", "offsite", "--credentials", credentials, "--keep-last", "1")
	if j, err := c.client.BatchV1().CronJobs("ha-system").Get(t.Context(), "scheduled-backup", metav1.GetOptions{}); err != nil || strings.Contains(fmt.Sprint(j), "a-secret-of-the-lab") {
		t.Errorf("the CronJob has a secret in it, or is not there: %v", err)
	}
	first := ""
	eventually(t, scheduledDeadline, "a second good backup", func() (bool, string) {
		s := c.backupStatus(t)
		switch {
		case s == nil || s.LastBackup == nil:
		case first == "":
			first = s.LastBackup.Name
		default:
			return s.LastBackup.Name != first, fmt.Sprintf("%+v", s.LastBackup)
		}
		return false, fmt.Sprintf("%+v", s)
	})
	var list struct {
		Backups []struct{ Name string }
		Broken  map[string]string
	}
	eventually(t, scheduledDeadline, "the first one to make room", func() (bool, string) {
		r := c.ha(t, suiteDeadline, "backup", "list", "--to", "offsite", "--credentials", credentials, "-o", "json", "--kubeconfig", c.kubeconfig)
		err := json.Unmarshal([]byte(r.stdout), &list)
		return err == nil && len(list.Backups) == 1 && list.Backups[0].Name != first && len(list.Broken) == 0, tail(r.String(), 1000)
	})

	// The target refuses.
	secret, err := c.client.CoreV1().Secrets("ha-system").Get(t.Context(), "scheduled-backup-target", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data["secretAccessKey"] = []byte("another")
	if _, err := c.client.CoreV1().Secrets("ha-system").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	good := ""
	eventually(t, scheduledDeadline, "a failed run in the schedule's status", func() (bool, string) {
		s := c.backupStatus(t)
		if s == nil || s.Failed == "" || s.LastFailure.IsZero() || s.LastBackup == nil {
			return false, fmt.Sprintf("%+v", s)
		}
		good = s.LastBackup.Name
		return good != first, good
	})
	if r := c.ha(t, suiteDeadline, "status", "--kubeconfig", c.kubeconfig); !strings.Contains(r.stdout, "the last scheduled backup has failed") {
		t.Errorf("status: %s", tail(r.String(), 3000))
	}
	events, err := c.client.EventsV1().Events("ha-system").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, e := range events.Items {
		if e.Regarding.Kind == "CronJob" && e.Regarding.Name == "scheduled-backup" {
			reasons[e.Reason] = e.Type
		}
	}
	if reasons["BackupMade"] != corev1.EventTypeNormal || reasons["BackupFailed"] != corev1.EventTypeWarning {
		t.Errorf("Events: %v", reasons)
	}
	host := c.names("control-plane")[0]
	if r := c.try(t, host, nil, "cat", backupMetrics); !strings.Contains(r.stdout, backup.MetricFailed+" 1\n") || !strings.Contains(r.stdout, backup.MetricMade+" ") {
		t.Errorf("the metrics are %s", r)
	}

	c.backupSchedule(t, "--off")
	if s := c.backupStatus(t); s != nil {
		t.Errorf("it is still there: %+v", s)
	}
	if _, err := c.client.CoreV1().Secrets("ha-system").Get(t.Context(), "scheduled-backup-target", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the credentials are still there: %v", err)
	}
	if r := c.try(t, host, nil, "cat", backupMetrics); r.code == 0 {
		t.Errorf("Prometheus is still told: %s", r)
	}
	if r := c.ha(t, restoreDeadline, "backup", "verify", good, "--to", "offsite", "--credentials", credentials, "--identity", keys, "--kubeconfig", c.kubeconfig); r.code != 0 {
		t.Errorf("backup verify: %s", tail(r.String(), 4000))
	}
	c.settled(t)
}
