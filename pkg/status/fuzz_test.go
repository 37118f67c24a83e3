package status

import (
	"encoding/json"
	"testing"
)

// FuzzMetrics: whatever a component says of itself, the status can be printed.
func FuzzMetrics(f *testing.F) {
	for _, seed := range []string{"", "# TYPE a histogram\na_bucket{le=\"0.1\"} 1\na_bucket{le=\"+Inf\"} 2\n", "a 1e3\nb{c=\"d\"} 1\n", "a_bucket{le=\"NaN\"} NaN\n", "a_bucket{le=\"-Inf\"} 5\n", "a NaN\n", "{ 1\n", "_bucket{le=\"1e999\"} -1\n"} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, now, before []byte) {
		m, was := parseMetrics(now), parseMetrics(before)
		for name, buckets := range m.buckets {
			p := percentile(since(buckets, was.buckets[name]), 0.99)
			if _, err := json.Marshal(1000 * p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name := range m.labels {
			m.label(name)
		}
	})
}
