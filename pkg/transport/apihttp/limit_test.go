package apihttp

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestLimitRequests: a single request ends with the limit; a watch and a stream do not.
func TestLimitRequests(t *testing.T) {
	const limit = 50 * time.Millisecond
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	defer s.Close()
	config := &rest.Config{Host: s.URL, Timeout: limit}
	LimitRequests(config)
	if config.Timeout != 0 {
		t.Error("client-go has a limit of its own left")
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "--request-timeout of 50ms") {
		t.Errorf("a list ended with %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*limit)
	defer cancel()
	watch, err := kube.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range watch.ResultChan() {
		t.Error("something came")
	}
	if ctx.Err() == nil {
		t.Error("the watch ended before its own context")
	}
}

// TestNoLimit: without --request-timeout nothing is between.
func TestNoLimit(t *testing.T) {
	config := &rest.Config{}
	LimitRequests(config)
	if config.WrapTransport != nil {
		t.Error("there is a limit of nothing")
	}
}
