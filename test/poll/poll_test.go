package poll_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

func TestUntil(t *testing.T) {
	for name, tt := range map[string]struct {
		holdsAfter, within time.Duration
		want               bool
		took               time.Duration
	}{
		"at once":      {0, time.Minute, true, 0},
		"no time left": {0, 0, true, 0},
		"in time":      {30 * time.Second, time.Minute, true, 30 * time.Second},
		"too late":     {time.Hour, time.Minute, false, time.Minute + 5*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got := poll.Until(tt.within, func() bool { return time.Since(began) >= tt.holdsAfter })
				if took := time.Since(began); got != tt.want || took != tt.took {
					t.Errorf("%v after %s, want %v after %s", got, took, tt.want, tt.took)
				}
			})
		})
	}
}
