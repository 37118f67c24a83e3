package client

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// counting is a rate that counts who draws on it.
type counting struct {
	flowcontrol.RateLimiter
	drawn atomic.Int32
}

func (c *counting) Wait(ctx context.Context) error {
	c.drawn.Add(1)
	return c.RateLimiter.Wait(ctx)
}

// TestRate: a program has one rate, which is the one that was chosen.
func TestRate(t *testing.T) {
	config := &rest.Config{Host: "https://127.0.0.1:1"}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if config.RateLimiter != nil {
		t.Error("the caller's config was changed")
	}
	if got := c.Config.RateLimiter.QPS(); got != requestsPerSecond {
		t.Errorf("the rate is %v a second", got)
	}
	for n := range requestBurst {
		if !c.Config.RateLimiter.TryAccept() {
			t.Fatalf("the burst is %d", n)
		}
	}
	// Each of these takes less than a tenth of the time in which one more is allowed.
	for range 10 * requestBurst {
		if !c.Config.RateLimiter.TryAccept() {
			return
		}
	}
	t.Error("there is no bound")
}

// TestOneRate: all clients of a program draw on its rate, but the lease's and the coordinator's for its
// Operation, which wait for none of them.
func TestOneRate(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, version := "NodeList", "v1"
		switch {
		case strings.HasSuffix(r.URL.Path, "/operations"):
			kind, version = "OperationList", v1alpha1.APIVersion
		case strings.HasSuffix(r.URL.Path, "/leases"):
			kind, version = "LeaseList", "coordination.k8s.io/v1"
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"` + kind + `","apiVersion":"` + version + `","items":[]}`)) // The client reports what is missing.
	}))
	t.Cleanup(s.Close)
	rate := &counting{RateLimiter: flowcontrol.NewFakeAlwaysRateLimiter()}
	c, err := New(&rest.Config{Host: s.URL, RateLimiter: rate})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil || rate.drawn.Load() != 1 {
		t.Errorf("typed: %v, %d drawn", err, rate.drawn.Load())
	}
	if _, err := c.Dynamic.Resource(v1alpha1.OperationsResource).List(t.Context(), metav1.ListOptions{}); err != nil || rate.drawn.Load() != 2 {
		t.Errorf("dynamic: %v, %d drawn", err, rate.drawn.Load())
	}
	if _, err := c.Operations.Resource(v1alpha1.OperationsResource).List(t.Context(), metav1.ListOptions{}); err != nil || rate.drawn.Load() != 2 {
		t.Errorf("the Operation's: %v, %d drawn", err, rate.drawn.Load())
	}
	leases, err := LeaseClient(c.Config, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leases.CoordinationV1().Leases("x").List(t.Context(), metav1.ListOptions{}); err != nil || rate.drawn.Load() != 2 {
		t.Errorf("the lease's: %v, %d drawn", err, rate.drawn.Load())
	}
}

// TestNoRate: who asks for none has none.
func TestNoRate(t *testing.T) {
	c, err := New(&rest.Config{Host: "http://127.0.0.1:1", QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	if c.Config.RateLimiter != nil {
		t.Error("there is a rate all the same")
	}
}
