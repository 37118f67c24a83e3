package status

import (
	"bufio"
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
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

func parseMetrics(data []byte) metrics {
	m := metrics{values: map[string]float64{}, labels: map[string]string{}, buckets: map[string][]bucket{}}
	lines := bufio.NewScanner(bytes.NewReader(data))
	// A line of metrics may be long: 1 MiB. One that is longer ends it, and what is missing is not shown.
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil || math.IsNaN(value) {
			continue
		}
		name, label, labelled := strings.Cut(line[:cut], "{")
		label = strings.TrimSuffix(label, "}")
		histogram, isBucket := strings.CutSuffix(name, "_bucket")
		switch {
		case !labelled:
			m.values[name] = value
		case isBucket && strings.HasPrefix(label, `le="`) && !strings.Contains(label, ","):
			upTo, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(label, `le="`), `"`), 64)
			// NaN, and what is no time that anything took, can't be shown, nor written as JSON.
			if err == nil && (math.IsInf(upTo, 1) || math.Abs(upTo) < maxSeconds) {
				m.buckets[histogram] = append(m.buckets[histogram], bucket{upTo, value})
			}
		case value == 1:
			m.labels[name] = label
		}
	}
	return m
}

// label is the value of a metric's only label, such as etcd_server_version's.
func (m metrics) label(name string) string {
	_, value, _ := strings.Cut(m.labels[name], `="`)
	return strings.TrimSuffix(value, `"`)
}

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
