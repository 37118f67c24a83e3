package prepare

import "testing"

func TestSandboxImage(t *testing.T) {
	for name, c := range map[string]struct {
		dump, want string
		bad        bool
	}{
		"version 2": {goodDump, "registry.k8s.io/pause:3.10", false},
		"version 3": {"version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'example.com/pause:3.10.2'\n", "example.com/pause:3.10.2", false},
		"none":      {"version = 3\n", "", false},
		"no TOML":   {"<html>", "", true},
	} {
		got, err := sandboxImage([]byte(c.dump))
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
