#!/bin/sh
# k8s.io/client-go v0.37.2 has two event recorders. The newer one (tools/events) takes two
# events for the same if all but their notes agree: the second only adds one to the count of
# the first, and what it said is sent nowhere. The older one (tools/record) makes two events
# of them. So a controller that moves to the newer one, and reports each failure of an object
# with one reason, shows the first failure's text for every later one of the series.
#
# A Node gets two warnings with one reason and different notes. Asked is what each recorder
# sends to the API. Seen:
#
#   tools/record: create "disk full", create "no route to host"
#   tools/events: create "disk full", patch {"series":{"count":2}}
#
# Exits with 1 when it sends otherwise. Needs Go 1.26; everything is in a temporary folder.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat > "$tmp/main.go" <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/record"
)

var sent = make(chan string)

type newer struct{}

func (newer) Create(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	sent <- fmt.Sprintf("create %q", e.Note)
	return e, nil
}

func (newer) Update(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	sent <- fmt.Sprintf("update %q", e.Note)
	return e, nil
}

func (newer) Patch(_ context.Context, e *eventsv1.Event, data []byte) (*eventsv1.Event, error) {
	sent <- "patch " + untimed(data)
	return e, nil
}

type older struct{}

func (older) Create(e *corev1.Event) (*corev1.Event, error) {
	sent <- fmt.Sprintf("create %q", e.Message)
	return e, nil
}

func (older) Update(e *corev1.Event) (*corev1.Event, error) {
	sent <- fmt.Sprintf("update %q", e.Message)
	return e, nil
}

func (older) Patch(e *corev1.Event, data []byte) (*corev1.Event, error) {
	sent <- "patch " + untimed(data)
	return e, nil
}

// untimed is the patch without its time, which differs from run to run.
func untimed(data []byte) string {
	var patch map[string]any
	check(json.Unmarshal(data, &patch))
	if series, ok := patch["series"].(map[string]any); ok {
		delete(series, "lastObservedTime")
	}
	text, err := json.Marshal(patch)
	check(err)
	return string(text)
}

func next() string {
	select {
	case s := <-sent:
		return s
	case <-time.After(30 * time.Second):
		return "nothing"
	}
}

func main() {
	node := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "u1"}
	scheme := runtime.NewScheme()

	old := record.NewBroadcaster()
	old.StartRecordingToSink(older{})
	recorder := old.NewRecorder(scheme, corev1.EventSource{Component: "finding"})
	recorder.Event(node, corev1.EventTypeWarning, "BackupFailed", "disk full")
	first := next()
	recorder.Event(node, corev1.EventTypeWarning, "BackupFailed", "no route to host")
	fmt.Printf("tools/record: %s, %s\n", first, next())

	b := events.NewBroadcaster(newer{})
	check(b.StartRecordingToSinkWithContext(context.Background()))
	r := b.NewRecorder(scheme, "finding")
	r.Eventf(node, nil, corev1.EventTypeWarning, "BackupFailed", "Backup", "disk full")
	first = next()
	r.Eventf(node, nil, corev1.EventTypeWarning, "BackupFailed", "Backup", "no route to host")
	fmt.Printf("tools/events: %s, %s\n", first, next())
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
[ "$seen" = 'tools/record: create "disk full", create "no route to host"
tools/events: create "disk full", patch {"series":{"count":2}}' ]
