package job

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestResultFromLog: the agent's last word ends the wait, also while its container is
// still reported as running, as a kubelet does that was just restarted. The first
// connection to the log is cut off before that.
func TestResultFromLog(t *testing.T) {
	var logs atomic.Int32
	answer := func(out http.ResponseWriter, v any) {
		out.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(out).Encode(v); err != nil {
			t.Error(err)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/pods/p/log"):
			line := `{"event":{"kind":"progress","message":"at it"}}`
			if logs.Add(1) > 1 {
				line += "\n" + `{"result":{"data":{"n":1}}}`
			}
			fmt.Fprintln(out, line)
		case strings.HasSuffix(r.URL.Path, "/pods") && r.URL.Query().Get("watch") != "":
			out.WriteHeader(http.StatusOK)
			out.(http.Flusher).Flush()
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/pods"):
			p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: namespace}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "agent", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
			answer(out, corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{p}})
		case strings.HasSuffix(r.URL.Path, "/jobs/j"):
			answer(out, batchv1.Job{TypeMeta: metav1.TypeMeta{Kind: "Job", APIVersion: "batch/v1"}, ObjectMeta: metav1.ObjectMeta{Name: "j"}})
		default:
			t.Errorf("nobody expected %s %s", r.Method, r.URL)
			http.NotFound(out, r)
		}
	}))
	t.Cleanup(s.Close)
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen atomic.Int32
	sink := report.SinkFunc(func(report.Event) { seen.Add(1) })
	w := &waiter{Runner: Runner{Kube: kube, Name: "j"}, host: "cp1", sink: sink, log: newLog(kube, "cp1", sink)}
	r, err := w.wait(ctx)
	var data struct{ N int }
	if err != nil || json.Unmarshal(r.Data, &data) != nil || data.N != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if seen.Load() != 1 || logs.Load() != 2 {
		t.Errorf("%d events from %d readings; a line that was seen is not to be told again", seen.Load(), logs.Load())
	}
}
