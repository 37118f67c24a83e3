package images

import "testing"

// FuzzReserve: thresholds of a kubelet's configuration are numbers of bytes of the disk, or refused.
func FuzzReserve(f *testing.F) {
	for _, seed := range []string{"", "evictionHard:\n  imagefs.available: 15%\n  nodefs.available: 1Gi\n", "evictionHard: {nodefs.available: NaN%}\n", "evictionHard: {nodefs.available: -5%}\n", "evictionHard: {nodefs.available: -1Gi}\n",
		"evictionHard: {nodefs.available: Inf%}\n", "imageGCHighThresholdPercent: -1\n", "mergeDefaultEvictionSettings: true\nevictionHard: {a: b}\n", "evictionHard: []\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseReserve(data)
		if err != nil {
			return
		}
		const total = 100 << 30
		for _, text := range []string{r.imagefs, r.nodefs} {
			if n, err := threshold(text, total); err != nil || n < 0 {
				t.Errorf("%q is %d bytes: %v", text, n, err)
			}
		}
		if r.gcBelow < 0 || r.gcBelow > 100 {
			t.Errorf("images are removed below %d %%", r.gcBelow)
		}
	})
}
