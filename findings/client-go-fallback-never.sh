#!/bin/sh
# k8s.io/client-go v0.37.2 has two families of port-forward dialers: those with
# httpstream types of k8s.io/apimachinery, which were always there, and "ForStreaming"
# ones with types of k8s.io/streaming. The WebSocket dialer of the first family returns the
# second family's UpgradeFailureError. So apimachinery's IsUpgradeFailure, which goes with
# the first family and is what older code gives to NewFallbackDialer, says false: such a
# program compiles, and never falls back to SPDY where WebSocket is refused.
# streaming's IsUpgradeFailure says true, of the same error.
#
# Asked is a server that refuses each upgrade with 400. Seen:
#
#   judged by apimachinery: websocket
#   judged by streaming:    websocket spdy/3.1
#
# Exits with 1 when it asks otherwise. Needs Go 1.26; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	old "k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

func main() {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.ToLower(r.Header.Get("Upgrade")))
		http.Error(w, "no", http.StatusBadRequest)
	}))
	defer s.Close()
	config := &rest.Config{Host: s.URL}
	u, err := url.Parse(s.URL + "/portforward")
	check(err)
	for _, by := range []struct {
		name   string
		judges func(error) bool
	}{{"apimachinery: ", old.IsUpgradeFailure}, {"streaming:    ", httpstream.IsUpgradeFailure}} {
		asked = nil
		first, err := portforward.NewSPDYOverWebsocketDialer(u, config)
		check(err)
		transport, upgrader, err := spdy.RoundTripperFor(config)
		check(err)
		second := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
		_, _, _ = portforward.NewFallbackDialer(first, second, by.judges).Dial(portforward.PortForwardProtocolV1Name)
		fmt.Println("judged by " + by.name + strings.Join(asked, " "))
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
go get k8s.io/client-go@v0.37.2 k8s.io/apimachinery@v0.37.2 k8s.io/streaming@v0.37.2 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
seen=$(go run .)
echo "$seen"
[ "$seen" = "judged by apimachinery: websocket
judged by streaming:    websocket spdy/3.1" ]
