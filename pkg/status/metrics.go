package status

import (
	"bytes"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics are a component's own numbers: https://prometheus.io/docs/instrumenting/exposition_formats/
type metrics struct {
	// values of what has no labels, labels of what is told by a label only, and the
	// cumulated buckets of histograms by their upper bounds.
	values  map[string]float64
	labels  map[string]string
	buckets map[string][]bucket
}

// maxSeconds bounds what a histogram's bucket is for: thirty years.
const maxSeconds = 1e9

// bucket counts what took at most UpTo seconds.
type bucket struct{ UpTo, Count float64 }

// parseMetrics reads what a component says. What comes before the first line that can't be read
// counts: an answer that was cut off shows what it has.
func parseMetrics(data []byte) metrics {
	m := metrics{values: map[string]float64{}, labels: map[string]string{}, buckets: map[string][]bucket{}}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, _ := parser.TextToMetricFamilies(bytes.NewReader(data))
	for name, family := range families {
		for _, one := range family.GetMetric() {
			switch labels := one.GetLabel(); {
			case one.Histogram != nil && len(labels) == 0:
				m.buckets[name] = bucketsOf(one.Histogram)
			case len(labels) == 0:
				if value := valueOf(one); !math.IsNaN(value) {
					m.values[name] = value
				}
			case len(labels) == 1 && valueOf(one) == 1:
				m.labels[name] = labels[0].GetValue()
			}
		}
	}
	return m
}

// valueOf is a metric's number, whatever its type; zero of what has several.
func valueOf(m *dto.Metric) float64 {
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
}

// bucketsOf leaves out NaN and what is no time that anything took: they can't be shown, nor written as JSON.
func bucketsOf(h *dto.Histogram) []bucket {
	var out []bucket
	for _, b := range h.GetBucket() {
		upTo := b.GetUpperBound()
		count := float64(b.GetCumulativeCount()) + b.GetCumulativeCountFloat()
		if !math.IsNaN(count) && (math.IsInf(upTo, 1) || math.Abs(upTo) < maxSeconds) {
			out = append(out, bucket{upTo, count})
		}
	}
	return out
}

// label is the value of a metric's only label, such as etcd_server_version's.
func (m metrics) label(name string) string { return m.labels[name] }

// since takes off what was counted before; a component that restarted in between
// counts anew, and then nothing is taken off.
func since(now, before []bucket) []bucket {
	if len(now) != len(before) {
		return now
	}
	out := slices.Clone(now)
	for i := range out {
		if out[i].Count -= before[i].Count; out[i].Count < 0 {
			return now
		}
	}
	if len(out) > 0 && out[len(out)-1].Count == 0 {
		return now // Nothing happened in between; what was before is the best there is.
	}
	return out
}

// percentile is the upper bound, in seconds, of the bucket in which it lies; zero of nothing.
func percentile(buckets []bucket, p float64) float64 {
	if len(buckets) == 0 {
		return 0
	}
	all := buckets[len(buckets)-1].Count
	if all == 0 {
		return 0
	}
	largest := 0.0
	for _, b := range buckets {
		if !math.IsInf(b.UpTo, 1) {
			largest = b.UpTo
		}
		if b.Count >= p*all {
			return largest
		}
	}
	return largest
}
