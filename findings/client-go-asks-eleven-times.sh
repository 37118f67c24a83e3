#!/bin/sh
# k8s.io/client-go v0.37.2 asks eleven times, a second apart, when a connection ends before
# an answer: any GET, LIST or the opening of a watch through a load balancer whose backends
# are gone takes ten seconds until its error, and nothing is said meanwhile at the default
# verbosity. A POST is asked once. A refused connection is an error at once for both, so a
# program that looks "is the API there?" by a GET is quick when nothing listens, and slow
# when something listens that hangs up. A deadline of the request's context bounds it;
# rest.Config has no setting for the number, Request.MaxRetries has.
#
# A server accepts connections and closes them. Asked is how many requests come and for how
# long, in seconds. Seen:
#
#   GET: 11 requests, 10 s, EOF true
#   GET with MaxRetries(0): 1 request, 0 s, EOF true
#   POST: 1 request, 0 s, EOF true
#   GET where nothing listens: 0 requests, 0 s, EOF false
#
# Exits with 1 when it is otherwise. Needs Go 1.26; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func main() {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		check(err)
		check(conn.Close())
	}))
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, try := range []struct {
		what, host string
		ask        func(c rest.Interface) *rest.Request
	}{
		{"GET", server.URL, func(c rest.Interface) *rest.Request { return c.Get() }},
		{"GET with MaxRetries(0)", server.URL, func(c rest.Interface) *rest.Request { return c.Get().MaxRetries(0) }},
		{"POST", server.URL, func(c rest.Interface) *rest.Request { return c.Post() }},
		{"GET where nothing listens", closed.URL, func(c rest.Interface) *rest.Request { return c.Get() }},
	} {
		client, err := kubernetes.NewForConfig(&rest.Config{Host: try.host})
		check(err)
		requests.Store(0)
		began := time.Now()
		err = try.ask(client.CoreV1().RESTClient()).AbsPath("/readyz").Do(context.Background()).Error()
		if err == nil {
			check(errors.New("an answer"))
		}
		n, plural := requests.Load(), "s"
		if n == 1 {
			plural = ""
		}
		fmt.Printf("%s: %d request%s, %.0f s, EOF %t\n", try.what, n, plural, math.Floor(time.Since(began).Seconds()), errors.Is(err, io.EOF))
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
GO
cd "$tmp"
go mod init finding >/dev/null 2>&1
go get k8s.io/client-go@v0.37.2 k8s.io/api@v0.37.2 k8s.io/apimachinery@v0.37.2 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
seen=$(go run .)
echo "$seen"
[ "$seen" = 'GET: 11 requests, 10 s, EOF true
GET with MaxRetries(0): 1 request, 0 s, EOF true
POST: 1 request, 0 s, EOF true
GET where nothing listens: 0 requests, 0 s, EOF false' ]
