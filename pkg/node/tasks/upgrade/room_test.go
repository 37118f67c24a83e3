package upgrade

import (
	"errors"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func TestCheckRoom(t *testing.T) {
	w := newWorld(t, true)
	h := w.env().Host
	rel, err := openRelease(h, newVersion)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		free map[string]int64
		err  error
		want string
	}{
		"room":                  {free: map[string]int64{host.StateDir: reserve + 1<<20, binDir: reserve + 1<<20}},
		"none for what is kept": {free: map[string]int64{host.StateDir: reserve, binDir: 1 << 40}, want: "below " + host.StateDir},
		"none for programs":     {free: map[string]int64{host.StateDir: 1 << 40, binDir: reserve}, want: "below " + binDir},
		"can't be told":         {err: broken, want: "broken"},
	} {
		err := checkRoom(h, rel, func(dir string) (int64, error) {
			for where, n := range tc.free {
				if dir == h.Path(where) {
					return n, tc.err
				}
			}
			return 0, tc.err
		})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
