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
)

const (
	// eventController is the coordinators', of whom a run is one.
	eventController = v1alpha1.Group + "/coordinator"
	eventTimeout    = 5 * time.Second
	// maxInstance bounds the name of who has recorded an Event.
	maxInstance = 128
)

// Event is what a run tells of by an Event about its CronJob.
type Event struct {
	// Type is Normal or Warning; Reason and Action are words in CamelCase.
	Type, Reason, Action string
	// Note is for people; it is cut where an Event has no more room.
	Note string
	// Node is the one that it is about, too; may be empty.
	Node string
}

// Record records Events about the CronJob. They go after an hour, and come again with
// each run. Where the schedule was taken away
// meanwhile there is nobody who wants to know.
func (r *Run) Record(ctx context.Context, all ...Event) error {
	if len(all) == 0 {
		return nil
	}
	j, err := r.Get(ctx, r.Clients.Kube)
	if err != nil || j == nil {
		return err
	}
	about := corev1.ObjectReference{APIVersion: "batch/v1", Kind: "CronJob", Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion}
	now := time.Now()
	var failed []error
	for i, e := range all {
		at := now.Add(time.Duration(i)) // It makes the Event's name its own.
		event := &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", r.Name, at.UnixNano()), Namespace: v1alpha1.SystemNamespace},
			EventTime:  metav1.NewMicroTime(at), ReportingController: eventController, ReportingInstance: r.Identity[:min(len(r.Identity), maxInstance)],
			Type: e.Type, Action: e.Action, Reason: e.Reason, Note: operations.Shorten(e.Note), Regarding: about,
		}
		if e.Node != "" {
			event.Related = &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: e.Node}
		}
		one, cancel := context.WithTimeout(ctx, eventTimeout)
		_, err := r.Clients.Kube.EventsV1().Events(event.Namespace).Create(one, event, metav1.CreateOptions{})
		cancel()
		if err != nil && !apierrors.IsAlreadyExists(err) {
			failed = append(failed, fmt.Errorf("record the Event %s: %w", e.Reason, err))
		}
	}
	return errors.Join(failed...)
}
