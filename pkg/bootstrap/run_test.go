package bootstrap

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// world is one set of hosts, and a workstation with its state directory.
type world struct {
	t     *testing.T
	c     *v1alpha1.Cluster
	hosts *fakeHosts
	dir   string

	mu          sync.Mutex
	events      []report.Event
	kubeconfigs int
	tokens      int
	failAt      string
}

func newWorld(t *testing.T, change func(*v1alpha1.Cluster)) *world {
	c := testCluster(t, change)
	ca, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: c, hosts: newFakeHosts(t, c), dir: filepath.Join(t.TempDir(), "state")}
	w.hosts.caData = base64.StdEncoding.EncodeToString(ca.CertPEM)
	return w
}

func (w *world) Emit(e report.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

const fakeToken = "abcdef.0123456789abcdef"

func (w *world) config() Config {
	fail := func(step string) error {
		if w.failAt == step {
			return errors.New("injected")
		}
		return nil
	}
	return Config{Cluster: w.c, Hosts: w.hosts, StateDir: w.dir, AgentImage: "agent",
		Bundle: func(_ context.Context, arch string) (Bundle, error) {
			if arch != "amd64" {
				w.t.Errorf("a bundle for %q", arch)
			}
			return fakeBundle{}, fail("bundle")
		},
		Join: func(_ context.Context, a Access) (plan.Outcome, error) {
			if a.Source == "" || len(a.Kubeconfig) == 0 {
				w.t.Errorf("join without access: %+v", a)
			}
			if err := fail(StepJoin); err != nil {
				return plan.Outcome{}, err
			}
			changed, err := w.hosts.promote()
			return plan.Outcome{Changed: changed}, err
		},
		Kubeconfig: func(context.Context, Access) (plan.Outcome, error) {
			if err := fail(StepKubeconfig); err != nil {
				return plan.Outcome{}, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.kubeconfigs++
			return plan.Outcome{Changed: w.kubeconfigs == 1}, nil
		},
		newToken: func(context.Context, kubernetes.Interface, time.Time) (string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.tokens++
			return fakeToken, nil
		}}
}

func (w *world) run(change func(*Config)) (Result, error) {
	w.t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	r, err := Run(ctx, cfg, w)
	w.noSecrets(r)
	return r, err
}

// noSecrets looks for keys and tokens where they must never be.
func (w *world) noSecrets(r Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := json.Marshal(w.events)
	if err != nil {
		w.t.Fatal(err)
	}
	steps, err := json.Marshal(r.Plan)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, secret := range []string{"PRIVATE KEY", fakeToken, "not-a-token", base64.StdEncoding.EncodeToString([]byte("-----BEGIN EC PRIV"))} {
		if strings.Contains(string(text)+string(steps), secret) {
			w.t.Errorf("%q is in the events or the plan", secret)
		}
	}
}

// whole checks that the cluster is complete and nothing was made twice.
func (w *world) whole() {
	w.t.Helper()
	for name, facts := range w.hosts.facts {
		h, _ := w.c.Host(name)
		if !facts.State.Joined && isIn(w.c.Nodes(), h) || h.Has(v1alpha1.RoleControlPlane) && !facts.State.ControlPlane {
			w.t.Errorf("%s is not complete: %+v", name, facts.State)
		}
		if facts.Fetched {
			w.t.Errorf("%s still has what was fetched", name)
		}
	}
	for _, m := range w.c.EtcdMembers() {
		if n := w.hosts.etcdData[m.Name]; n != 1 {
			w.t.Errorf("etcd's data of %s were made %d times", m.Name, n)
		}
	}
	if w.hosts.clusterCAs != 1 || w.kubeconfigs == 0 {
		w.t.Errorf("%d cluster CAs, %d kubeconfigs", w.hosts.clusterCAs, w.kubeconfigs)
	}
}

func (w *world) caFile() string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, etcdCA, "ca.crt"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return string(data)
}

// looking tells whether a request is one of the preflight's.
func looking(step string) bool {
	task, _, _ := strings.Cut(step, "/")
	return slices.Contains([]string{"observe", "listen", "dial"}, task)
}

func TestBootstrapAndAgain(t *testing.T) {
	w := newWorld(t, nil)
	r, err := w.run(nil)
	if err != nil || !r.Changed {
		t.Fatalf("changed %v, %v", r.Changed, err)
	}
	w.whole()
	if w.hosts.serving != 4 || w.tokens != 0 {
		t.Errorf("%d peers ran, %d tokens were made besides init's", w.hosts.serving, w.tokens)
	}
	ca := w.caFile()
	w.hosts.take()
	w.events = nil

	r, err = w.run(nil)
	if err != nil || r.Changed {
		t.Fatalf("changed %v, %v", r.Changed, err)
	}
	got := w.hosts.take()
	slices.Sort(got)
	want := []string{"admin-kubeconfig", "vip/cp1", "vip/cp2", "vip/cp3"}
	got = slices.DeleteFunc(got, looking)
	if !slices.Equal(got, want) {
		t.Errorf("the second run asked for %q", got)
	}
	if w.caFile() != ca || w.hosts.serving != 4 {
		t.Error("the CA was changed, or a peer ran")
	}
	if last := w.events[len(w.events)-1]; last.Kind != report.Info || !strings.Contains(last.Message, "nothing to do") {
		t.Errorf("the last event is %+v", last)
	}
}

// Each step fails in each way once; the second run does the rest.
func TestBootstrapFailsAtEachStep(t *testing.T) {
	ids := []string{"prepare/cp1", "prepare/w1", "images/cp1", "images/cp3", "tidy/cp1", "etcd/cp1", "etcd/cp3", "etcd-health", "vip/cp1", "vip/cp2", "init/cp1",
		"join-node/cp2", "join-node/w1", "admin-kubeconfig", StepJoin, StepKubeconfig, "bundle"}
	for _, id := range ids {
		for _, lost := range []bool{false, true} {
			name := id + ", nothing done"
			if lost {
				name = id + ", connection lost after it was done"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, nil)
				w.hosts.failAt, w.hosts.lost, w.failAt = id, lost, id
				r, err := w.run(nil)
				if err == nil {
					t.Fatal("no error")
				}
				if lost && !strings.Contains(err.Error(), "lost") && w.hosts.failAt == id && strings.Contains(id, "/") {
					t.Errorf("got %v", err)
				}
				var unfinished *Unfinished
				if id != "bundle" && !errors.As(err, &unfinished) {
					t.Errorf("got %T", err)
				}
				for _, s := range r.Plan.Steps {
					// What comes after the failed step was not begun.
					if slices.Contains(s.After, id) && slices.Contains(w.hosts.take(), s.ID) {
						t.Errorf("%s was begun", s.ID)
					}
				}
				ca := w.caFile()
				if (ca == "") != (id == "bundle") {
					t.Error("the etcd CA is made once the hosts are about to be touched, and not before")
				}
				w.hosts.failAt, w.failAt = "", ""
				if _, err := w.run(nil); err != nil {
					t.Fatal(err)
				}
				w.whole()
				if ca != "" && w.caFile() != ca {
					t.Error("the etcd CA was made anew")
				}
				if r, err := w.run(nil); err != nil || r.Changed {
					t.Errorf("the third run changed %v, %v", r.Changed, err)
				}
			})
		}
	}
}

func TestBootstrapTellsWhatFailed(t *testing.T) {
	w := newWorld(t, nil)
	w.hosts.failAt = "etcd/cp2"
	_, err := w.run(nil)
	var task *TaskError
	if !errors.As(err, &task) || task.Host != "cp2" || !strings.Contains(err.Error(), "etcd/cp2: cp2: injected") || !strings.Contains(err.Error(), "not begun: etcd-health, init/cp1") {
		t.Errorf("got %v", err)
	}
	for _, e := range w.events {
		if e.Kind == report.StepFailed && (e.Step != "etcd/cp2" || e.Detail != "all of it" || e.Hint != "try again") {
			t.Errorf("event %+v", e)
		}
	}
}

func TestInterruptedBootstrap(t *testing.T) {
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, w.config(), report.SinkFunc(func(e report.Event) {
		if e.Kind == report.StepStarted && e.Step == "init/cp1" {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	w.whole()
}

func TestDryRunChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(*Config){
		"with a bundle": nil,
		"without": func(c *Config) {
			c.Bundle = func(context.Context, string) (Bundle, error) { return nil, nil }
		},
	} {
		r, err := w.run(func(c *Config) {
			c.DryRun = true
			if change != nil {
				change(c)
			}
		})
		if err != nil || len(r.Plan.Pending()) != 25 {
			t.Errorf("%s: %d steps, %v", name, len(r.Plan.Pending()), err)
		}
		for _, req := range w.hosts.take() {
			if !looking(req) {
				t.Errorf("%s: %s was asked for", name, req)
			}
		}
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
}

func TestPreflightStandsInTheWay(t *testing.T) {
	w := newWorld(t, nil)
	w.hosts.facts["w1"].SwapBytes, w.hosts.facts["cp2"].DefaultRoute = gib, false
	r, err := w.run(func(c *Config) {
		c.Bundle = func(context.Context, string) (Bundle, error) {
			t.Error("a bundle was asked for")
			return nil, nil
		}
	})
	var p *PreflightError
	if !errors.As(err, &p) || len(p.Findings) != 1 || len(r.Findings) != 2 {
		t.Errorf("got %v; %q", err, lines(r.Findings))
	}
	if w.caFile() != "" {
		t.Error("a CA was made")
	}
}

func TestFirewallStandsInTheWay(t *testing.T) {
	w := newWorld(t, nil)
	w.hosts.walls["w1>cp2"] = true
	_, err := w.run(nil)
	var p *PreflightError
	if !errors.As(err, &p) || len(p.Findings) != 1 || p.Findings[0].Node != "w1" || !strings.Contains(p.Findings[0].Message, "cp2 (127.0.7.12) on TCP 6443: timeout") {
		t.Errorf("got %v", err)
	}
}

// TestSomebodyElseAnswers: what began to listen on a host after it was looked at
// was reached; an answer from a port on which the host has nobody is another's.
func TestSomebodyElseAnswers(t *testing.T) {
	w := newWorld(t, nil)
	w.hosts.impostors["cp2:6443"], w.hosts.late["cp2:6443"] = true, true
	w.hosts.impostors["cp3:6443"] = true
	_, err := w.run(nil)
	var p *PreflightError
	if !errors.As(err, &p) || len(p.Findings) == 0 {
		t.Fatalf("got %v", err)
	}
	for _, f := range p.Findings {
		if !strings.Contains(f.Message, "cp3 (127.0.7.13) on TCP 6443: wrong answer") {
			t.Errorf("%s: %s", f.Node, f.Message)
		}
	}
}

func TestUnwantedPlan(t *testing.T) {
	w := newWorld(t, nil)
	no := errors.New("no")
	_, err := w.run(func(c *Config) { c.Confirm = func(context.Context, plan.Plan) error { return no } })
	if !errors.Is(err, no) || w.caFile() != "" {
		t.Errorf("got %v", err)
	}
}

func TestSecondBootstrapAtTheSameTime(t *testing.T) {
	w := newWorld(t, nil)
	unlock, err := lock(filepath.Join(w.dir, "bootstrap.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.run(nil); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if len(w.hosts.take()) > 0 {
		t.Error("a host was asked")
	}
	unlock()
	if _, err := w.run(nil); err != nil {
		t.Error(err)
	}
}

func TestEtcdOnHostsOfItsOwn(t *testing.T) {
	w := newWorld(t, func(c *v1alpha1.Cluster) {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "e1", Address: "127.0.7.31", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}})
	})
	if _, err := w.run(nil); err != nil {
		t.Fatal(err)
	}
	w.whole()
	if s := w.hosts.facts["e1"]; s.State.Joined || s.Binaries["/usr/local/bin/kubelet"] != "" {
		t.Errorf("the etcd host became a node: %+v", s.State)
	}
	if w.hosts.facts["cp1"].State.EtcdData {
		t.Error("a control plane got an etcd member")
	}
}

// TestBootstrapHolds: a cluster that runs is told before anything is changed on its hosts, until its own
// Join begins; one that is made is not, nor one that lacks nothing.
func TestBootstrapHolds(t *testing.T) {
	w := newWorld(t, nil)
	var said []string
	var refused error
	telling := func(c *Config) {
		join := c.Join
		c.Hold = func(_ context.Context, a Access) (func(), error) {
			if len(a.Kubeconfig) == 0 {
				t.Error("no access")
			}
			for _, step := range w.hosts.take() {
				if !looking(step) && step != "admin-kubeconfig" {
					t.Errorf("%s was begun before", step)
				}
			}
			said = append(said, "hold")
			return func() { said = append(said, "release") }, refused
		}
		c.Join = func(ctx context.Context, a Access) (plan.Outcome, error) {
			said = append(said, "join")
			return join(ctx, a)
		}
	}
	w.hosts.failAt = "join-node/w1"
	if _, err := w.run(telling); err == nil || len(said) > 0 {
		t.Fatalf("%v, %v", err, said)
	}
	if slices.ContainsFunc(w.events, func(e report.Event) bool { return strings.Contains(e.Message, "not kept from beginning") }) {
		t.Error("a cluster that is made was to be told")
	}
	w.hosts.failAt = ""
	w.hosts.take()
	refused = errors.New("an upgrade is in progress")
	if _, err := w.run(telling); !errors.Is(err, refused) || strings.Join(said, " ") != "hold" {
		t.Errorf("%v, %v", err, said)
	}
	said, refused = nil, nil
	w.hosts.take()
	if _, err := w.run(telling); err != nil || !strings.HasPrefix(strings.Join(said, " "), "hold release join") {
		t.Errorf("%v, %v", err, said)
	}
	w.whole()
	said = nil
	if _, err := w.run(telling); err != nil || slices.Contains(said, "hold") {
		t.Errorf("a whole one: %v, %v", err, said)
	}
}
