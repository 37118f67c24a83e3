package report

import (
	"fmt"

	"github.com/docker/go-units"
)

// Size is a number of bytes for people, in units of 1024: 0 B, 4.8 MiB. Everything that is
// measured in bytes is told in these.
func Size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	return units.CustomSize("%.1f %s", float64(bytes), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"})
}
