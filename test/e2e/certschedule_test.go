//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// scheduledLife is long enough for a renewal of everything in its last third.
const scheduledLife = 15 * time.Minute

// signedOnHosts are the ends of what a schedule renews, by host and name.
func (c *cluster) signedOnHosts(t *testing.T) map[string]time.Time {
	t.Helper()
	out := map[string]time.Time{}
	for _, s := range c.renewable(t) {
		if !strings.HasPrefix(s.Name, "etcd-") && s.Name != "apiserver-etcd-client" {
			out[s.Host+"/"+s.Name] = s.NotAfter
		}
	}
	return out
}

// scheduled is the schedule as `certs status -o json` has it; nil for none.
func (c *cluster) scheduled(t *testing.T) map[string]any {
	t.Helper()
	r := c.ha(t, suiteDeadline, "certs", "status", "-o", "json", "--kubeconfig", c.kubeconfig)
	var seen struct {
		Schedule map[string]any `json:"schedule"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil {
		t.Fatalf("certs status: %v: %s", err, tail(r.String(), 2000))
	}
	return seen.Schedule
}

// renewalSchedule has certificates renewed as the cron expression says, or not by schedule if that is off.
func (c *cluster) renewalSchedule(t *testing.T, cron string, args ...string) {
	t.Helper()
	args = append([]string{"certs", "renew", "--schedule=" + cron, "--kubeconfig", c.kubeconfig}, args...)
	// Turning it off waits for the renewal that is under way.
	if r := c.ha(t, renewDeadline, args...); r.code != 0 {
		t.Fatalf("%v: %s", args, tail(r.String(), 4000))
	}
}

// certificatesAreMetrics waits until a run of the schedule has told Prometheus of each control
// plane's certificates.
func (c *cluster) certificatesAreMetrics(t *testing.T) {
	t.Helper()
	want := len(c.names("control-plane"))
	eventually(t, 3*time.Minute, "a run of the schedule on each control plane in Prometheus", func() (bool, string) {
		n, err := c.query(certs.MetricLook)
		return err == nil && n == want, fmt.Sprintf("%d of %d hosts, %v; the schedule is %v", n, want, err, c.scheduled(t))
	})
}

// TestScheduledRenewal: what kubeadm's CAs have signed is renewed by the cluster itself at two
// thirds of its life, with no failed request; what etcd's CA has signed is told of; a schedule that
// is suspended is seen, and one that is taken away is gone.
func TestScheduledRenewal(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	stop := p.start()
	defer stop()
	began := time.Now()
	c.renewCertificates(t, "--all", "--life-for-tests", scheduledLife.String())
	c.renewalSchedule(t, "* * * * *", "--life-for-tests", scheduledLife.String())
	before := c.signedOnHosts(t)
	if s := c.scheduled(t); s == nil || s["schedule"] != "* * * * *" || !strings.Contains(fmt.Sprint(s["image"]), "@sha256:") {
		t.Fatalf("the schedule is %v", s)
	}
	eventually(t, scheduledLife, "the schedule renews what the hosts' CAs have signed", func() (bool, string) {
		old := 0
		for name, end := range c.signedOnHosts(t) {
			if !end.After(before[name]) {
				old++
			}
		}
		return old == 0, fmt.Sprintf("%d of %d are the same; the schedule is %v", old, len(before), c.scheduled(t))
	})
	stop()
	if o := p.outageSince(began); o.failed > 0 {
		t.Errorf("not lossless: %s\n%s", o, p.timeline(began))
	}
	// They live for minutes, and so are within sixty days of their end.
	eventually(t, 3*time.Minute, "Events and metrics tell of etcd's certificates", func() (bool, string) {
		events := ""
		list, err := c.client.EventsV1().Events("ha-system").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, e := range list.Items {
			if e.Reason == "CertificateExpiring" && e.Regarding.Kind == "CronJob" {
				events += e.Note + "\n"
			}
		}
		host := c.names("control-plane")[0]
		metrics := c.try(t, host, nil, "cat", "/run/kubectl-ha-metrics/certificates.prom")
		return strings.Contains(events, "etcd-server of "+host) && strings.Contains(metrics.stdout, `certificate="etcd-server",renewed_by="workstation"`), tail(events+metrics.String(), 1000)
	})
	if _, err := c.client.BatchV1().CronJobs("ha-system").Patch(t.Context(), "certificate-renewal", types.StrategicMergePatchType, []byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := c.ha(t, suiteDeadline, "status", "--kubeconfig", c.kubeconfig); !strings.Contains(r.stdout, "is suspended") {
		t.Errorf("status of a suspended schedule: %s", tail(r.String(), 3000))
	}
	c.renewalSchedule(t, "off")
	if s := c.scheduled(t); s != nil {
		t.Errorf("it is still there: %v", s)
	}
	c.operationsEnded(t) // The last run's.
	c.renewCertificates(t, "--all", "--life-for-tests", normalLife)
	c.settled(t)
}

// operationsEnded waits until no Operation is in progress.
func (c *cluster) operationsEnded(t *testing.T) {
	t.Helper()
	eventually(t, renewDeadline, "no operation is in progress", func() (bool, string) {
		r := c.ha(t, suiteDeadline, "operation", "list", "--kubeconfig", c.kubeconfig, "-o", "json")
		var list v1alpha1.OperationList
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
			return false, fmt.Sprintf("operation list: %v %s", err, r)
		}
		for _, op := range list.Items {
			if operations.Unfinished(op) {
				return false, op.Name
			}
		}
		return true, ""
	})
}
