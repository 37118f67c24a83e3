package bundle

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxSums bounds a file of checksums, in bytes.
const maxSums = 1 << 20

// parseSum finds the sha256 of a file in what upstream publishes: either the
// bare hex digest, or lines of "<hex> [*]<file>".
func parseSum(sums, file string) (string, error) {
	lines := strings.Split(strings.TrimSpace(sums), "\n")
	for _, line := range lines {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && len(lines) == 1:
		case len(fields) == 2 && path.Base(strings.TrimPrefix(fields[1], "*")) == file:
		default:
			continue
		}
		sum := strings.ToLower(fields[0])
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 {
			return "", fmt.Errorf("%.80q is not a sha256 checksum", fields[0])
		}
		return sum, nil
	}
	return "", errors.New("no checksum for " + file + " in it")
}
