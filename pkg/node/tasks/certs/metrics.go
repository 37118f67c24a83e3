package certs

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// MetricsDir is where node_exporter's textfile collector finds what was written last. It is
	// gone with a boot, until the next look.
	// https://github.com/prometheus/node_exporter#textfile-collector
	MetricsDir  = "/run/kubectl-ha-metrics"
	metricsFile = MetricsDir + "/certificates.prom"

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
	content, err := exposition(spec, data)
	if err != nil {
		return nil, err
	}
	// Nothing secret is in it, and node_exporter is not root.
	if _, err := env.Host.Mkdir(ctx, MetricsDir, 0o755, 0, 0); err != nil {
		return nil, err
	}
	_, err = env.Host.WriteFile(ctx, host.File{Path: metricsFile, Mode: 0o644, Content: content, Note: "ends of certificates, for Prometheus"})
	return data, err
}

// exposition is what node_exporter reads.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func exposition(spec MetricsSpec, data LookData) ([]byte, error) {
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
	end := family(MetricEnd, "When a certificate ends.")
	for _, key := range slices.SortedFunc(maps.Keys(ends), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
		end.Metric = append(end.Metric, gauge(ends[key], "host", key[0], "certificate", key[1], "renewed_by", key[2]))
	}
	look := family(MetricLook, "When the certificates of this host were last looked at.")
	look.Metric = []*dto.Metric{gauge(data.Time, "host", spec.Host)}
	var b bytes.Buffer
	for _, f := range []*dto.MetricFamily{end, look} {
		if len(f.Metric) == 0 {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("write the ends of certificates: %w", err)
		}
	}
	return b.Bytes(), nil
}

func family(name, help string) *dto.MetricFamily {
	return &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum()}
}

// gauge is a time, with labels as names and values.
func gauge(at time.Time, labels ...string) *dto.Metric {
	value := float64(at.Unix())
	m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
	for i := 0; i+1 < len(labels); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	return m
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
