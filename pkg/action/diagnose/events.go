package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// eventLines has a line for each event, in the order in which they happened last.
func eventLines(events []corev1.Event) string {
	slices.SortStableFunc(events, func(x, y corev1.Event) int { return lastSeen(x).Compare(lastSeen(y)) })
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s/%s %s (%d): %s\n", lastSeen(e).UTC().Format(time.RFC3339), e.Type, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, occurrences(e), e.Message)
	}
	return b.String()
}

// lastSeen is when an event happened last. Those of the API group events.k8s.io have no
// lastTimestamp: the series tells it of an event that came again, eventTime of one that did not.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
func lastSeen(e corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	if e.Series != nil && !e.Series.LastObservedTime.IsZero() {
		return e.Series.LastObservedTime.Time
	}
	for _, t := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time, e.FirstTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return last
}

// occurrences is how often an event happened.
func occurrences(e corev1.Event) int32 {
	if e.Series != nil && e.Series.Count > 0 {
		return e.Series.Count
	}
	return max(1, e.Count)
}
