package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

type spec struct {
	Path string `json:"path"`
}

// tasks for tests: each is one way a task can end.
func tasks() map[string]node.Task {
	write := func(ctx context.Context, env node.Env, s spec) (any, error) {
		env.Progress("writing %s", s.Path)
		_, err := env.Host.WriteFile(ctx, host.File{Path: s.Path, Mode: 0o600, UID: os.Getuid(), GID: os.Getgid()})
		return map[string]int{"n": 1}, err
	}
	all := map[string]node.Task{}
	for name, run := range map[string]func(context.Context, node.Env, spec) (any, error){
		"write": write,
		"look":  write,
		"panic": func(context.Context, node.Env, spec) (any, error) { panic("oops") },
		"command": func(ctx context.Context, env node.Env, _ spec) (any, error) {
			_, err := env.Host.Run(ctx, "", host.Command{Argv: []string{"kubeadm", "init"}})
			return nil, host.WithHint(err, "look at the kubelet")
		},
		"slow": func(ctx context.Context, _ node.Env, _ spec) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		},
		"weird": func(context.Context, node.Env, spec) (any, error) { return make(chan int), nil },
		"stubborn": func(ctx context.Context, env node.Env, s spec) (any, error) {
			<-ctx.Done()
			_, err := env.Host.WriteFile(context.WithoutCancel(ctx), host.File{Path: s.Path, Mode: 0o600})
			return nil, err
		},
	} {
		all[name] = node.Task{Name: name, ReadOnly: name == "look", Run: node.Typed(run)}
	}
	return all
}

func request(task string, change func(*node.Request)) []byte {
	r := node.Request{Cluster: "test", Task: task, Step: task + "/h1", Spec: json.RawMessage(`{"path":"/etc/f"}`)}
	if change != nil {
		change(&r)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err) // A request is made of what can be encoded.
	}
	return append(raw, '\n')
}

func TestAgentResults(t *testing.T) {
	for _, c := range []struct {
		name                 string
		raw                  []byte
		message, hint, outpt string
		changes              int
	}{
		{name: "done", raw: request("write", nil), changes: 2},
		{name: "read-only tasks can't write", raw: request("look", nil), message: "only reads"},
		{name: "panic", raw: request("panic", nil), message: "oops", outpt: "goroutine"},
		{name: "command", raw: request("command", nil), message: "kubeadm init: exit status 1", hint: "look at the kubelet", outpt: "no space", changes: 1},
		{name: "timeout", raw: request("slow", func(r *node.Request) { r.Timeout = time.Millisecond }), message: "took longer than 1ms"},
		{name: "result that can't be encoded", raw: request("weird", nil), message: "can't be encoded"},
		{name: "no such task", raw: request("brew", nil), message: `no task "brew"`, hint: "different versions"},
		{name: "no JSON", raw: []byte("{\n"), message: "can't read the request", hint: "different versions"},
		{name: "unknown field", raw: []byte(`{"task":"write","colour":1}` + "\n"), message: "colour"},
		{name: "unknown field in the spec", raw: request("write", func(r *node.Request) { r.Spec = json.RawMessage(`{"x":1}`) }), message: `"x"`},
		{name: "no cluster", raw: request("write", func(r *node.Request) { r.Cluster = "" }), message: "no name"},
		{name: "dry run", raw: request("write", func(r *node.Request) { r.DryRun = true }), changes: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			commands := hosttest.NewCommander(t).Fail("kubeadm init", 1, "no space")
			a := node.Agent{Tasks: tasks(), Root: t.TempDir(), Commands: commands}
			r := a.Run(context.Background(), c.raw, nil, report.SinkFunc(func(report.Event) {}))
			var f node.Failure
			if r.Failure != nil {
				f = *r.Failure
			}
			if (r.Failure != nil) != (c.message != "") || !strings.Contains(f.Message, c.message) ||
				!strings.Contains(f.Hint, c.hint) || !strings.Contains(f.Output, c.outpt) {
				t.Errorf("failure %+v, want message %q, hint %q, output %q", f, c.message, c.hint, c.outpt)
			}
			if f.NoTask() != (c.name == "no such task") {
				t.Errorf("taken for a task that the agent lacks, or not: %+v", f)
			}
			if len(r.Changes) != c.changes {
				t.Errorf("changes %+v, want %d", r.Changes, c.changes)
			}
			if c.name == "dry run" {
				if left, err := filepath.Glob(a.Root + "/*"); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v %v", left, err)
				}
			}
		})
	}
}

func TestAgentMarksTasksDone(t *testing.T) {
	a := node.Agent{Tasks: tasks(), Root: t.TempDir()}
	sink := report.SinkFunc(func(report.Event) {})
	for range 2 {
		if r := a.Run(context.Background(), request("write", nil), nil, sink); r.Failure != nil {
			t.Fatal(r.Failure)
		}
	}
	if r := a.Run(context.Background(), request("panic", nil), nil, sink); r.Failure == nil {
		t.Fatal("no failure")
	}
	l, err := host.ReadLedger(a.Root)
	if err != nil || strings.Join(l.DoneTasks(), ",") != "write" {
		t.Fatalf("done: %v %v", l.DoneTasks(), err)
	}
	for _, dry := range []bool{true, false} {
		other := request("write", func(r *node.Request) { r.Cluster = "other"; r.DryRun = dry })
		r := a.Run(context.Background(), other, nil, sink)
		if r.Failure == nil || !strings.Contains(r.Failure.Message, `"test"`) || !strings.Contains(r.Failure.Message, `"other"`) {
			t.Errorf("another cluster's request (dry run %v): %+v", dry, r.Failure)
		}
	}
	// Nor is one of another cluster that has the same name; who does not know which it is may ask.
	identified := func(identity string, dry bool) node.Result {
		return a.Run(context.Background(), request("write", func(r *node.Request) { r.Identity, r.DryRun = identity, dry }), nil, sink)
	}
	for _, step := range []struct {
		identity string
		refused  bool
	}{{"a1", false}, {"b2", true}, {"", false}, {"a1", false}} {
		for _, dry := range []bool{false, true} {
			if r := identified(step.identity, dry); (r.Failure != nil) != step.refused {
				t.Errorf("%q (dry run %v): %+v", step.identity, dry, r.Failure)
			}
		}
	}
}

// An agent that is not the one that is asked for does nothing, in whatever way it is run.
func TestAnotherProgram(t *testing.T) {
	own, err := host.FileSum(host.SelfPath)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(file, []byte("the agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		program, want, message string
	}{
		"not asked for":      {"", "", ""},
		"this one":           {"", own, ""},
		"another":            {"", strings.Repeat("0", 64), "is not the one that is asked for"},
		"another file":       {file, own, "is not the one that is asked for"},
		"no sum":             {"", "sha256:" + own, "is not the one that is asked for"},
		"can't be looked at": {file + "-that-is-none", own, "compare this program"},
	} {
		t.Run(name, func(t *testing.T) {
			a := node.Agent{Tasks: tasks(), Root: t.TempDir(), Program: tc.program}
			r := a.Run(context.Background(), request("write", func(r *node.Request) { r.AgentSHA256 = tc.want }), nil, report.SinkFunc(func(report.Event) {}))
			if (r.Failure != nil) != (tc.message != "") || r.Failure != nil && !strings.Contains(r.Failure.Message, tc.message) {
				t.Errorf("got %+v", r.Failure)
			}
			left, err := filepath.Glob(a.Root + "/*")
			if err != nil || (len(left) == 0) != (tc.message != "") {
				t.Errorf("on the host: %v %v", left, err)
			}
			if tc.message == "is not the one that is asked for" && !strings.Contains(r.Failure.Hint, "resume the Operation") {
				t.Errorf("the hint is %q", r.Failure.Hint)
			}
		})
	}
}

// Before it enters the host, which this test could not.
func TestAnotherProgramInAPod(t *testing.T) {
	dir := t.TempDir()
	log, req := filepath.Join(dir, "log"), filepath.Join(dir, "request")
	if err := os.WriteFile(req, request("write", func(r *node.Request) { r.AgentSHA256 = strings.Repeat("0", 64) }), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := node.RunJobAgent(context.Background(), node.JobOptions{Tasks: tasks(), RequestPath: req, TerminationLog: log, EnterHost: true, Stdout: &out})
	if err != nil || !strings.Contains(out.String(), "is not the one that is asked for") || strings.Contains(out.String(), "namespaces") {
		t.Errorf("%v: %s", err, out.String())
	}
	if content, err := os.ReadFile(log); err != nil || !strings.Contains(string(content), "nothing was done") {
		t.Errorf("the termination message is %s, %v", content, err)
	}
}

func TestServe(t *testing.T) {
	in, client := io.Pipe()
	var out bytes.Buffer
	served := make(chan error, 1)
	a := node.Agent{Tasks: tasks(), Root: t.TempDir()}
	go func() { served <- a.Serve(context.Background(), in, &out) }()
	if _, err := client.Write(request("write", nil)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var first, last node.Message
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[len(lines)-1]), &last)); err != nil {
		t.Fatal(err)
	}
	if first.Event == nil || first.Event.Kind != report.StepProgress || first.Event.Step != "write/h1" || first.Event.Message != "writing /etc/f" {
		t.Errorf("first line %s", lines[0])
	}
	if last.Result == nil || last.Result.Failure != nil || string(last.Result.Data) != `{"n":1}` {
		t.Errorf("last line %s", lines[len(lines)-1])
	}
}

// TestClientGone: at the end of standard input nothing more is changed, not
// even by a task that does not look at its context.
func TestClientGone(t *testing.T) {
	in, client := io.Pipe()
	a := node.Agent{Tasks: tasks(), Root: t.TempDir()}
	var out bytes.Buffer
	served := make(chan error, 1)
	go func() { served <- a.Serve(context.Background(), in, &out) }()
	if _, err := client.Write(request("stubborn", nil)); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), node.ErrClientGone.Error()) {
		t.Errorf("result %s", out.String())
	}
	if _, err := os.Stat(filepath.Join(a.Root, "etc/f")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was written: %v", err)
	}
}

// TestLostReader: the step ends although nobody reads its events.
func TestLostReader(t *testing.T) {
	in, client := io.Pipe()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	a := node.Agent{Tasks: tasks(), Root: t.TempDir()}
	served := make(chan error, 1)
	go func() { served <- a.Serve(context.Background(), in, write) }()
	if _, err := client.Write(request("write", nil)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, node.ErrClientGone) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(a.Root, "etc/f")); err != nil {
		t.Errorf("the step was not finished: %v", err)
	}
}

func TestNoRequest(t *testing.T) {
	var out bytes.Buffer
	a := node.Agent{Tasks: tasks(), Root: t.TempDir()}
	if err := a.Serve(context.Background(), strings.NewReader(""), &out); err != nil || !strings.Contains(out.String(), "no request") {
		t.Errorf("%v %s", err, out.String())
	}
}

func TestRunJobAgent(t *testing.T) {
	dir := t.TempDir()
	log, req := filepath.Join(dir, "log"), filepath.Join(dir, "request")
	if err := os.WriteFile(req, request("panic", func(r *node.Request) { r.DryRun = true }), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := node.RunJobAgent(context.Background(), node.JobOptions{Tasks: tasks(), RequestPath: req, TerminationLog: log, Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(log)
	if err != nil || len(content) > node.MaxTerminationMessage {
		t.Fatal(len(content), err)
	}
	var r node.Result
	if err := json.Unmarshal(content, &r); err != nil || r.Failure == nil {
		t.Errorf("%s %v", content, err)
	}
	if !strings.Contains(out.String(), `"result"`) {
		t.Errorf("stdout %s", out.String())
	}
}

func TestCompact(t *testing.T) {
	long := strings.Repeat("ü\n", 5000)
	for _, c := range []struct {
		name  string
		r     node.Result
		check func(node.Result) bool
	}{
		{"fits", node.Result{Data: json.RawMessage(`{"a":1}`)}, func(r node.Result) bool { return string(r.Data) == `{"a":1}` }},
		{"long output keeps its end", node.Result{Data: json.RawMessage(`1`), Failure: &node.Failure{Message: "m", Output: long + "the end"}},
			func(r node.Result) bool {
				return strings.HasSuffix(r.Failure.Output, "the end") && len(r.Failure.Output) > 1000 && r.Data != nil
			}},
		{"long message keeps its beginning", node.Result{Failure: &node.Failure{Message: "begin" + long, Output: "o"}},
			func(r node.Result) bool {
				return strings.HasPrefix(r.Failure.Message, "begin") && r.Failure.Output == ""
			}},
		{"long data", node.Result{Data: json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)}, func(r node.Result) bool { return r.Data == nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			encoded := node.Compact(c.r, node.MaxTerminationMessage)
			var r node.Result
			if err := json.Unmarshal(encoded, &r); err != nil || len(encoded) > node.MaxTerminationMessage || !c.check(r) {
				t.Errorf("%d bytes, %v: %s", len(encoded), err, encoded)
			}
		})
	}
}
