package controlplane

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	initLine    = "kubeadm init --config /dev/stdin --skip-certificate-key-print --skip-token-print --upload-certs"
	joinLine    = "kubeadm join --config /dev/stdin"
	prepareLine = "kubeadm join phase control-plane-prepare all --config /dev/stdin"
	markLine    = "kubeadm join phase control-plane-join all --config /dev/stdin"
)

func (w *world) initSpec() InitSpec {
	return InitSpec{Config: []byte("bootstrapTokens:\n- token: " + testToken + "\ncertificateKey: \"" + testKey + "\"\n"),
		Patches: map[string]string{"kube-apiserver0+merge.yaml": "{}"}, EtcdCA: []byte("ca"), EtcdCert: []byte("cert"), EtcdKey: []byte("key"),
		LocalEndpoint: w.server.URL, VirtualEndpoint: w.server.URL}
}

// shared is the stand-in's URL as that of all control planes together: another
// than its own, for a test to tell them apart.
func (w *world) shared() string { return w.server.URL + "/shared" }

// joinConfig is a JoinConfiguration with the shared endpoint.
func (w *world) joinConfig() []byte {
	return []byte("discovery:\n  bootstrapToken:\n    token: " + testToken + "\n    apiServerEndpoint: " + strings.TrimPrefix(w.shared(), "https://") + "\n")
}

// onInit makes kubeadm init leave everything, and end well.
func (w *world) onInit(line string) {
	w.OnFunc(line, func(c host.Command) (host.Output, error) {
		if !strings.Contains(string(c.Stdin), testToken) {
			w.t.Error("kubeadm got no configuration")
		}
		if !w.there(etcdClientKey) || !w.there(PatchesDir+"/kube-apiserver0+merge.yaml") {
			w.t.Error("kubeadm began before its files were there")
		}
		w.makeControlPlane(4, w.server.URL)
		w.joinKubelet(w.server.URL, time.Time{})
		return host.Output{}, nil
	})
}

func TestInitTwice(t *testing.T) {
	w := newWorld(t)
	w.onInit(initLine)
	data, err := Init(t.Context(), w.env(), w.initSpec())
	if err != nil {
		t.Fatal(err)
	}
	if hash := data.(InitData).CACertHash; len(hash) != len("sha256:")+64 {
		t.Errorf("the CA's hash is %q", hash)
	}
	w.secretsStayIn()
	env := w.env()
	again, err := Init(t.Context(), env, w.initSpec())
	if err != nil || again != data || len(env.Host.Changes()) != 0 || w.ran() != "" {
		t.Errorf("a second run: %v, %v, ran %q, changed %v", again, err, w.ran(), env.Host.Changes())
	}
}

// kubeadm is interrupted after each of its steps; the next run ignores exactly
// the checks that fail for what is there, and the CA stays.
func TestInitResumes(t *testing.T) {
	manifests := "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml,FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml,FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml"
	for steps, flag := range []string{"", "", "", "", " --ignore-preflight-errors=" + manifests + ",Port-10250,Port-10257,Port-10259,Port-PORT"} {
		w := newWorld(t)
		w.OnFunc(initLine, func(c host.Command) (host.Output, error) {
			w.makeControlPlane(steps, w.server.URL)
			out := host.Output{Stdout: []byte("[certs] x\nerror: interrupted with " + testToken), ExitCode: 1}
			return out, &host.CommandError{Argv: c.Argv, Output: out, Err: errors.New("exit status 1")}
		})
		_, err := Init(t.Context(), w.env(), w.initSpec())
		var f *node.Failure
		if !errors.As(err, &f) || !strings.Contains(f.Message, "interrupted") || f.Hint == "" || strings.Contains(f.Message+f.Output, "s3cr3t") {
			t.Fatalf("after %d steps: %#v", steps, err)
		}
		before := ""
		if steps > 0 {
			before = w.read(caCert)
		}
		_, port, _ := strings.Cut(strings.TrimPrefix(w.server.URL, "https://"), ":")
		w.onInit(initLine + strings.Replace(flag, "PORT", port, 1))
		if _, err := Init(t.Context(), w.env(), w.initSpec()); err != nil {
			t.Errorf("resumed after %d steps: %v", steps, err)
		}
		if steps > 0 && w.read(caCert) != before {
			t.Errorf("the CA changed after %d steps", steps)
		}
		w.secretsStayIn()
	}
}

func TestInitRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*world)
		want  string
	}{
		{"another cluster's CA", func(w *world) { w.put(caCert, "theirs") }, "leftovers of another cluster"},
		{"another cluster's node", func(w *world) { w.put(kubeletConf, "theirs") }, "leftovers of another cluster"},
		{"another cluster's apiserver", func(w *world) { w.put(apiserverManifest, "theirs") }, "leftovers of another cluster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.spoil(w)
			env := w.env()
			_, err := Init(t.Context(), env, w.initSpec())
			if err == nil || !strings.Contains(err.Error(), tt.want) || host.Hint(err) == "" || len(env.Host.Changes()) != 0 {
				t.Errorf("error %v, changes %v", err, env.Host.Changes())
			}
		})
	}
}

// TestInitWithOwnCAs: the user's own CAs are there before kubeadm, with their keys for root alone; what
// is there already is not replaced.
func TestInitWithOwnCAs(t *testing.T) {
	spec := func(t *testing.T, w *world) (InitSpec, pki.KeyPair, pki.KeyPair) {
		t.Helper()
		ca, errCA := pki.NewCA("own", 0)
		proxy, errProxy := pki.NewCA("own front-proxy", 0)
		if err := errors.Join(errCA, errProxy); err != nil {
			t.Fatal(err)
		}
		s := w.initSpec()
		s.CA, s.CAKey, s.FrontProxyCA, s.FrontProxyCAKey = ca.CertPEM, ca.KeyPEM, proxy.CertPEM, proxy.KeyPEM
		return s, ca, proxy
	}
	t.Run("bare", func(t *testing.T) {
		w := newWorld(t)
		s, ca, proxy := spec(t, w)
		broken := errors.New("broken by the test")
		w.OnFunc(initLine, func(host.Command) (host.Output, error) {
			for path, want := range map[string][]byte{caCert: ca.CertPEM, pkiDir + "/ca.key": ca.KeyPEM, pkiDir + "/front-proxy-ca.crt": proxy.CertPEM, pkiDir + "/front-proxy-ca.key": proxy.KeyPEM} {
				if w.read(path) != string(want) {
					t.Errorf("%s is not the user's own", path)
				}
				info, err := os.Stat(filepath.Join(w.root, path))
				if err != nil || strings.HasSuffix(path, ".key") != (info.Mode().Perm() == 0o600) {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
			return host.Output{}, broken
		})
		if _, err := Init(t.Context(), w.env(), s); err == nil || !strings.Contains(err.Error(), broken.Error()) {
			t.Fatal(err)
		}
		w.secretsStayIn()
		// Interrupted between its two files.
		hosttestRemove(t, w, caCert)
		if _, err := Init(t.Context(), w.env(), s); err == nil || !strings.Contains(err.Error(), broken.Error()) {
			t.Fatalf("a second run: %v", err)
		}
		other, _, _ := spec(t, w)
		_, err := Init(t.Context(), w.env(), other)
		if err == nil || !strings.Contains(err.Error(), "is another CA than the one in spec.pki") || !strings.Contains(host.Hint(err), "rotate-ca") || w.read(caCert) != string(ca.CertPEM) {
			t.Errorf("another CA: %v", err)
		}
	})
	t.Run("not a pair", func(t *testing.T) {
		w := newWorld(t)
		s, _, proxy := spec(t, w)
		s.CAKey = proxy.KeyPEM
		if _, err := Init(t.Context(), w.env(), s); err == nil || !strings.Contains(err.Error(), "do not belong together") || w.there(caCert) {
			t.Errorf("got %v", err)
		}
	})
}

func TestInitAfterItsManifestIsGone(t *testing.T) {
	w := newWorld(t)
	w.onInit(initLine)
	if _, err := Init(t.Context(), w.env(), w.initSpec()); err != nil {
		t.Fatal(err)
	}
	env := w.env()
	hosttestRemove(t, w, apiserverManifest)
	_, err := Init(t.Context(), env, w.initSpec())
	if err == nil || !strings.Contains(err.Error(), "is gone") || len(env.Host.Changes()) != 0 {
		t.Errorf("error %v, changes %v", err, env.Host.Changes())
	}
}

func TestInitUploadsNothingWithoutAKey(t *testing.T) {
	w := newWorld(t)
	w.onInit(strings.TrimSuffix(initLine, " --upload-certs"))
	spec := w.initSpec()
	spec.Config = []byte("bootstrapTokens:\n- token: " + testToken + "\n")
	if _, err := Init(t.Context(), w.env(), spec); err != nil {
		t.Fatal(err)
	}
}

func TestInitDryRun(t *testing.T) {
	w := newWorld(t)
	env := w.env(hosttest.DryRun)
	if _, err := Init(t.Context(), env, w.initSpec()); err != nil {
		t.Fatal(err)
	}
	if w.ran() != "" || w.there(kubernetesDir) || len(env.Host.Changes()) == 0 {
		t.Errorf("ran %q, would change %v", w.ran(), env.Host.Changes())
	}
}

func TestJoinNodeTwice(t *testing.T) {
	w := newWorld(t)
	w.OnUnit(RetireTimer, "LoadState=loaded", "ActiveState=active", "UnitFileState=transient").On("systemctl stop "+RetireTimer, "")
	w.OnFunc(joinLine, func(host.Command) (host.Output, error) {
		w.put(caCert, certPEM(w.ca))
		w.put(bootstrapConf, "token")
		w.joinKubelet(w.server.URL, time.Time{})
		w.kubelet("active")
		return host.Output{}, nil
	})
	spec := JoinNodeSpec{Config: w.joinConfig()}
	if _, err := JoinNode(t.Context(), w.env(), spec); err != nil {
		t.Fatal(err)
	}
	if w.there(bootstrapConf) {
		t.Error("the token is still on the disk")
	}
	// That of a host which was taken out of the cluster a moment ago.
	if ran := w.ran(); !strings.HasPrefix(ran, "systemctl stop "+RetireTimer+"|") {
		t.Errorf("the timer that ends the kubelet goes first: ran %q", ran)
	}
	w.OnUnit(RetireTimer, "LoadState=not-found", "ActiveState=inactive")
	w.secretsStayIn()
	w.Reset()
	env := w.env()
	if _, err := JoinNode(t.Context(), env, spec); err != nil || len(env.Host.Changes()) != 0 || w.ran() != "" {
		t.Errorf("a second run: %v, ran %q, changed %v", err, w.ran(), env.Host.Changes())
	}
}

func TestJoinNodeResumes(t *testing.T) {
	tests := []struct {
		name string
		left func(*world)
		want string // the commands of the second run
	}{
		{"before anything was written", func(*world) {}, joinLine + "|systemctl start kubelet.service"},
		{"with a kubelet that waits", func(w *world) {
			w.put(caCert, certPEM(w.ca))
			w.put(bootstrapConf, "an old token")
			w.kubelet("active")
		}, "systemctl stop kubelet.service|" + joinLine + " --ignore-preflight-errors=FileAvailable--etc-kubernetes-bootstrap-kubelet.conf,FileAvailable--etc-kubernetes-pki-ca.crt|systemctl start kubelet.service"},
		{"with a CA written by half", func(w *world) { w.put(caCert, "") }, joinLine + "|systemctl start kubelet.service"},
		{"with a kubeconfig but no certificate yet", func(w *world) {
			w.joinKubelet(w.server.URL, time.Time{})
			w.put(rotated, "")
		}, joinLine + " --ignore-preflight-errors=FileAvailable--etc-kubernetes-kubelet.conf|systemctl start kubelet.service"},
		{"after the kubelet joined", func(w *world) {
			w.put(caCert, certPEM(w.ca))
			w.put(bootstrapConf, "token")
			w.joinKubelet(w.server.URL, time.Time{})
			w.kubelet("active")
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.OnFunc(joinLine, func(c host.Command) (host.Output, error) {
				tt.left(w)
				return host.Output{}, &host.CommandError{Argv: c.Argv, Err: errors.New("killed")}
			})
			if _, err := JoinNode(t.Context(), w.env(), JoinNodeSpec{Config: w.joinConfig()}); err == nil {
				t.Fatal("an interrupted join ended well")
			}
			for line := range strings.SplitSeq(tt.want, "|") {
				if strings.HasPrefix(line, joinLine) {
					w.OnFunc(line, func(host.Command) (host.Output, error) {
						w.joinKubelet(w.server.URL, time.Time{})
						return host.Output{}, nil
					})
				}
			}
			env := w.env()
			if _, err := JoinNode(t.Context(), env, JoinNodeSpec{Config: w.joinConfig()}); err != nil || w.ran() != tt.want {
				t.Errorf("resumed: %v, ran %q, want %q", err, w.ran(), tt.want)
			}
			if w.there(bootstrapConf) {
				t.Error("the token is still on the disk")
			}
		})
	}
}

func TestJoinNodeTellsWhyTheKubeletDied(t *testing.T) {
	w := newWorld(t)
	w.node.Store(http.StatusNotFound)
	w.On("journalctl --unit kubelet.service --lines 40 --no-pager --output cat", "too many open files\n")
	w.OnFunc(joinLine, func(host.Command) (host.Output, error) {
		w.joinKubelet(w.server.URL, time.Time{})
		w.kubelet("active")
		return host.Output{}, nil
	})
	w.asked = func() { w.kubelet("failed") }
	_, err := JoinNode(t.Context(), w.env(), JoinNodeSpec{Config: w.joinConfig()})
	var f *node.Failure
	if !errors.As(err, &f) || !strings.Contains(f.Output, "too many open files") || f.Hint == "" {
		t.Errorf("error %#v", err)
	}
}

func TestJoinNodeRefuses(t *testing.T) {
	w := newWorld(t)
	w.put(caCert, "theirs")
	env := w.env()
	if _, err := JoinNode(t.Context(), env, JoinNodeSpec{}); err == nil || len(env.Host.Changes()) != 0 || host.Hint(err) == "" {
		t.Errorf("leftovers: %v, changed %v", err, env.Host.Changes())
	}

	w = newWorld(t)
	w.On(joinLine, "")
	env = w.env()
	if err := workJoin.finish(t.Context(), env.Host); err != nil {
		t.Fatal(err)
	}
	w.joinKubelet(w.server.URL, time.Now().Add(-time.Hour))
	if _, err := JoinNode(t.Context(), env, JoinNodeSpec{}); err == nil || !strings.Contains(err.Error(), "expired") || host.Hint(err) == "" {
		t.Errorf("an expired certificate: %v", err)
	}
}

// joined makes a host that has joined, with a CA from the cluster.
func (w *world) joined() {
	w.put(caCert, certPEM(w.ca))
	w.joinKubelet(w.shared(), time.Time{})
	w.kubelet("active")
}

func (w *world) promoteSpec() PromoteSpec {
	return PromoteSpec{Config: w.joinConfig(), LocalEndpoint: w.server.URL}
}

func TestPromoteTwice(t *testing.T) {
	w := newWorld(t)
	w.joined()
	w.OnFunc(prepareLine, func(host.Command) (host.Output, error) {
		w.makeControlPlane(4, w.shared())
		return host.Output{}, nil
	})
	w.OnFunc(markLine, func(host.Command) (host.Output, error) {
		if !strings.Contains(w.read(kubeletConf), "server: "+w.server.URL+"\n") {
			t.Error("the kubelet does not use its own apiserver yet")
		}
		return host.Output{}, nil
	})
	if _, err := Promote(t.Context(), w.env(), w.promoteSpec()); err != nil {
		t.Fatal(err)
	}
	if want := prepareLine + "|systemctl restart kubelet.service|" + markLine; w.ran() != want {
		t.Errorf("ran %q, want %q", w.ran(), want)
	}
	w.secretsStayIn()
	env := w.env()
	if _, err := Promote(t.Context(), env, w.promoteSpec()); err != nil || len(env.Host.Changes()) != 0 || w.ran() != "" {
		t.Errorf("a second run: %v, ran %q, changed %v", err, w.ran(), env.Host.Changes())
	}
}

func TestPromoteResumes(t *testing.T) {
	for steps := range 5 {
		w := newWorld(t)
		w.joined()
		w.OnFunc(prepareLine, func(c host.Command) (host.Output, error) {
			w.makeControlPlane(steps, w.shared())
			if steps == 2 {
				// Killed in the middle of a pair.
				hosttestRemove(t, w, leaves(false)[2].second())
			}
			return host.Output{}, &host.CommandError{Argv: c.Argv, Err: errors.New("killed")}
		})
		if _, err := Promote(t.Context(), w.env(), w.promoteSpec()); err == nil {
			t.Fatal("an interrupted promotion ended well")
		}
		w.OnFunc(prepareLine, func(host.Command) (host.Output, error) {
			if w.there(leaves(false)[2].first()) != w.there(leaves(false)[2].second()) {
				t.Error("half a pair is still there")
			}
			w.makeControlPlane(4, w.shared())
			return host.Output{}, nil
		})
		w.Fail(markLine, 1, "interrupted again")
		if _, err := Promote(t.Context(), w.env(), w.promoteSpec()); err == nil {
			t.Fatal("an interrupted promotion ended well")
		}
		w.On(markLine, "")
		if _, err := Promote(t.Context(), w.env(), w.promoteSpec()); err != nil || w.ran() != prepareLine+"|"+markLine {
			t.Errorf("resumed after %d steps: %v, ran %q", steps, err, w.ran())
		}
	}
}

func TestPromoteRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*world)
		want  string
	}{
		{"not joined", func(w *world) { hosttestRemove(w.t, w, kubeletConf) }, "has not joined"},
		{"an expired kubelet", func(w *world) { w.joinKubelet(w.server.URL, time.Now().Add(-time.Minute)) }, "expired"},
		{"another's control plane", func(w *world) { w.put(apiserverManifest, "theirs") }, "leftovers"},
		{"the first control plane", func(w *world) {
			if err := workInit.begin(w.t.Context(), w.env().Host); err != nil {
				w.t.Fatal(err)
			}
		}, "first control plane"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.joined()
			tt.spoil(w)
			env := w.env()
			_, err := Promote(t.Context(), env, w.promoteSpec())
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(env.Host.Changes()) != 0 {
				t.Errorf("error %v, changes %v", err, env.Host.Changes())
			}
		})
	}
}

func TestPromoteFindsForeignEndpoint(t *testing.T) {
	w := newWorld(t)
	w.joined()
	w.OnFunc(prepareLine, func(host.Command) (host.Output, error) {
		w.makeControlPlane(4, w.shared())
		w.adminConfig(kubernetesDir+"/scheduler.conf", "https://10.0.0.1:6443")
		return host.Output{}, nil
	})
	_, err := Promote(t.Context(), w.env(), w.promoteSpec())
	if err == nil || !strings.Contains(err.Error(), "scheduler.conf points at https://10.0.0.1:6443") || host.Hint(err) == "" {
		t.Errorf("error %v", err)
	}
}

func TestUploadCertsAndAdminKubeconfig(t *testing.T) {
	w := newWorld(t)
	line := "kubeadm init phase upload-certs --upload-certs --skip-certificate-key-print --config /dev/stdin"
	w.makeControlPlane(1, w.shared())
	for _, path := range []string{etcdCA, etcdClientCert} {
		w.put(path, "x")
	}
	// kubeadm would end well without the key, and the joining host would get none.
	for _, missing := range []string{"no such file", "it is empty"} {
		_, err := UploadCerts(t.Context(), w.env(), UploadCertsSpec{})
		if err == nil || !strings.Contains(err.Error(), etcdClientKey+": ") || !strings.Contains(err.Error(), missing) || host.Hint(err) == "" {
			t.Errorf("without etcd's key: %v", err)
		}
		w.put(etcdClientKey, "")
	}
	w.put(etcdClientKey, "x")
	// Nobody is given a login that is about to end.
	ca, err := pki.NewCA("etcd", 0)
	if err != nil {
		t.Fatal(err)
	}
	for life, refused := range map[time.Duration]bool{time.Millisecond: true, time.Hour: false} {
		login, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver-etcd-client", Client: true, Validity: life})
		if err != nil {
			t.Fatal(err)
		}
		w.put(etcdClientCert, string(login.CertPEM))
		err = uploadable(w.env().Host, false)
		if refused != (err != nil) || refused && (!strings.Contains(err.Error(), "less than half") || !strings.Contains(host.Hint(err), "certs renew")) {
			t.Errorf("one that lives for %s: %v", life, err)
		}
	}
	w.put(etcdClientCert, "x")
	w.On(line, "")
	if _, err := UploadCerts(t.Context(), w.env(), UploadCertsSpec{Config: []byte("certificateKey: \"" + testKey + "\"\n")}); err != nil {
		t.Fatal(err)
	}
	w.secretsStayIn()
	if _, err := AdminKubeconfig(t.Context(), w.env(), struct{}{}); err == nil {
		t.Error("no admin.conf is no error")
	}
	w.put(adminConf, "secret")
	if data, err := AdminKubeconfig(t.Context(), w.env(), struct{}{}); err != nil || string(data.(KubeconfigData).Kubeconfig) != "secret" {
		t.Errorf("%v, %v", data, err)
	}
}
