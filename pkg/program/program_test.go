package program

import (
	"strings"
	"testing"
)

// What the linker stamped is read as it was meant, or refused.
func TestParseAgents(t *testing.T) {
	sum, other := strings.Repeat("0b", 32), strings.Repeat("0a", 32)
	got, err := parseAgents("amd64=" + other + ",arm64=" + sum)
	if err != nil || len(got) != 2 || got["amd64"] != other || got["arm64"] != sum {
		t.Errorf("got %v %v", got, err)
	}
	for _, bad := range []string{"amd64", "amd64=", "=" + other, "amd64=" + other + ",", "amd64=" + other[1:]} {
		if _, err := parseAgents(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
