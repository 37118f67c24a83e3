package status

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// metricsPort is where kubeadm's etcd and kubectl-ha's listen on the loopback for
// requests for metrics and health, without TLS.
// https://etcd.io/docs/v3.6/op-guide/configuration/#clustering (listen-metrics-urls)
const metricsPort = 2381

const (
	fsync  = "etcd_disk_wal_fsync_duration_seconds"
	commit = "etcd_disk_backend_commit_duration_seconds"
)

// measure asks a member for its own numbers, and for whether it is well.
func measure(ctx context.Context, m *Member, t *tunnel, before map[string][]bucket) map[string][]bucket {
	url := fmt.Sprintf("http://127.0.0.1:%d", metricsPort)
	code, body, err := get(ctx, t.through(metricsPort), url+"/metrics")
	if err != nil || code != http.StatusOK {
		// Of one that does not answer at all that is the reason to be told.
		if m.Answers {
			m.Error = notMeasured(code, err)
		}
		return nil
	}
	numbers := parseMetrics(body)
	fill(m, numbers, before)
	if code, body, err = get(ctx, t.through(metricsPort), url+"/health"); err == nil && code != http.StatusOK {
		m.Unwell = unwell(code, body)
	}
	return numbers.buckets
}

func notMeasured(code int, err error) string {
	if err != nil {
		return "its numbers can't be had: " + short(err)
	}
	return fmt.Sprintf("its numbers can't be had: it answers %d", code)
}

// unwell is the reason in etcd's answer: {"health":"false","reason":"ALARM NOSPACE"}.
func unwell(code int, body []byte) string {
	var answer struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(body, &answer); err == nil && answer.Reason != "" {
		return answer.Reason
	}
	return fmt.Sprintf("its health check answers %d", code)
}

// fill puts the numbers into the member. It is pure.
func fill(m *Member, n metrics, before map[string][]bucket) {
	m.Measured, m.Answers = true, true
	m.Leader = n.values["etcd_server_is_leader"] == 1
	m.Learner = n.values["etcd_server_is_learner"] == 1
	m.Leading = n.values["etcd_server_has_leader"] == 1
	m.Version = n.label("etcd_server_version")
	m.DBBytes = int64(n.values["etcd_mvcc_db_total_size_in_bytes"])
	m.FreeBytes = max(0, m.DBBytes-int64(n.values["etcd_mvcc_db_total_size_in_use_in_bytes"]))
	m.QuotaBytes = int64(n.values["etcd_server_quota_backend_bytes"])
	m.Committed = uint64(n.values["etcd_server_proposals_committed_total"])
	m.Applied = uint64(n.values["etcd_server_proposals_applied_total"])
	m.Elections = int64(n.values["etcd_server_leader_changes_seen_total"])
	m.FsyncMillis = 1000 * percentile(since(n.buckets[fsync], before[fsync]), 0.99)
	m.CommitMillis = 1000 * percentile(since(n.buckets[commit], before[commit]), 0.99)
}

// lags says of each member how far it is behind the furthest.
func lags(members []Member) {
	var furthest uint64
	for _, m := range members {
		furthest = max(furthest, m.Committed)
	}
	for i := range members {
		if members[i].Measured && members[i].Applied < furthest {
			members[i].Lag = furthest - members[i].Applied
		}
	}
}
