package images

import (
	"slices"
	"testing"
)

// TestOldSandboxes: the pins of old sandbox images may go, never that of the one
// in use, nor any when that is not known.
func TestOldSandboxes(t *testing.T) {
	refs := []string{"registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.10", "example.com/pause:1", "example.com/pause-tool:1", "docker.io/library/nginx:1", "not a reference"}
	for current, want := range map[string][]string{
		"registry.k8s.io/pause:3.10":   {"registry.k8s.io/pause:3.9", "example.com/pause:1"},
		"registry.k8s.io/pause:3.10.2": {"registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.10", "example.com/pause:1"},
		"":                             nil,
		"not a reference":              nil,
	} {
		if got := oldSandboxes(refs, current); !slices.Equal(got, want) {
			t.Errorf("beside %q: %v, want %v", current, got, want)
		}
	}
}
