package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// eventController is the coordinators', of whom a run is one.
	eventController = v1alpha1.Group + "/coordinator"
	eventTimeout    = 5 * time.Second
	// maxEvents bounds those of one run: all are in its log, and in Prometheus.
	maxEvents = 10
	// maxInstance bounds the name of who has recorded an Event.
	maxInstance = 128

	// ReasonEnding and ReasonEnded are the Events' reasons.
	ReasonEnding = "CertificateExpiring"
	ReasonEnded  = "CertificateExpired"
)

// tell says what nobody in the cluster can renew: in the log, and by Events about the CronJob,
// each with its node if there is one. They are about the CronJob and not about the nodes, since who has the
// coordinator's token is not to tell tales of these. Events go after an hour, and come again with
// each run. One that can't be recorded makes the run fail.
func (r *run) tell(ctx context.Context, all []near) error {
	now := time.Now()
	for _, n := range all {
		r.say(report.Warning, "%s", n.say(now))
	}
	if len(all) == 0 {
		return nil
	}
	j, err := r.clients.Kube.BatchV1().CronJobs(v1alpha1.SystemNamespace).Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // The schedule was taken away meanwhile: nobody wants to know.
	}
	if err != nil {
		return fmt.Errorf("read the schedule, to tell of what ends: %w", err)
	}
	about := corev1.ObjectReference{APIVersion: "batch/v1", Kind: "CronJob", Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion}
	var failed []error
	for i, n := range all[:min(len(all), maxEvents)] {
		e := n.event(about, r.Identity, now.Add(time.Duration(i)), now)
		if i == maxEvents-1 && len(all) > maxEvents {
			e.Note, e.Related = fmt.Sprintf("%d more certificates end soon; kubectl ha certs status --deep has them all", len(all)-i), nil
		}
		one, cancel := context.WithTimeout(ctx, eventTimeout)
		_, err := r.clients.Kube.EventsV1().Events(e.Namespace).Create(one, e, metav1.CreateOptions{})
		cancel()
		if err != nil && !apierrors.IsAlreadyExists(err) {
			failed = append(failed, fmt.Errorf("record the Event about %s of %s: %w", n.name, n.host, err))
		}
	}
	return errors.Join(failed...)
}

// event is what is recorded. at makes its name its own.
func (n near) event(about corev1.ObjectReference, identity string, at, now time.Time) *eventsv1.Event {
	reason := ReasonEnding
	if !n.notAfter.After(now) {
		reason = ReasonEnded
	}
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", Name, at.UnixNano()), Namespace: v1alpha1.SystemNamespace},
		EventTime:  metav1.NewMicroTime(at), ReportingController: eventController, ReportingInstance: identity[:min(len(identity), maxInstance)],
		Type: corev1.EventTypeWarning, Action: "LookAtCertificates", Reason: reason, Note: operations.Shorten(n.say(now)),
		Regarding: about,
	}
	if !n.stranger {
		e.Related = &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.host}
	}
	return e
}
