package images

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestReserve(t *testing.T) {
	const gb = 1 << 30
	kubelet := ""
	relaxed := "imageGCHighThresholdPercent: 100\nevictionHard: {nodefs.available: 0%, imagefs.available: 0%}"
	for name, c := range map[string]struct {
		config      string
		free, needs int64
		warned      bool
		refused     string
	}{
		"plenty":                        {kubelet, 50 * gb, 10 * gb, false, ""},
		"as much as can be":             {kubelet, 26 * gb, 10 * gb, false, ""},
		"the kubelet would remove":      {kubelet, 24 * gb, 10 * gb, true, ""},
		"the kubelet would evict":       {kubelet, 19 * gb, 10 * gb, false, "less than 10%"},
		"it does not fit":               {kubelet, 9 * gb, 10 * gb, false, "9216 of 102400 MB are free"},
		"nothing needed on a full disk": {kubelet, 0, 0, false, ""},
		"no thresholds":                 {relaxed, 10*gb + 1, 10 * gb, false, ""},
		"no thresholds, no room":        {relaxed, 10*gb - 1, 10 * gb, false, "are needed"},
		"a quantity":                    {"evictionHard: {nodefs.available: 2Gi}", 11 * gb, 10 * gb, false, "2Gi"},
		"a quantity is left":            {"evictionHard: {nodefs.available: 2Gi}", 13 * gb, 10 * gb, true, ""},
		"another one named":             {"evictionHard: {memory.available: 5%}", 13 * gb, 10 * gb, true, ""},
		"another one named beside":      {"evictionHard: {memory.available: 5%}\nmergeDefaultEvictionSettings: true", 13 * gb, 10 * gb, false, "less than 10%"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := parseReserve([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			warning, err := r.judge(disk{dir: "/d", total: 100 * gb, free: c.free, needs: c.needs})
			if (warning != "") != c.warned || (err != nil) != (c.refused != "") {
				t.Errorf("warning %q, error %v", warning, err)
			}
			if err != nil && (!errors.Is(err, syscall.ENOSPC) || !errors.Is(err, errNoRoom) || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("error %v", err)
			}
		})
	}
	for _, config := range []string{"evictionHard: 3", "evictionHard: {nodefs.available: many}", "evictionHard: {imagefs.available: x%}"} {
		if r, err := parseReserve([]byte(config)); err == nil {
			t.Errorf("%s: %+v", config, r)
		}
	}
}
