package certs

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/metrics"
)

const (
	metricsFile = "certificates.prom"

	// MetricEnd is when a certificate ends, by host, certificate and who renews it; MetricLook when
	// it was looked.
	MetricEnd  = "kubectl_ha_certificate_expiration_timestamp_seconds"
	MetricLook = "kubectl_ha_certificates_last_look_timestamp_seconds"
)

// Elsewhere is a certificate that was seen at a port of a host to which no task comes.
type Elsewhere struct {
	Host     string    `json:"host"`
	Name     string    `json:"name"`
	NotAfter time.Time `json:"notAfter"`
}

// MetricsSpec has what is told of beside the host's own.
type MetricsSpec struct {
	// Host is the host's name.
	Host string `json:"host"`
	// Others are told of on each host that is looked at.
	Others []Elsewhere `json:"others,omitempty"`
}

// Metrics is Look, and writes what it finds for Prometheus.
func Metrics(ctx context.Context, env node.Env, spec MetricsSpec) (any, error) {
	data := Find(env.Host, time.Now())
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return data, metrics.Write(ctx, env.Host, metricsFile, "ends of certificates, for Prometheus", families(spec, data)...)
}

// families are what is told of, sorted. It is pure.
func families(spec MetricsSpec, data LookData) []*dto.MetricFamily {
	ends := map[[3]string]time.Time{}
	add := func(host, certificate string, owner Owner, notAfter time.Time) {
		// A series that is there twice spoils the whole file: of two of a name the first end counts.
		key := [3]string{host, certificate, owner.label()}
		if have, there := ends[key]; !notAfter.IsZero() && (!there || notAfter.Before(have)) {
			ends[key] = notAfter
		}
	}
	for _, c := range data.Certificates {
		add(spec.Host, cmp.Or(c.Name, c.File), c.RenewedBy, c.NotAfter) // A key has no end.
	}
	for _, o := range spec.Others {
		add(o.Host, o.Name, OwnerWorkstation, o.NotAfter)
	}
	end := metrics.Family(MetricEnd, "When a certificate ends.")
	for _, key := range slices.SortedFunc(maps.Keys(ends), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
		end.Metric = append(end.Metric, metrics.Time(ends[key], "host", key[0], "certificate", key[1], "renewed_by", key[2]))
	}
	return []*dto.MetricFamily{end, metrics.Family(MetricLook, "When the certificates of this host were last looked at.", metrics.Time(data.Time, "host", spec.Host))}
}

// label is an owner in a word, for rules that go by it.
func (o Owner) label() string {
	switch o {
	case OwnerWorkstation:
		return "workstation"
	case OwnerHost:
		return "host"
	case OwnerElsewhere:
		return "ca-elsewhere"
	case OwnerKubelet:
		return "kubelet"
	case OwnerRotation:
		return "rotation"
	}
	return "nobody"
}
