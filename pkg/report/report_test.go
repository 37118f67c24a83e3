package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

// story is a run with everything that can happen in it.
func story() []Event {
	return []Event{
		{Time: at(0), Kind: Info, Message: "3 hosts, Kubernetes v1.36.3"},
		{Time: at(0.1), Kind: StepStarted, Host: "cp1", Step: "prepare/cp1", Title: "install binaries and images"},
		{Time: at(0.1), Kind: StepStarted, Host: "cp2", Step: "prepare/cp2", Title: "install binaries and images"},
		{Time: at(0.2), Kind: StepSkipped, Host: "w1", Step: "prepare/w1", Title: "install binaries and images", Message: "all there"},
		{Time: at(1), Kind: StepProgress, Host: "cp1", Step: "prepare/cp1", Message: "kube-apiserver, 41 of 90 MiB"},
		{Time: at(2), Kind: Warning, Host: "cp2", Message: "swap is on", Hint: "turn it off: swapoff -a"},
		{Time: at(4.2), Kind: StepDone, Host: "cp1", Step: "prepare/cp1", Title: "install binaries and images", Changed: true, Elapsed: 4100 * time.Millisecond},
		{Time: at(4.3), Kind: StepStarted, Host: "cp1", Step: "etcd/cp1", Title: "start etcd member"},
		{Time: at(4.3), Kind: StepStarted, Step: "ca", Title: "make certificates"},
		{Time: at(4.4), Kind: StepDone, Step: "ca", Title: "make certificates", Elapsed: 100 * time.Millisecond},
		{Time: at(9), Kind: StepFailed, Host: "cp2", Step: "prepare/cp2", Title: "install binaries and images", Elapsed: 8900 * time.Millisecond,
			Error: "containerd does not start", Detail: "line one\nusing token abcdef.0123456789abcdef\n", Hint: "look at journalctl -u containerd on cp2"},
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	sink := Plain(&b, Style{Clock: true, ASCII: true})
	for _, e := range story() {
		sink.Emit(e)
	}
	golden.Compare(t, "plain.txt", b.String())
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	sink := JSON(&b)
	for _, e := range story() {
		sink.Emit(e)
	}
	golden.Compare(t, "events.jsonl", b.String())
}

func TestPlainShowsProgressOnceInAWhile(t *testing.T) {
	var b bytes.Buffer
	sink := Plain(&b, Style{})
	sink.Emit(Event{Time: at(0), Kind: StepStarted, Step: "s", Title: "copy"})
	for i := range 40 {
		sink.Emit(Event{Time: at(float64(i)), Kind: StepProgress, Step: "s", Title: "copy", Message: "going on"})
	}
	if n := strings.Count(b.String(), "going on"); n != 2 {
		t.Errorf("%d progress lines in 40 s, want one in %s:\n%s", n, progressEvery, b.String())
	}
}

func TestEventGoesThroughJSONUnchanged(t *testing.T) {
	for _, e := range story() {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back Event
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", data, diff)
		}
	}
}

func TestElapsedIsSecondsInJSON(t *testing.T) {
	data, err := json.Marshal(Event{Kind: StepDone, Elapsed: 1500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	if fields["elapsed"] != 1.5 {
		t.Errorf("elapsed is %v in %s, want 1.5", fields["elapsed"], data)
	}
}

func TestRedact(t *testing.T) {
	key := strings.Repeat("0f", 32)
	for name, tc := range map[string]struct{ in, want string }{
		"token":           {"kubeadm join --token abcdef.0123456789abcdef", "kubeadm join --token [token]"},
		"certificate key": {"--certificate-key " + key, "--certificate-key [key]"},
		"as kubeadm says": {"Using certificate key:\n" + key, "Using certificate key:\n[key]"},
		"in YAML":         {`certificateKey: "` + key + `"`, `certificateKey: "[key]"`},
		"CA hash stays":   {"--discovery-token-ca-cert-hash sha256:" + key, "--discovery-token-ca-cert-hash sha256:" + key},
		"private key":     {"a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nb", "a\n[private key]\nb"},
		"cut off key":     {"-----BEGIN PRIVATE KEY-----\nMHcC", "[private key]"},
		"kubeconfig":      {"client-key-data: LS0tLS1CRUdJTg==", "client-key-data: [secret]"},
		"account token":   {"Bearer eyJhbGciOiJSUzI1.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl", "Bearer [token]"},
		"host names":      {"cp1.example.com and 10.0.0.1:6443", "cp1.example.com and 10.0.0.1:6443"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Redact(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestControlCharactersDoNotReachTheTerminal(t *testing.T) {
	e := Event{Time: at(0), Kind: StepFailed, Host: "h", Step: "s", Title: "t", Error: "a\x1b[2Jb", Detail: "x\ry\x07", Hint: "\x1b]0;evil\x07"}
	for _, line := range (Style{}).Lines(e) {
		if strings.ContainsAny(line, "\x1b\r\x07") {
			t.Errorf("control characters in %q", line)
		}
	}
}

func TestLongOutputKeepsItsEnd(t *testing.T) {
	lines := (Style{}).Lines(Event{Kind: StepFailed, Detail: strings.Repeat("early\n", 100) + "the reason"})
	if last := lines[len(lines)-1]; !strings.Contains(last, "the reason") {
		t.Errorf("the last line is %q", last)
	}
	if len(lines) != maxDetail+2 {
		t.Errorf("%d lines, want the head, the note and %d", len(lines), maxDetail)
	}
}

func TestElapsed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", -time.Hour: "0.0s", 449 * time.Millisecond: "0.4s", 59990 * time.Millisecond: "59.9s",
		125 * time.Second: "2m05s", 63 * time.Minute: "1h03m",
	} {
		if got := Elapsed(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
