package schedule

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// maxEvents bounds those of one run: all are in its log, and in Prometheus.
	maxEvents = 10

	// ReasonEnding and ReasonEnded are the Events' reasons.
	ReasonEnding = "CertificateExpiring"
	ReasonEnded  = "CertificateExpired"
)

// tell says what nobody in the cluster can renew: in the log, and by Events about the CronJob,
// each with its node if there is one. They are about the CronJob and not about the nodes, since who has the
// coordinator's token is not to tell tales of these.
func (r *run) tell(ctx context.Context, all []near) error {
	now := time.Now()
	var events []schedule.Event
	for i, n := range all {
		r.Say(report.Warning, "%s", n.say(now))
		switch {
		case i == maxEvents-1 && len(all) > maxEvents:
			last := n.event(now)
			last.Note, last.Node = fmt.Sprintf("%d more certificates end soon; kubectl ha certs status --deep has them all", len(all)-i), ""
			events = append(events, last)
		case i < maxEvents:
			events = append(events, n.event(now))
		}
	}
	return r.Record(ctx, events...)
}

// event is what is recorded.
func (n near) event(now time.Time) schedule.Event {
	e := schedule.Event{Type: corev1.EventTypeWarning, Action: "LookAtCertificates", Reason: ReasonEnding, Note: n.say(now)}
	if !n.notAfter.After(now) {
		e.Reason = ReasonEnded
	}
	if !n.stranger {
		e.Node = n.host
	}
	return e
}
