package upgrade

import "testing"

func TestCompareVersions(t *testing.T) {
	order := []string{"", "unknown", "v1.9.12", "v1.36.9", "v1.36.10-rc.0", "v1.36.10", "v1.37.0"}
	for i, a := range order {
		for j, b := range order {
			if got := compareVersions(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%q to %q: %d", a, b, got)
			}
		}
	}
}
