package bootstrap

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

// lonely is a cluster whose only host is an address of this machine where nobody listens.
func lonely(t *testing.T) (*v1alpha1.Cluster, remote.Login) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "192.0.2.9", Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "127.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}, SSH: &v1alpha1.SSH{Port: int32(port)}}}}}
	c.Metadata.Name = "prod"
	c.SetDefaults()
	return c, remote.Login{Environment: ssh.Environment{Home: t.TempDir(), User: "root"}, HostKeys: ssh.Strict}
}

// heard keeps events.
type heard struct {
	mu     sync.Mutex
	events []report.Event
}

func (h *heard) Emit(e report.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *heard) all() []report.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

func newOptions(t *testing.T) Options {
	t.Helper()
	c, login := lonely(t)
	return Options{Cluster: c, Login: login, StateDir: filepath.Join(t.TempDir(), "state"), Kubeconfig: filepath.Join(t.TempDir(), "prod.kubeconfig"), User: "me"}
}

// TestRefusedBeforeAnyHost: what would fail later does so at once.
func TestRefusedBeforeAnyHost(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	theirs := put("theirs", `{"apiVersion":"v1","kind":"Config","contexts":[{"name":"theirs","context":{"cluster":"c","user":"u"}}]}`)
	for name, tc := range map[string]struct {
		change  func(o *Options)
		checked bool // Check refuses it too.
		says    string
	}{
		"no directory":           {func(o *Options) { o.Kubeconfig = "/nowhere/k" }, true, "no such directory"},
		"another's kubeconfig":   {func(o *Options) { o.Kubeconfig = theirs }, true, "--kubeconfig-out"},
		"a digest of nothing":    {func(o *Options) { o.Trust = bundles.Trust{Digest: "sha256:00"} }, true, "specify it with --bundle"},
		"a CA that was not read": {func(o *Options) { o.Cluster.Spec.PKI.Etcd = v1alpha1.CA{CertFile: "ca.crt", KeyFile: "ca.key"} }, true, "spec.pki.etcd names a CA that was not read"},
		"a CA that is none": {func(o *Options) {
			ca, errCA := pki.NewCA("Example", 0)
			leaf, errLeaf := pki.Issue(ca, pki.Request{CommonName: "Example", Client: true})
			if err := errors.Join(errCA, errLeaf); err != nil {
				t.Fatal(err)
			}
			o.OwnCAs = bootstrap.OwnCAs{certs.AuthorityFrontProxy: leaf}
		}, true, "spec.pki.frontProxy: CN=Example is not a CA"},
		"no bundle":      {func(o *Options) { o.Bundle = filepath.Join(dir, "none.tar") }, false, "none.tar"},
		"no such bundle": {func(o *Options) { o.Bundle = put("cut.tar", "not a bundle") }, false, "not a bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOptions(t)
			tc.change(&o)
			if err := Check(o); (err != nil) != tc.checked || err != nil && action.KindOf(err) != action.Invalid {
				t.Errorf("checked: %v", err)
			}
			var told heard
			_, err := Run(t.Context(), o, &told)
			if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q: %v", action.KindOf(err), err)
			}
			if events := told.all(); len(events) > 0 {
				t.Errorf("something was begun: %v", events)
			}
		})
	}
}

// TestBundleForSomethingElse: a bundle without Kubernetes makes no cluster.
func TestBundleForSomethingElse(t *testing.T) {
	o := newOptions(t)
	o.Bundle = filepath.Join(t.TempDir(), "x.tar")
	bundletest.Create(t, o.Bundle, "example.com/team/a:v1")
	var told heard
	_, err := Run(t.Context(), o, &told)
	if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "Kubernetes") || len(told.all()) > 0 {
		t.Errorf("got %v, %v", err, told.all())
	}
}

// TestHostsThatAreAway: nothing is changed and nobody asked; it is a finding, of a kind of its own.
func TestHostsThatAreAway(t *testing.T) {
	o := newOptions(t)
	o.Warnings = []v1alpha1.FieldWarning{{Path: "spec.x", Message: "is odd"}}
	o.Confirm = func(context.Context, plan.Plan) error { return errors.New("asked") }
	var told heard
	r, err := Run(t.Context(), o, &told)
	var found *bootstrap.PreflightError
	if action.KindOf(err) != action.Unreachable || !errors.As(err, &found) || len(found.Findings) == 0 || r.Changed {
		t.Errorf("%q, %v, %+v", action.KindOf(err), err, r)
	}
	if !slices.ContainsFunc(told.all(), func(e report.Event) bool { return strings.Contains(e.Message, "is odd") }) {
		t.Error("the file's warning was not told")
	}
	if _, err := os.Stat(o.Kubeconfig); !os.IsNotExist(err) {
		t.Errorf("there is a kubeconfig: %v", err)
	}
	p, err := RunPreflight(t.Context(), PreflightOptions{Cluster: o.Cluster, Warnings: o.Warnings, Login: o.Login, StateDir: o.StateDir}, report.Discard())
	if err != nil || action.KindOf(p.Err()) != action.Unreachable || p.Findings[0].Check != "cluster-file" || p.Findings[0].Severity != report.SeverityWarning {
		t.Errorf("preflight: %v, %v, %+v", err, p.Err(), p.Findings)
	}
	if _, err := os.Stat(o.StateDir); err == nil {
		if entries, err := os.ReadDir(o.StateDir); err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != "bootstrap.lock" && e.Name() != ".lock" }) {
			t.Errorf("a CA was made: %v, %v", entries, err)
		}
	}
}

// TestPreflightEnds: who ends it gets no findings.
func TestPreflightEnds(t *testing.T) {
	c, login := lonely(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := RunPreflight(ctx, PreflightOptions{Cluster: c, Login: login, StateDir: t.TempDir()}, report.Discard()); err == nil || len(r.Findings) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestConfirm: nobody is asked about what is looked at on every run.
func TestConfirm(t *testing.T) {
	no := errors.New("no")
	ask := confirm(func(context.Context, plan.Plan) error { return no })
	always := []plan.Step{{ID: "vip/cp1", Task: tasks.VIP}, {ID: "join", Task: bootstrap.StepJoin}, {ID: "kubeconfig", Task: bootstrap.StepKubeconfig}}
	for name, tc := range map[string]struct {
		steps []plan.Step
		want  error
	}{
		"nothing":       {nil, nil},
		"as every time": {always, nil},
		"done before":   {append([]plan.Step{{ID: "prepare/cp1", Task: "prepare", Skip: "it is there"}}, always...), nil},
		"a host":        {append([]plan.Step{{ID: "prepare/cp1", Task: "prepare"}}, always...), no},
	} {
		if err := ask(t.Context(), plan.Plan{Steps: tc.steps}); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if confirm(nil) != nil {
		t.Error("it asks although nobody is there")
	}
}

// TestWithoutFindings: warnings about hosts come in the result alone, those of steps as they are.
func TestWithoutFindings(t *testing.T) {
	var told heard
	sink := withoutFindings(&told)
	for _, e := range []report.Event{{Kind: report.Warning, Message: "a finding"}, {Kind: report.Warning, Step: "s", Message: "slow"}, {Kind: report.Info, Message: "look"}} {
		sink.Emit(e)
	}
	if got := told.all(); len(got) != 2 || got[0].Message != "slow" || got[1].Message != "look" {
		t.Errorf("got %v", got)
	}
}
