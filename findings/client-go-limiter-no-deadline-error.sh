#!/bin/sh
# client-go v0.37.2 with client-side rate limits (QPS, Burst) and a context with a deadline:
# where the limiter would let the request go only after the deadline, the call fails at once,
# not at the deadline, and errors.Is(err, context.DeadlineExceeded) is false. No request is
# sent. A wait loop that goes on while its own deadline has not passed, and ends quietly on
# DeadlineExceeded, sees a permanent error of the API instead.
# Seen: "sent: 1, at once: true, a deadline's error: false", and the text
# "client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline".
# Exits non-zero when that is so no longer. Needs Go and its module proxy.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func main() {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"NodeList","apiVersion":"v1","items":[]}`)
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, QPS: 0.01, Burst: 1})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err != nil {
		panic(err)
	}
	begun := time.Now()
	_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	fmt.Printf("sent: %d, at once: %t, a deadline's error: %t\n", sent, time.Since(begun) < 10*time.Second, errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
}
GO
cat > go.mod <<'MOD'
module finding

go 1.26.0

require (
	k8s.io/apimachinery v0.37.2
	k8s.io/client-go v0.37.2
)
MOD
export GOFLAGS=-mod=mod
go mod tidy >/dev/null 2>&1
got=$(go run . 2>/dev/null)
printf '%s\n' "$got"
[ "$got" = "sent: 1, at once: true, a deadline's error: false
client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline" ]
