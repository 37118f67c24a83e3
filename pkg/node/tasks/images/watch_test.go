package images

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
)

func TestPatience(t *testing.T) {
	type look struct {
		after time.Duration
		s     swarm.Status
		done  int
		going bool
		want  error
	}
	here := swarm.Status{Parcel: true, Wanted: 9, Had: 9}
	for name, looks := range map[string][]look{
		"nobody comes":                 {{}, {after: 59 * time.Second}, {after: 61 * time.Second, want: errNobody}},
		"feeds come and bring nothing": {{}, {after: 40 * time.Second}, {after: 41 * time.Second, s: swarm.Status{SwarmFeed: true}}, {after: 80 * time.Second, want: errNobody}},
		"it is being fed":              {{}, {after: time.Hour, s: swarm.Status{SwarmFeed: true}}},
		"the parcel has come":          {{}, {after: 50 * time.Second}, {after: time.Hour, s: swarm.Status{Parcel: true}}, {after: time.Hour + 59*time.Second}},
		"stuck":                        {{s: swarm.Status{Parcel: true, Stuck: time.Minute}}, {s: swarm.Status{Parcel: true, Stuck: time.Minute + 1}, want: errNobody}},
		"containerd hangs":             {{s: here, going: true}, {after: importIdle, s: here, going: true}, {after: importIdle + 1, s: here, going: true, want: errIdle}},
		"containerd is slow":           {{s: here, going: true}, {after: importIdle, s: here, done: 1, going: true}, {after: 2 * importIdle, s: here, done: 1, going: true}},
		"bytes are slow":               {{s: swarm.Status{Parcel: true, Wanted: 9}, going: true}, {after: 5 * importIdle, s: swarm.Status{Parcel: true, Wanted: 9, Had: 8}, going: true}, {after: 6 * importIdle, s: here, going: true}},
		"handing on":                   {{s: here, going: true}, {after: 5 * importIdle, s: here}},
	} {
		t.Run(name, func(t *testing.T) {
			w, begin := watched{patience: time.Minute}, time.Now()
			for _, l := range looks {
				if err := w.look(l.s, l.done, l.going, begin.Add(l.after)); !errors.Is(err, l.want) || l.want == nil && err != nil {
					t.Errorf("after %s: %v", l.after, err)
				}
			}
		})
	}
}

// Who has nobody is told whose port may be closed.
func TestWithUnreached(t *testing.T) {
	task := &task{spec: Spec{Names: map[string]string{"10.0.0.2:10271": "w1"}}}
	peers := []swarm.PeerStatus{{Addr: "10.0.0.2:10271", LastError: "i/o timeout"}, {Addr: "10.0.0.3:10271", Reachable: true}, {Addr: "10.0.0.4:10271", Complete: true}}
	err := task.withUnreached(errNobody, peers)
	if !errors.Is(err, errNobody) || !strings.Contains(err.Error(), "w1 can't be reached at 10.0.0.2:10271: i/o timeout") || strings.Contains(err.Error(), "10.0.0.3") || strings.Contains(err.Error(), "10.0.0.4") {
		t.Errorf("got %v", err)
	}
	if err := task.withUnreached(errIdle, peers); err != errIdle {
		t.Errorf("got %v", err)
	}
}
