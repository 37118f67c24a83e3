package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// maxJobName is the longest name of a Job whose pods' labels can carry it.
const maxJobName = 63

// JobName names the Job of one attempt: readable, a DNS label, at most 63
// characters, and different for different steps even when what is readable
// of them is the same, by a hash of the exact values.
func JobName(operation, step string, attempt int32) string {
	n := strconv.Itoa(int(attempt))
	sum := sha256.Sum256([]byte(operation + "\x00" + step + "\x00" + n))
	tail := "-" + n + "-" + hex.EncodeToString(sum[:4])
	name := sanitise(operation + "-" + step)
	if room := maxJobName - len(tail); len(name) > room {
		name = name[:room]
	}
	return strings.Trim(name, "-") + tail
}

// sanitise keeps lower-case letters and digits; anything else is a dash.
func sanitise(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		default:
			return '-'
		}
	}, s)
}
