// Package metrics leaves on a host what Prometheus is to know of it: in files for node_exporter's
// textfile collector, since what runs for a minute a day can't be scraped.
package metrics

import (
	"bytes"
	"context"
	"fmt"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// Dir is where node_exporter finds what was written last. It is gone with a boot.
// https://github.com/prometheus/node_exporter#textfile-collector
const Dir = "/run/kubectl-ha-metrics"

// Family is all that one gauge says. Without a value it is left out.
func Family(name, help string, values ...*dto.Metric) *dto.MetricFamily {
	return &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum(), Metric: values}
}

// Gauge is a value, with labels as names and values.
func Gauge(value float64, labels ...string) *dto.Metric {
	m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
	for i := 0; i+1 < len(labels); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	return m
}

// Time is a time as a value: in seconds since 1970.
func Time(at time.Time, labels ...string) *dto.Metric { return Gauge(float64(at.Unix()), labels...) }

// Text is what node_exporter reads.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func Text(families ...*dto.MetricFamily) ([]byte, error) {
	var b bytes.Buffer
	for _, f := range families {
		if len(f.Metric) == 0 {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("write the metric %s: %w", f.GetName(), err)
		}
	}
	return b.Bytes(), nil
}

// Write puts them into the file of this name, in place of what was there. Nothing secret may be in
// them, since node_exporter is not root.
func Write(ctx context.Context, h *host.Host, name, note string, families ...*dto.MetricFamily) error {
	content, err := Text(families...)
	if err != nil {
		return err
	}
	if _, err := h.Mkdir(ctx, Dir, 0o755, 0, 0); err != nil {
		return err
	}
	_, err = h.WriteFile(ctx, host.File{Path: Dir + "/" + name, Mode: 0o644, Content: content, Note: note})
	return err
}

// Remove takes such a file away.
func Remove(ctx context.Context, h *host.Host, name string) error {
	_, err := h.Remove(ctx, Dir+"/"+name)
	return err
}
