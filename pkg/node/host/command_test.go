package host_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func realHost(t *testing.T) *host.Host {
	t.Helper()
	h, err := host.Open(host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRealCommands(t *testing.T) {
	h, ctx := realHost(t), context.Background()
	out, err := h.Query(ctx, host.Command{Argv: []string{"cat"}, Stdin: []byte("in")})
	if err != nil || string(out.Stdout) != "in" {
		t.Fatalf("%q %v", out.Stdout, err)
	}
	var lines []string
	_, err = h.Query(ctx, host.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; echo $A; printf end; exit 3"},
		Env: []string{"A=b"}, Progress: func(l string) { lines = append(lines, l) }})
	var failed *host.CommandError
	if !errors.As(err, &failed) || failed.Output.ExitCode != 3 || failed.Text() != "out\nb\nend\nerr" {
		t.Fatalf("%v %+v", err, failed)
	}
	if err.Error() != "sh: exit status 3" {
		t.Errorf("message %q", err)
	}
	slices.Sort(lines)
	if strings.Join(lines, ",") != "b,end,err,out" {
		t.Errorf("progress lines %q", lines)
	}
	if _, err := h.Query(ctx, host.Command{Argv: []string{"no-such-command-at-all"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := h.Query(ctx, host.Command{}); err == nil {
		t.Error("an empty command ran")
	}
}

func TestOutputIsBounded(t *testing.T) {
	out, err := realHost(t).Query(context.Background(),
		host.Command{Argv: []string{"sh", "-c", "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(out.Stdout)
	if len(text) > 300<<10 || !strings.HasPrefix(text, "first\n") || !strings.HasSuffix(text, "\nlast\n") || !strings.Contains(text, "left out") {
		t.Errorf("%d bytes, %q … %q", len(text), text[:20], text[len(text)-20:])
	}
}

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	begin := time.Now()
	_, err := realHost(t).Query(context.Background(), host.Command{
		Argv: []string{"sh", "-c", "sleep 300 & sleep 300"}, Timeout: 100 * time.Millisecond})
	if !errors.Is(err, host.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("it took %s: a child kept the output open", took)
	}
}

// TestRunOutlivesCancellation: a mutation under way is not killed half-way.
func TestRunOutlivesCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	root := t.TempDir()
	ledger, err := host.OpenLedger(root, "test")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	real, err := host.Open(host.Options{Root: root, Ledger: ledger})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-started
		cancel()
	}()
	out, err := real.Run(ctx, "", host.Command{Argv: []string{"sh", "-c", "echo begun; sleep 0.3; echo ended"},
		Progress: func(l string) {
			if l == "begun" {
				close(started)
			}
		}})
	if err != nil || !strings.HasSuffix(string(out.Stdout), "ended\n") {
		t.Fatalf("%q %v", out.Stdout, err)
	}
	if _, err := real.Run(ctx, "", host.Command{Argv: []string{"true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a second mutation began: %v", err)
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRunWhileEndsWithItsContext: a program that is needed for a while does not outlive that.
func TestRunWhileEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := hosttest.Open(t, t.TempDir(), nil)
	ended := make(chan error, 1)
	go func() {
		_, err := h.RunWhile(ctx, "be there for a while", host.Command{Argv: []string{"sh", "-c", "echo begun; sleep 300"}, Progress: func(string) { cancel() }})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it outlives its context")
	}
	if n := len(h.Changes()); n != 1 {
		t.Errorf("%d changes are told of", n)
	}
}

func TestCommandErrorName(t *testing.T) {
	for want, argv := range map[string][]string{
		"kubeadm join phase control-plane-join": {"/usr/local/bin/kubeadm", "join", "phase", "control-plane-join", "all", "--config", "/x"},
		"systemctl":                             {"systemctl", "--now", "enable"},
		"tar":                                   {"tar", "/etc"},
		"(no command)":                          nil,
	} {
		if got := (&host.CommandError{Argv: argv}).Name(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
