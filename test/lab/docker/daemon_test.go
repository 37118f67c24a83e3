package docker

import "testing"

func TestStatIsProgram(t *testing.T) {
	for stat, want := range map[string]bool{
		"25924 (dockerd) S 1 25924 25924 0": true,
		"25924 (dockerd) Z 1 25924 25924 0": false,
		"25924 (dockerd) X 1":               false,
		"7 (bash) S 1":                      false,
		"7 (a) dockerd) S 1":                false,
		"":                                  false,
		"25924 (dockerd)":                   false,
		"25924 ) dockerd ( S":               false,
	} {
		if got := statIsProgram(stat, "dockerd"); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}
