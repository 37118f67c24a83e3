package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	dataDir  = "/data/etcd"
	etcdLine = "kubeadm join phase etcd-join --config /dev/stdin"
)

func member(name string) *etcdmember.Stacked {
	return &etcdmember.Stacked{Name: name, Address: "10.0.0.1", DataDir: dataDir, Members: map[string]string{"cp1": "10.0.0.2"}}
}

func (w *world) stackedInit() InitSpec {
	s := w.initSpec()
	s.EtcdCA, s.EtcdCert, s.EtcdKey, s.Stacked = nil, nil, nil, member("cp1")
	return s
}

// makeEtcd leaves what kubeadm leaves of its own etcd, up to the number of steps: the CA, what it signs, the
// manifest, the data.
func (w *world) makeEtcd(steps int) {
	ca, key := w.client("etcd-ca", time.Time{})
	if steps > 0 {
		w.put(pkiDir+"/etcd/ca.key", key)
		w.put(etcdCA, ca)
	}
	if steps > 1 {
		for _, l := range leaves(true)[len(leaves(false)):] {
			cert, key := w.client(l.name, time.Time{})
			w.put(l.first(), key)
			w.put(l.second(), cert)
		}
	}
	if steps > 2 {
		w.put(etcdManifest, "kind: Pod\n")
	}
	if steps > 3 {
		w.put(dataDir+"/member/wal/0", "x")
	}
}

// TestStackedInit: no login is written, the user's own CA is where kubeadm looks for it, and the data directory is
// ours in the ledger before etcd writes into it.
func TestStackedInit(t *testing.T) {
	ca, err := pki.NewCA("own etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, own := range map[string]bool{"kubeadm's CA": false, "a CA of the user's own": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put(dataDir+"/lost+found/x", "") // A file system of its own.
			spec := w.stackedInit()
			if own {
				spec.EtcdCA, spec.EtcdCAKey = ca.CertPEM, ca.KeyPEM
			}
			w.OnFunc(initLine+" --ignore-preflight-errors=DirAvailable--data-etcd", func(host.Command) (host.Output, error) {
				if w.there(etcdCA) != own || own && w.read(etcdCA) != string(ca.CertPEM) || own && w.read(pkiDir+"/etcd/ca.key") != string(ca.KeyPEM) {
					t.Error("etcd's CA is not what the user has given")
				}
				if w.there(etcdClientCert) {
					t.Error("there is a login to an etcd that is not there yet")
				}
				info, err := os.Stat(filepath.Join(w.root, dataDir))
				if err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("the data directory: %v, %v", info, err)
				}
				w.makeControlPlane(4, w.server.URL)
				w.makeEtcd(4)
				w.joinKubelet(w.server.URL, time.Time{})
				return host.Output{}, nil
			})
			env := w.env()
			if _, err := Init(t.Context(), env, spec); err != nil {
				t.Fatal(err)
			}
			ledger, err := w.env().Host.Ledger()
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{etcdManifest, pkiDir + "/etcd/server.key", dataDir + "/member"} {
				if !ledger.Owns(path) {
					t.Errorf("the ledger does not have %s", path)
				}
			}
			w.secretsStayIn()
		})
	}
}

// TestStackedInitResumes: exactly the checks are ignored that fail for what is there, and etcd's data stays.
func TestStackedInitResumes(t *testing.T) {
	const manifest = "FileAvailable--etc-kubernetes-manifests-etcd.yaml,Port-2379,Port-2380"
	for steps, flag := range []string{"", "", "", " --ignore-preflight-errors=" + manifest, " --ignore-preflight-errors=DirAvailable--data-etcd," + manifest} {
		w := newWorld(t)
		w.OnFunc(initLine, func(c host.Command) (host.Output, error) {
			w.makeControlPlane(2, w.server.URL)
			w.makeEtcd(steps)
			return host.Output{}, &host.CommandError{Argv: c.Argv, Err: errors.New("killed")}
		})
		if _, err := Init(t.Context(), w.env(), w.stackedInit()); err == nil {
			t.Fatal("an interrupted init ended well")
		}
		w.OnFunc(initLine+flag, func(host.Command) (host.Output, error) {
			if steps > 3 && w.read(dataDir+"/member/wal/0") != "x" {
				t.Error("etcd's data was touched")
			}
			w.makeControlPlane(4, w.server.URL)
			w.makeEtcd(4)
			w.joinKubelet(w.server.URL, time.Time{})
			return host.Output{}, nil
		})
		if _, err := Init(t.Context(), w.env(), w.stackedInit()); err != nil {
			t.Errorf("resumed after %d steps: %v", steps, err)
		}
	}
}

func TestStackedRefuses(t *testing.T) {
	bad := map[string]func(*world, *etcdmember.Stacked){
		"is to be etcd's alone":        func(w *world, _ *etcdmember.Stacked) { w.put(dataDir+"/member/x", "theirs") },
		"is not a clean absolute path": func(_ *world, m *etcdmember.Stacked) { m.DataDir = "/" },
		"needs a name and an IP":       func(_ *world, m *etcdmember.Stacked) { m.Address = "cp1" },
	}
	for want, spoil := range bad {
		t.Run(want, func(t *testing.T) {
			for name, run := range map[string]func(*world) error{
				"init": func(w *world) error {
					s := w.stackedInit()
					spoil(w, s.Stacked)
					_, err := Init(t.Context(), w.env(), s)
					return err
				},
				"promote": func(w *world) error {
					w.joined()
					s := w.promoteSpec()
					s.Stacked = member("cp2")
					spoil(w, s.Stacked)
					_, err := Promote(t.Context(), w.env(), s)
					return err
				},
			} {
				w := newWorld(t)
				if err := run(w); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(w.ran(), "kubeadm") {
					t.Errorf("%s: %v, ran %q", name, err, w.ran())
				}
			}
		})
	}
}

// TestStackedPromote: etcd is asked before kubeadm adds the host, which it does before the apiserver is waited
// for; and a promotion that was interrupted there goes on.
func TestStackedPromote(t *testing.T) {
	w := newWorld(t)
	w.joined()
	spec := w.promoteSpec()
	spec.Stacked = member("cp2")
	var order []string
	ask := func(m etcdmember.Stacked, _ context.Context, _ node.Env) error {
		if m.Name != "cp2" || m.Members["cp1"] == "" {
			t.Errorf("asked for %+v", m)
		}
		order = append(order, "ask")
		return nil
	}
	w.OnFunc(prepareLine, func(host.Command) (host.Output, error) {
		order = append(order, "prepare")
		w.makeControlPlane(4, w.shared())
		w.makeEtcd(2)
		return host.Output{}, nil
	})
	w.OnFunc(etcdLine, func(c host.Command) (host.Output, error) {
		order = append(order, "etcd")
		w.makeEtcd(4)
		return host.Output{}, &host.CommandError{Argv: c.Argv, Err: errors.New("killed")}
	})
	no := errors.New("etcd has a learner")
	refuse := func(etcdmember.Stacked, context.Context, node.Env) error { return no }
	if _, err := promoteWith(t.Context(), w.env(), spec, refuse); !errors.Is(err, no) || strings.Contains(w.ran(), "etcd-join") {
		t.Fatalf("refused: %v, ran %q", err, w.ran())
	}
	if _, err := promoteWith(t.Context(), w.env(), spec, ask); err == nil {
		t.Fatal("an interrupted promotion ended well")
	}
	w.OnFunc(etcdLine, func(host.Command) (host.Output, error) { order = append(order, "etcd"); return host.Output{}, nil })
	w.On(markLine, "")
	if _, err := promoteWith(t.Context(), w.env(), spec, ask); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, " "), "prepare prepare ask etcd prepare ask etcd"; got != want {
		t.Errorf("in the order %s, want %s", got, want)
	}
	if ran := w.ran(); !strings.HasSuffix(ran, markLine) || !strings.HasPrefix(ran, prepareLine+"|"+etcdLine) {
		t.Errorf("ran %q", ran)
	}
	if !strings.Contains(w.read(dataDir+"/member/wal/0"), "x") {
		t.Error("etcd's data is gone")
	}
}

// TestStackedUpload: with stacked etcd the CA's key is what others need, and the login is each host's own.
func TestStackedUpload(t *testing.T) {
	w := newWorld(t)
	w.makeControlPlane(1, w.shared())
	w.put(etcdCA, "x")
	if err := uploadable(w.env().Host, true); err == nil || !strings.Contains(err.Error(), "etcd/ca.key") {
		t.Errorf("without the CA's key: %v", err)
	}
	w.put(pkiDir+"/etcd/ca.key", "x")
	if err := uploadable(w.env().Host, true); err != nil {
		t.Error(err)
	}
}
