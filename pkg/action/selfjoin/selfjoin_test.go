package selfjoin

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
)

const document = `apiVersion: kubectl-ha.dev/v1alpha1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetesVersion: v1.36.3
  virtualIP: 192.0.2.9
  hosts:
  - {name: cp1, address: 192.0.2.1, roles: [control-plane]}
  - {name: w1, address: 192.0.2.2, roles: [worker]}
`

// TestRefused: a request or a bundle that is not right ends it before anything of the host is
// looked at: there are no tasks.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	sound, cut := filepath.Join(dir, "sound.tar"), filepath.Join(dir, "cut.tar")
	bundletest.Create(t, sound, "example.com/team/a:v1")
	whole, err := os.ReadFile(sound)
	if err != nil {
		t.Fatal(err)
	}
	// As long as before, and another content: only reading it through tells.
	at := strings.Index(string(whole), "somebody")
	if at < 0 {
		t.Fatal("the image's maintainer is not in the bundle")
	}
	whole[at] ^= 1
	if err := os.WriteFile(cut, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no document":    {Request: nodes.JoinRequest{Host: "w1", Cluster: "kind: [Cluster"}, Bundle: sound},
		"no bundle":      {Request: nodes.JoinRequest{Host: "w1", Cluster: document}, Bundle: filepath.Join(dir, "none.tar")},
		"another bundle": {Request: nodes.JoinRequest{Host: "w1", Cluster: document}, Bundle: sound, Trust: bundles.Trust{Digest: "sha256:" + strings.Repeat("0", 64)}},
		"a damaged one":  {Request: nodes.JoinRequest{Host: "w1", Cluster: document}, Bundle: cut},
		"no such digest": {Request: nodes.JoinRequest{Host: "w1", Cluster: document}, Bundle: sound, Trust: bundles.Trust{Digest: "x"}},
	} {
		if r, err := Run(t.Context(), o, report.Discard()); action.KindOf(err) != action.Invalid || len(r.Plan.Steps) > 0 {
			t.Errorf("%s: %q, %v", name, action.KindOf(err), err)
		}
	}
}

func TestMember(t *testing.T) {
	h := v1alpha1.Host{Name: "cp2"}
	if _, err := (Options{}).member(h); err == nil || !strings.Contains(err.Error(), "cp2") {
		t.Errorf("got %v", err)
	}
	o := Options{Request: nodes.JoinRequest{Member: &bootstrap.MemberFiles{Token: "t"}}}
	if got, err := o.member(h); err != nil || got.Token != "t" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestLocalHost: a request for another host is not carried out on this one, and the agent's
// process gets what is written to it.
func TestLocalHost(t *testing.T) {
	l, err := newLocalHost("w1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Run(t.Context(), "w2", node.Request{}, report.Discard()); err == nil || !strings.Contains(err.Error(), "this is w1, not w2") {
		t.Errorf("got %v", err)
	}
	var told []report.Event
	r, err := l.Run(t.Context(), "w1", node.Request{Task: "nobody-knows-this", Step: "s"}, report.SinkFunc(func(e report.Event) { told = append(told, e) }))
	if err != nil || r.Failure == nil {
		t.Errorf("a task that is not there: %+v, %v", r, err)
	}
	for _, e := range told {
		if e.Host != "w1" {
			t.Errorf("whose is %+v", e)
		}
	}
	l.program = "/bin/cat"
	in, out, wait, err := l.Pipe(t.Context(), "w1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(in).Encode("hello"); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(out)
	if err != nil || string(got) != "\"hello\"\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
	l.program = "/nowhere/at/all"
	if _, _, _, err := l.Pipe(t.Context(), "w1", nil); err == nil {
		t.Error("a program that is not there was begun")
	}
}
