package operation

import (
	"bytes"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

func TestPrint(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := func(s int) *metav1.Time { t := metav1.NewTime(now.Add(time.Duration(s) * time.Second)); return &t }
	op := v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Paused: true}}
	op.Name, op.CreationTimestamp = "join-x7k2p", *at(-90)
	op.Status = v1alpha1.OperationStatus{Phase: v1alpha1.OperationRunning, Progress: "1/3", Message: "promoting cp2\nmore", Coordinator: "c-1",
		Steps: []v1alpha1.StepStatus{
			{ID: "upload", Title: "upload certificates", State: v1alpha1.StepSucceeded, StartedAt: at(-80), FinishedAt: at(-77)},
			{ID: "promote/cp2", Title: "promote", State: v1alpha1.StepFailed, StartedAt: at(-70), FinishedAt: at(-10), Message: "cp2: no room\nnext: free some"},
			{ID: "labels", Title: "label nodes", State: v1alpha1.StepPending},
		}}
	var b bytes.Buffer
	if err := errors.Join(printList(&b, []v1alpha1.Operation{op}, now), printList(&b, nil, now),
		printOne(&b, report.Style{ASCII: true}, op, now)); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "operations.txt", b.String())
}
