package job

import (
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// FuzzMessage: a line of a pod's log is a message of the agent's, or left out.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{"", "{}", "{\"event\":{\"kind\":\"done\"}}", "{\"result\":{}}", "{\"result\":null}", "exec format error", "null"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		l := &log{host: "h", sink: report.SinkFunc(func(e report.Event) {
			if e.Host != "h" {
				t.Errorf("an event is of %q", e.Host)
			}
		})}
		if whole := l.message(line); whole != (l.last != nil) {
			t.Errorf("%q: the result is %v", line, l.last)
		}
	})
}
