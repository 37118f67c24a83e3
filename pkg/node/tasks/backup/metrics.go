package backup

import (
	"context"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/metrics"
)

const (
	metricsFile = "backup.prom"

	// MetricMade is when the last scheduled backup was made that is whole, MetricRevision and
	// MetricBytes what is in it.
	MetricMade     = "kubectl_ha_backup_last_success_timestamp_seconds"
	MetricRevision = "kubectl_ha_backup_last_success_etcd_revision"
	MetricBytes    = "kubectl_ha_backup_last_success_size_bytes"
	// MetricRun is when the last run began, MetricFailed whether it has failed (0 or 1),
	// MetricPeriod the longest time between two runs.
	MetricRun    = "kubectl_ha_backup_last_run_timestamp_seconds"
	MetricFailed = "kubectl_ha_backup_last_run_failed"
	MetricPeriod = "kubectl_ha_backup_schedule_period_seconds"
)

// MetricsSpec is what a schedule's last run has Prometheus know.
type MetricsSpec struct {
	// Off: there is no schedule any more, and nothing to know.
	Off bool `json:"off,omitempty"`
	// Run is when it began.
	Run    time.Time `json:"run,omitzero"`
	Failed bool      `json:"failed,omitempty"`
	// Period is the longest time between two runs.
	Period time.Duration `json:"period,omitempty"`
	// Last is the last backup that is whole; nil for none.
	Last *v1alpha1.MadeBackup `json:"last,omitempty"`
}

// Metrics writes it, or takes it away.
func Metrics(ctx context.Context, env node.Env, spec MetricsSpec) (any, error) {
	if spec.Off {
		return nil, metrics.Remove(ctx, env.Host, metricsFile)
	}
	return nil, metrics.Write(ctx, env.Host, metricsFile, "the last scheduled backup, for Prometheus", families(spec)...)
}

// families is pure.
func families(spec MetricsSpec) []*dto.MetricFamily {
	failed := 0.
	if spec.Failed {
		failed = 1
	}
	out := []*dto.MetricFamily{
		metrics.Family(MetricRun, "When the last scheduled backup began.", metrics.Time(spec.Run)),
		metrics.Family(MetricFailed, "Whether the last scheduled backup has failed.", metrics.Gauge(failed)),
		metrics.Family(MetricPeriod, "The longest time between two scheduled backups.", metrics.Gauge(spec.Period.Seconds())),
	}
	if m := spec.Last; m != nil {
		out = append(out,
			metrics.Family(MetricMade, "When the last scheduled backup was made that is whole.", metrics.Time(m.Created)),
			metrics.Family(MetricRevision, "The revision of etcd in that backup.", metrics.Gauge(float64(m.Revision))),
			metrics.Family(MetricBytes, "The size of that backup.", metrics.Gauge(float64(m.Bytes))))
	}
	return out
}
