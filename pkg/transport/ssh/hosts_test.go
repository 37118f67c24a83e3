package ssh

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func TestRun(t *testing.T) {
	key, pub := writeKey(t, "")
	s := startServer(t, pub)
	conn, err := NewDialer("").Dial(testContext(t), s.target(key))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out, errs bytes.Buffer
	if err := conn.Run(testContext(t), []string{"cat", "-"}, strings.NewReader("in"), &out, nil); err != nil || out.String() != "in" {
		t.Errorf("cat: %q, %v", out.String(), err)
	}
	err = conn.Run(testContext(t), []string{"sh", "-c", "echo bad >&2; exit 7"}, nil, nil, &errs)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || exit.Stderr != "bad\n" || errs.String() != "bad\n" {
		t.Errorf("got %v, stderr %q", err, errs.String())
	}
	// A command that reads nothing of a long input is not thereby failed.
	if err := conn.Run(testContext(t), []string{"true"}, bytes.NewReader(make([]byte, 8<<20)), nil, nil); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := conn.Run(ctx, []string{"sleep", "60"}, nil, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSudo(t *testing.T) {
	key, pub := writeKey(t, "")
	yes, no := true, false
	for name, c := range map[string]struct {
		user   string
		set    *bool
		uid    string
		sudo   string // the program's text; empty for none
		needed bool
		hint   string // of the NoSudo error; empty when it works
	}{
		"root":                     {"root", nil, "1", "", false, ""},
		"root by another name":     {"toor", nil, "0", "", false, ""},
		"told not to":              {"deb", &no, "1", "", false, ""},
		"works":                    {"deb", nil, "1", "#!/bin/sh\n[ \"$1 $2 $3\" = '-n -- true' ]", true, ""},
		"root, told to":            {"root", &yes, "0", "#!/bin/sh\nexit 0", true, ""},
		"missing":                  {"deb", nil, "1", "", false, "install sudo"},
		"asks for a password":      {"deb", nil, "1", "#!/bin/sh\necho 'a password is required' >&2; exit 1", false, "NOPASSWD"},
		"root, told to, not there": {"root", &yes, "0", "", false, "install sudo"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, pub)
			s.path = t.TempDir() // no commands but ours
			s.install("id", "#!/bin/sh\necho "+c.uid)
			if c.sudo != "" {
				s.install("sudo", c.sudo)
			}
			target := s.target(key)
			target.User, target.Sudo = c.user, c.set
			conn, err := NewDialer("").Dial(testContext(t), target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			needed, err := conn.checkSudo(testContext(t))
			if c.hint == "" {
				if err != nil || needed != c.needed {
					t.Errorf("needed %v, %v", needed, err)
				}
				return
			}
			if e := kindOf(t, err); e.Kind != NoSudo || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v, hint %q", e, e.Hint)
			}
		})
	}
}

// agentFile is an agent made of a few lines of shell.
type agentFile struct{ path, sum string }

func (a agentFile) Binary(arch string) (string, string, error) {
	if arch != "amd64" && arch != "arm64" {
		return "", "", fmt.Errorf("no agent for %s", arch)
	}
	return a.path, a.sum, nil
}

func newAgent(t *testing.T, script string) agentFile {
	t.Helper()
	script = "#!/bin/sh\n" + script
	path := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(script))
	return agentFile{path, hex.EncodeToString(sum[:])}
}

type events struct {
	mu  sync.Mutex
	all []report.Event
}

func (e *events) Emit(ev report.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func connect(t *testing.T, s *testServer, key string, agent AgentSource) *Hosts {
	t.Helper()
	h, err := Connect(testContext(t), NewDialer(""), []Target{s.target(key)}, agent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

const goodAgent = `
[ "$1 $2" = 'agent run' ] || exit 9
read -r line
echo '{"event":{"kind":"progress","host":"liar","step":"s","message":"working"}}'
echo '{"result":{"data":'"$line"'}}'
`

func TestRunnerAndCleanUp(t *testing.T) {
	key, pub := writeKey(t, "")
	for name, x := range map[string]struct{ slow, gzip bool }{"fast link": {}, "slow link": {true, true}, "slow link, no gzip": {true, false}} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, pub)
			if !x.gzip {
				s.install("gzip", "#!/bin/sh\nexit 127")
			}
			script := goodAgent
			if x.slow {
				// Long enough to be judged, and dd takes its time.
				script = "\n#" + strings.Repeat("x", 2*paceAfter) + goodAgent
				s.install("dd", "#!/bin/sh\ncase \"$1\" in */kubectl-ha) sleep 1;; esac; exec /bin/dd \"$@\"")
			}
			h := connect(t, s, key, newAgent(t, script))
			var seen events
			req := node.Request{Cluster: "c", Task: "observe", Step: "s", Spec: []byte(`{"secret":"s3cr3t"}`)}
			for range 2 {
				res, err := h.Run(testContext(t), "cp1", req, &seen)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(res.Data), `"task":"observe"`) {
					t.Errorf("the agent saw %s", res.Data)
				}
			}
			if len(seen.all) != 2 || seen.all[0].Host != "cp1" || seen.all[0].Message != "working" {
				t.Errorf("events %+v", seen.all)
			}
			var dir string
			for _, c := range s.ran() {
				if strings.Contains(c, "s3cr3t") {
					t.Errorf("a secret in argv: %s", c)
				}
				if strings.HasSuffix(c, "/kubectl-ha agent run") {
					dir = filepath.Dir(strings.TrimSuffix(c, " agent run"))
				}
			}
			if packed := strings.Contains(strings.Join(s.ran(), "\n"), "gzip -d"); packed != (x.slow && x.gzip) {
				t.Errorf("packed: %v", packed)
			}
			if n := strings.Count(strings.Join(s.ran(), "\n"), "mktemp"); n != 1 {
				t.Errorf("the agent was put there %d times", n)
			}
			info, err := os.Stat(dir)
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("agent's directory %q: %v %v", dir, info, err)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", dir, err)
			}
		})
	}
}

func TestAgentThatFails(t *testing.T) {
	key, pub := writeKey(t, "")
	for name, c := range map[string]struct{ script, says, detail string }{
		"dies":            {"echo 'panic: oh' >&2; exit 2", "exited with code 2", "panic: oh"},
		"says nothing":    {"read -r line", "said nothing", ""},
		"garbles":         {`echo '{"event":{"kind":"info"}}'; echo what`, "no message", ""},
		"only a greeting": {"echo Welcome", "said nothing", "Welcome"},
	} {
		t.Run(name, func(t *testing.T) {
			h := connect(t, startServer(t, pub), key, newAgent(t, c.script))
			_, err := h.Run(testContext(t), "cp1", node.Request{Task: "observe"}, &events{})
			e := kindOf(t, err)
			if e.Kind != Agent || !strings.Contains(e.Message, c.says) || !strings.Contains(e.Detail, c.detail) || e.Hint == "" {
				t.Errorf("got %v, detail %q", e, e.Detail)
			}
		})
	}
	t.Run("greeting before the messages", func(t *testing.T) {
		h := connect(t, startServer(t, pub), key, newAgent(t, "echo Welcome"+goodAgent))
		if _, err := h.Run(testContext(t), "cp1", node.Request{Task: "observe"}, &events{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("unknown host", func(t *testing.T) {
		h := connect(t, startServer(t, pub), key, newAgent(t, goodAgent))
		if _, err := h.Run(testContext(t), "cp9", node.Request{}, &events{}); err == nil || !strings.Contains(err.Error(), "cp9") {
			t.Errorf("got %v", err)
		}
	})
}

// A cancelled step is told so by the end of its input, and its result waited for.
func TestCancelWaitsForTheResult(t *testing.T) {
	key, pub := writeKey(t, "")
	h := connect(t, startServer(t, pub), key, newAgent(t, `
read -r line
echo '{"event":{"kind":"progress","message":"begun"}}'
cat >/dev/null
echo '{"result":{"failure":{"message":"stopped in order"}}}'
`))
	ctx, cancel := context.WithCancel(testContext(t))
	sink := &events{}
	res, err := h.Run(ctx, "cp1", node.Request{Task: "prepare", Step: "prepare/cp1"}, report.SinkFunc(func(e report.Event) {
		sink.Emit(e)
		if e.Message == "begun" {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) || res.Failure == nil || res.Failure.Message != "stopped in order" {
		t.Errorf("got %+v, %v", res, err)
	}
	if last := sink.all[len(sink.all)-1]; !strings.Contains(last.Message, "finishing the step on cp1") || last.Step != "prepare/cp1" {
		t.Errorf("events %+v", sink.all)
	}
}

func TestAgentPlaces(t *testing.T) {
	key, pub := writeKey(t, "")
	t.Run("no directory", func(t *testing.T) {
		s := startServer(t, pub)
		s.install("mktemp", "#!/bin/sh\necho 'no space left' >&2; exit 1")
		h := connect(t, s, key, newAgent(t, goodAgent))
		_, err := h.Run(testContext(t), "cp1", node.Request{}, &events{})
		if e := kindOf(t, err); e.Kind != NoRoom || strings.Count(e.Detail, "no space left") != 3 {
			t.Errorf("got %v, detail %q", e, e.Detail)
		}
	})
	t.Run("noexec", func(t *testing.T) {
		s := startServer(t, pub)
		// As on a file system mounted noexec, only the home's programs run.
		s.install("mktemp", `#!/bin/sh
case "$2" in "$HOME"/*) d=$HOME/ok ;; /tmp/*) d=$HOME/noexec ;; *) exit 1 ;; esac
mkdir "$d" && echo "$d"`)
		s.install("chmod", `#!/bin/sh
case "$2" in */noexec/*) exit 0 ;; *) exec /bin/chmod "$@" ;; esac`)
		h := connect(t, s, key, newAgent(t, goodAgent))
		if _, err := h.Run(testContext(t), "cp1", node.Request{Task: "x"}, &events{}); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(s.home)
		if err != nil || len(left) != 1 || left[0].Name() != "ok" {
			t.Errorf("left %v, %v", left, err)
		}
	})
	t.Run("architecture", func(t *testing.T) {
		s := startServer(t, pub)
		s.install("uname", "#!/bin/sh\necho s390x")
		h := connect(t, s, key, newAgent(t, goodAgent))
		_, err := h.Run(testContext(t), "cp1", node.Request{}, &events{})
		if e := kindOf(t, err); e.Kind != Config || !strings.Contains(e.Message, "s390x") {
			t.Errorf("got %v", e)
		}
	})
	t.Run("installed one is used", func(t *testing.T) {
		s := startServer(t, pub)
		agent := newAgent(t, goodAgent)
		s.install("sha256sum", "#!/bin/sh\necho "+agent.sum+"  \"$2\"")
		s.installed = s.script("installed", "#!/bin/sh\n[ \"$2\" = --help ]\n")
		h := connect(t, s, key, agent)
		// It does nothing but start, so that running it fails.
		_, err := h.Run(testContext(t), "cp1", node.Request{}, &events{})
		if err == nil || !strings.Contains(strings.Join(s.ran(), "\n"), InstalledAgent+" agent run") {
			t.Errorf("%v; ran %q", err, s.ran())
		}
		if strings.Contains(strings.Join(s.ran(), "\n"), "mktemp") {
			t.Error("a directory was made")
		}
	})
	t.Run("installed one that can't be started", func(t *testing.T) {
		s := startServer(t, pub)
		agent := newAgent(t, goodAgent)
		s.install("sha256sum", "#!/bin/sh\necho "+agent.sum+"  \"$2\"")
		// As the shell ends where the file system is mounted noexec.
		s.installed = s.script("installed", "#!/bin/sh\necho Permission denied >&2\nexit 126\n")
		h := connect(t, s, key, agent)
		if _, err := h.Run(testContext(t), "cp1", node.Request{}, &events{}); err != nil {
			t.Errorf("%v; ran %q", err, s.ran())
		}
		if ran := strings.Join(s.ran(), "\n"); strings.Contains(ran, InstalledAgent+" agent run") || !strings.Contains(ran, "mktemp") {
			t.Errorf("ran %q", s.ran())
		}
	})
}

func TestConnectReportsEveryHost(t *testing.T) {
	key, pub := writeKey(t, "")
	s := startServer(t, pub)
	good, refused, unknown := s.target(key), s.target(key), s.target(key)
	refused.Name, unknown.Name = "cp2", "cp3"
	refused.Identities = nil
	unknown.KnownHosts = nil
	h, err := Connect(testContext(t), NewDialer(""), []Target{good, refused, unknown}, newAgent(t, goodAgent))
	// The hosts are usable although some failed.
	t.Cleanup(func() { h.Close() })
	if err == nil || kindOf(t, h.Failed()["cp2"]).Kind != LoginRefused || kindOf(t, h.Failed()["cp3"]).Kind != HostKeyUnknown {
		t.Errorf("got %v; %v", err, h.Failed())
	}
	if names := h.Names(); len(names) != 1 || names[0] != "cp1" {
		t.Errorf("connected %v", names)
	}
	if _, err := h.Run(testContext(t), "cp2", node.Request{}, &events{}); kindOf(t, err).Kind != LoginRefused {
		t.Errorf("got %v", err)
	}
}

func TestPipe(t *testing.T) {
	key, pub := writeKey(t, "")
	h := connect(t, startServer(t, pub), key, newAgent(t, `[ "$2" = blobs ] || { echo no such agent >&2; exit 3; }
exec cat`))
	in, out, wait, err := h.Pipe(testContext(t), "cp1", []string{"agent", "blobs"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ping\n" {
		t.Errorf("read %q, %v", line, err)
	}
	_ = in.Close()
	if err := wait(); err != nil {
		t.Error(err)
	}
	_, _, wait, err = h.Pipe(testContext(t), "cp1", []string{"agent", "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	if e := kindOf(t, wait()); e.Kind != Agent || e.Detail != "no such agent" {
		t.Errorf("got %v, detail %q", e, e.Detail)
	}
}
