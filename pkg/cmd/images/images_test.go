package images

import (
	"testing"
)

func TestRateFlag(t *testing.T) {
	for text, want := range map[string]int64{
		"50Mbit": 6250000, "50mbit/s": 6250000, "2.5Gbit": 312500000, "800 kbit": 100000, "64bit": 8,
		"50": 0, "50MB": 0, "Mbit": 0, "-5Mbit": 0, "0Mbit": 0, "1bit": 0, "NaNMbit": 0, "1e300Gbit": 0, "": 0, "bit": 0,
	} {
		var r rateFlag
		err := r.Set(text)
		if r.bytes != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %d, %v; want %d", text, r.bytes, err, want)
		}
	}
}
