package reach

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// freePort is a port that nobody listens on at the moment.
func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := int32(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

func TestListenAndDial(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			if _, err := conn.Write([]byte("220 mail")); err != nil {
				return
			}
			_ = conn.Close() // The test is over when it fails.
		}
	}()
	open, closed, taken := freePort(t), freePort(t), int32(other.Addr().(*net.TCPAddr).Port)
	ctx, cancel := context.WithCancel(context.Background())
	listening := make(chan struct{})
	listened := make(chan ListenData, 1)
	go func() {
		data, err := Listen(ctx, node.Env{Progress: func(string, ...any) { close(listening) }},
			ListenSpec{Address: "127.0.0.1", Ports: []int32{open, taken}, Token: "t0ken"})
		if err != nil {
			t.Error(err)
		}
		d, _ := data.(ListenData)
		listened <- d
	}()
	<-listening
	quiet := node.Env{Progress: func(string, ...any) {}}
	data, err := Dial(context.Background(), quiet, DialSpec{Token: "t0ken", Within: 10 * time.Second, Targets: []Target{
		{"a", "127.0.0.1", open}, {"b", "127.0.0.1", closed}, {"c", "127.0.0.1", taken}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Outcome{OK, Refused, WrongAnswer}
	for i, r := range data.(DialData).Results {
		if r.Outcome != want[i] {
			t.Errorf("%s: %s (%s), want %s", r.Host, r.Outcome, r.Detail, want[i])
		}
	}
	cancel()
	l := <-listened
	if l.Answered[open] != 1 || len(l.Taken) != 1 || l.Taken[taken] == "" {
		t.Errorf("%+v", l)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestOutcomes(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }() // The test is over.
	port := int32(silent.Addr().(*net.TCPAddr).Port)
	err = dial(context.Background(), Target{Address: "127.0.0.1", Port: port}, DialSpec{Token: "t", Within: 50 * time.Millisecond})
	if outcome(err) != WrongAnswer {
		t.Errorf("a silent service: %v", err)
	}
	if got := outcome(context.DeadlineExceeded); got != Timeout {
		t.Errorf("a deadline: %s", got)
	}
	if got := outcome(&net.AddrError{}); got != Failed {
		t.Errorf("another error: %s", got)
	}
}

func TestTokenIsNeeded(t *testing.T) {
	env := node.Env{Progress: func(string, ...any) {}}
	if _, err := Listen(context.Background(), env, ListenSpec{}); err == nil {
		t.Error("listen without a token")
	}
	if _, err := Dial(context.Background(), env, DialSpec{}); err == nil {
		t.Error("dial without a token")
	}
}
