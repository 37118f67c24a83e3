package report

import (
	"math"
	"testing"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5_000_000: "4.8 MiB", 1 << 30: "1.0 GiB",
		3 << 40: "3.0 TiB", math.MaxInt64: "8.0 EiB", -1: "-1 B",
	} {
		if got := Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
