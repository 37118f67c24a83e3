package diagnose

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Events of both API groups are in the order in which they happened last.
func TestEventLines(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 1, 2, 3, minute, 0, 0, time.UTC) }
	event := func(name string, change func(*corev1.Event)) corev1.Event {
		e := corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(1))}, Type: "Normal", Reason: "Why", Message: "what",
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: name}}
		change(&e)
		return e
	}
	got := eventLines([]corev1.Event{
		event("series", func(e *corev1.Event) {
			e.EventTime = metav1.NewMicroTime(at(2))
			e.Series = &corev1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(at(9))}
		}),
		event("once", func(e *corev1.Event) { e.EventTime = metav1.NewMicroTime(at(4)) }),
		event("core", func(e *corev1.Event) {
			e.FirstTimestamp, e.LastTimestamp, e.Count = metav1.NewTime(at(1)), metav1.NewTime(at(5)), 3
		}),
		event("bare", func(*corev1.Event) {}),
	})
	want := "2026-01-02T03:01:00Z Normal Pod/bare Why (1): what\n" +
		"2026-01-02T03:04:00Z Normal Pod/once Why (1): what\n" +
		"2026-01-02T03:05:00Z Normal Pod/core Why (3): what\n" +
		"2026-01-02T03:09:00Z Normal Pod/series Why (7): what\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
