package upgrade

import "testing"

// FuzzDeprecated: an apiserver's metrics are read, whatever they are.
func FuzzDeprecated(f *testing.F) {
	for _, seed := range []string{"", metricDeprecated + "{group=\"a\",removed_release=\"1.38\",resource=\"b\",subresource=\"\",version=\"v1\"} 1\n", metricDeprecated + "{", metricDeprecated + "{} 0\n", metricDeprecated + "{removed_release=\"1.99999\"} 1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, metrics []byte) {
		all, err := parseDeprecated(metrics)
		if err != nil && all != nil {
			t.Errorf("%+v, %v", all, err)
		}
		for _, d := range all {
			// A release that can't be read is told to be unknown.
			_, _ = minorOf(d.Removed)
		}
	})
}
