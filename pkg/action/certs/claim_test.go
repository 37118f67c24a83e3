package certs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/test/claimtest"
)

// claimed notes who has the claim whenever something is to be changed on a host.
type claimed struct {
	transport.Runner
	api   *claimtest.API
	while []string
}

func (c *claimed) Run(ctx context.Context, host string, req node.Request, sink report.Sink) (node.Result, error) {
	if req.Task != tasks.Certificates {
		c.while = append(c.while, c.api.Holder())
	}
	return c.Runner.Run(ctx, host, req, sink)
}

func (c *claimed) all(t *testing.T, by string) {
	t.Helper()
	if len(c.while) == 0 {
		t.Error("nothing was done")
	}
	for _, holder := range c.while {
		if by == "" && holder != "" || !strings.Contains(holder, by) {
			t.Errorf("%q has the claim while hosts are changed", holder)
		}
	}
	if got := c.api.Holder(); by != "" && got != "" {
		t.Errorf("afterwards %q has the claim", got)
	}
}

// TestRenewOverSSHHolds: no Operation begins while members on hosts of their own are renewed over SSH, and
// none of these is touched while one is in progress.
func TestRenewOverSSHHolds(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	api := claimtest.Serve(t)
	hs := &claimed{Runner: newHosts(t, c, etcdCA, time.Millisecond), api: api}
	o := Options{Cluster: c, Hosts: hs, Config: api.Config(), StateDir: kept(t, etcdCA)}
	signer, err := o.signers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := Result{Renewed: map[string]certs.Data{}, Plan: Plan{Hosts: []v1alpha1.NodeCertificates{{Name: "e1", Signed: []string{certs.EtcdServer}}}}}
	// Nobody plays the member that would show the certificate: how it ends is of no interest.
	_ = o.overSSH(t.Context(), signer, &r, report.Discard())
	hs.all(t, "kubectl ha certs renew on ")
	hs.while = nil
	api.Add(v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-a"}, Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade}})
	var busy *operations.BusyError
	if err := o.overSSH(t.Context(), signer, &r, report.Discard()); !errors.As(err, &busy) || len(hs.while) > 0 {
		t.Errorf("while an upgrade is in progress: %v, %v", err, hs.while)
	}
}

// TestRescueHoldsOnceItCan: an API that is away at first is told as soon as it is back.
func TestRescueHoldsOnceItCan(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	api := claimtest.Serve(t)
	api.Away(true)
	inner := newHosts(t, c, etcdCA, time.Millisecond)
	inner.onReady = func() { api.Away(false) }
	hs := &claimed{Runner: inner, api: api}
	if _, err := inner.rescue(t, Options{Cluster: c, Hosts: hs, Config: api.Config(), StateDir: kept(t, etcdCA), Only: []string{"cp1", "w1"}}); err != nil {
		t.Fatal(err)
	}
	if first, last := hs.while[0], hs.while[len(hs.while)-1]; first != "" || !strings.Contains(last, "kubectl ha certs rescue on ") || api.Holder() != "" {
		t.Errorf("%q has the claim at first, %q after the API is back, %q at the end", first, last, api.Holder())
	}
}

// TestRescueHolds: no Operation begins during a rescue. One that is in progress, and an API that is away,
// do not stop it; another command does.
func TestRescueHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		before func(*claimtest.API)
		by     string
		ends   bool
	}{
		"nobody is at work":          {func(*claimtest.API) {}, "kubectl ha certs rescue on ", false},
		"an Operation waits":         {func(a *claimtest.API) { a.Add(v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: "upgrade-a"}}) }, "upgrade-a", false},
		"the API is away":            {func(a *claimtest.API) { a.Away(true) }, "", false},
		"another command is at work": {func(a *claimtest.API) { a.Command("kubectl ha certs rotate-ca etcd on b") }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, etcdCA := newCluster(), newCA(t)
			api := claimtest.Serve(t)
			tc.before(api)
			inner := newHosts(t, c, etcdCA, time.Millisecond)
			hs := &claimed{Runner: inner, api: api}
			_, err := inner.rescue(t, Options{Cluster: c, Hosts: hs, Config: api.Config(), StateDir: kept(t, etcdCA), Only: []string{"w1"}})
			var busy *operations.BusyError
			switch {
			case tc.ends:
				if !errors.As(err, &busy) || len(hs.while) > 0 {
					t.Errorf("%v, %v", err, hs.while)
				}
			case name == "an Operation waits":
				if len(hs.while) == 0 || api.Holder() != tc.by {
					t.Errorf("%v: %v, and %q has the claim", err, hs.while, api.Holder())
				}
			default:
				hs.all(t, tc.by)
			}
		})
	}
}

// TestRescueWithoutStateDir: a state directory that can't be written does not keep a rescue from helping.
// Another command that is at work does all the same.
func TestRescueWithoutStateDir(t *testing.T) {
	for _, file := range []string{"bootstrap.lock", "holder-id"} {
		for _, other := range []bool{false, true} {
			c, etcdCA := newCluster(), newCA(t)
			api := claimtest.Serve(t)
			if other {
				api.Command("kubectl ha certs rotate-ca etcd on b")
			}
			inner := newHosts(t, c, etcdCA, time.Millisecond)
			hs := &claimed{Runner: inner, api: api}
			dir := kept(t, etcdCA)
			if err := os.Mkdir(filepath.Join(dir, file), 0o700); err != nil { // So that it is no file, to nobody.
				t.Fatal(err)
			}
			_, err := inner.rescue(t, Options{Cluster: c, Hosts: hs, Config: api.Config(), StateDir: dir, Only: []string{"w1"}})
			var busy *operations.BusyError
			switch {
			case other && (!errors.As(err, &busy) || len(hs.while) > 0):
				t.Errorf("%s, while another command is at work: %v, %v", file, err, hs.while)
			case !other:
				if err != nil {
					t.Errorf("%s: %v", file, err)
				}
				hs.all(t, "kubectl ha certs rescue on ")
			}
		}
	}
}

// TestRescueLocked: another command on this machine is waited for by nobody.
func TestRescueLocked(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	inner := newHosts(t, c, etcdCA, time.Millisecond)
	dir := kept(t, etcdCA)
	unlock, err := bootstrap.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	hs := &claimed{Runner: inner, api: claimtest.Serve(t)}
	if _, err := inner.rescue(t, Options{Cluster: c, Hosts: hs, StateDir: dir, Only: []string{"w1"}}); !errors.Is(err, bootstrap.ErrLocked) || len(hs.while) > 0 {
		t.Errorf("%v, %v", err, hs.while)
	}
}
