package controlplane

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

func hosttestRemove(t *testing.T, w *world, path string) {
	t.Helper()
	if err := os.Remove(filepath.Join(w.root, path)); err != nil {
		t.Fatal(err)
	}
}

func TestMend(t *testing.T) {
	pair := func(name string) []string {
		return []string{pkiDir + "/" + name + ".key", pkiDir + "/" + name + ".crt"}
	}
	tests := []struct {
		name    string
		left    remains
		foreign bool // the authorities come from the cluster
		remove  []string
		err     string
	}{
		{name: "nothing", left: remains{}},
		{name: "all whole", left: remains{started: true, anyConfig: true, pairs: map[string]condition{"ca": whole, "sa": whole, "apiserver": whole}}},
		{name: "a CA's key alone", left: remains{pairs: map[string]condition{"ca": headless}}, remove: pair("ca")},
		{name: "a CA's key alone, but something is signed", left: remains{pairs: map[string]condition{"ca": headless, "apiserver": whole}}, err: "does not make them anew"},
		{name: "a CA's key alone, but half of something may be signed", left: remains{pairs: map[string]condition{"ca": headless, "apiserver": headless}}, err: "does not make them anew"},
		{name: "a CA's key alone, but a kubeconfig is there", left: remains{anyConfig: true, pairs: map[string]condition{"ca": headless}}, err: "does not make them anew"},
		{name: "a CA's key alone, but the apiserver was started", left: remains{started: true, pairs: map[string]condition{"ca": headless}}, err: "does not make them anew"},
		{name: "a CA without its key", left: remains{pairs: map[string]condition{"ca": keyless}}, err: "does not make them anew"},
		{name: "the other CA's key alone", left: remains{pairs: map[string]condition{"ca": whole, "apiserver": whole, "front-proxy-ca": headless}}, remove: pair("front-proxy-ca")},
		{name: "the other CA without its key", left: remains{pairs: map[string]condition{"front-proxy-ca": keyless}}, err: "front-proxy-ca.key"},
		{name: "half of the service accounts' pair", left: remains{pairs: map[string]condition{"sa": headless}}, remove: []string{pkiDir + "/sa.key", pkiDir + "/sa.pub"}},
		{name: "half of the service accounts' pair, started", left: remains{started: true, pairs: map[string]condition{"sa": headless}}, err: "sa.pub"},
		{name: "a leaf's key alone", left: remains{anyConfig: true, pairs: map[string]condition{"ca": whole, "apiserver": headless}}, remove: pair("apiserver")},
		{name: "a leaf without its key", left: remains{pairs: map[string]condition{"ca": whole, "apiserver": keyless}}, remove: pair("apiserver")},
		{name: "a leaf's key alone, started", left: remains{started: true, pairs: map[string]condition{"apiserver": headless}}, err: "the apiserver uses them"},
		{name: "a broken kubeconfig, started", left: remains{started: true, brokenConfigs: []string{kubeletConf}}, remove: []string{kubeletConf}},
		{name: "etcd's CA by half", left: remains{stacked: true, pairs: map[string]condition{"ca": whole, "apiserver": whole, "etcd/ca": headless}}, remove: pair("etcd/ca")},
		{name: "etcd's CA by half, and a login by it", left: remains{stacked: true, pairs: map[string]condition{"etcd/ca": headless, "apiserver-etcd-client": whole}}, err: "etcd/ca.key"},
		{name: "etcd's CA by half, etcd external", left: remains{pairs: map[string]condition{"etcd/ca": headless}}},
		{name: "a member's key alone", left: remains{stacked: true, pairs: map[string]condition{"etcd/ca": whole, "etcd/peer": headless}}, remove: pair("etcd/peer")},
		{name: "a member's key alone, started", left: remains{stacked: true, started: true, pairs: map[string]condition{"etcd/server": headless}}, err: "etcd/server.crt"},
		{name: "the cluster's CA by half", foreign: true, left: remains{pairs: map[string]condition{"ca": keyless, "apiserver": headless}}, remove: pair("apiserver")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			remove, err := tt.left.mend(!tt.foreign)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || host.Hint(err) == "" || remove != nil {
					t.Errorf("mend: %v, %v, want %q and a hint", remove, err, tt.err)
				}
				return
			}
			if err != nil || strings.Join(remove, " ") != strings.Join(tt.remove, " ") {
				t.Errorf("mend: %v, %v, want %v", remove, err, tt.remove)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	good := "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
	tests := []struct {
		name, key, crt string // "-": no file
		want           condition
	}{
		{"none", "-", "-", missing}, {"both", good, good, whole}, {"key alone", good, "-", headless}, {"certificate alone", "-", good, keyless},
		{"empty certificate", good, "", headless}, {"empty key", "", good, keyless}, {"empty key alone", "", "-", headless}, {"both empty", "", "", headless},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, leaf := newWorld(t), leaves(false)[0]
			for path, content := range map[string]string{leaf.first(): tt.key, leaf.second(): tt.crt} {
				if content != "-" {
					w.put(path, content)
				}
			}
			if got, err := inspect(w.env().Host, leaf); err != nil || got != tt.want {
				t.Errorf("inspect = %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestBootstrapped(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*world)
		want  string // empty: bootstrapped
	}{
		{"yes", func(*world) {}, ""},
		{"no kubeconfig", func(w *world) { hosttestRemove(w.t, w, kubeletConf) }, "is missing"},
		{"garbled kubeconfig", func(w *world) { w.put(kubeletConf, "{") }, "can't be read"},
		{"empty kubeconfig", func(w *world) { w.put(kubeletConf, "") }, "can't be read"},
		{"no certificate yet", func(w *world) { hosttestRemove(w.t, w, rotated) }, "no client certificate"},
		{"garbled certificate", func(w *world) { w.put(rotated, "x") }, "can't be read"},
		{"expired", func(w *world) { w.joinKubelet(w.server.URL, time.Now().Add(-time.Second)) }, "expired on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.joinKubelet(w.server.URL, time.Time{})
			tt.spoil(w)
			ok, why, err := bootstrapped(w.env().Host, time.Now())
			if err != nil || ok != (tt.want == "") || !strings.Contains(why, tt.want) {
				t.Errorf("bootstrapped = %v, %q, %v", ok, why, err)
			}
		})
	}
}

func TestRedact(t *testing.T) {
	config := "bootstrapTokens:\n- token: " + testToken + "\ndiscovery:\n  bootstrapToken:\n    token: \"" + testToken + "\"\ncertificateKey: \"" + testKey + "\"\n"
	got := redact("using "+testToken+" and "+testKey+" for abcdef", []byte(config))
	if got != "using abcdef.<secret> and <secret> for abcdef" {
		t.Errorf("redacted to %q", got)
	}
}

func TestLastWords(t *testing.T) {
	end := errors.New("exit status 1")
	for output, want := range map[string]string{
		"[certs] fine\nerror: it failed\nTo see the stack trace": "it failed",
		"[certs] fine\n":                     "exit status 1",
		"error: " + strings.Repeat("é", 300): strings.Repeat("é", 150) + " …",
	} {
		if got := lastWords(output, end); got != want {
			t.Errorf("last words of %q: %q", output, got)
		}
	}
}

func TestPhaseOf(t *testing.T) {
	for line, want := range map[string]string{"[certs] Generating x": "certs", "[init] Using": "", "[WARNING Swap]: x": "", "[0;37mOS": "", "kubeadm join --token x": "", "[patches] Found": "",
		"[upgrade/staticpods] Preparing": "staticpods", "[upgrade] SUCCESS": "", "[upgrade/kubelet-config] x": "kubelet-config", "[upgrade/Staticpods] x": "",
		"[control-plane-check] y": "control-plane-check"} {
		if got, _ := phaseOf(line); got != want {
			t.Errorf("%q is of the phase %q, want %q", line, got, want)
		}
	}
}

func TestWaitsForAnotherKubeadm(t *testing.T) {
	for name, stays := range map[string]time.Duration{"none": 0, "one that ends": 90 * time.Second, "one that hangs": otherTimeout + time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			env := w.env()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				if stays > 0 {
					w.put("/proc/77/comm", "kubeadm\n")
					defer time.AfterFunc(stays, func() {
						if err := os.RemoveAll(filepath.Join(w.root, "/proc/77")); err != nil {
							t.Error(err)
						}
					}).Stop()
				}
				err := WaitOther(t.Context(), env)
				took := time.Since(began)
				if stays > otherTimeout {
					if took != otherTimeout || err == nil || !strings.Contains(err.Error(), "process 77") || host.Hint(err) == "" {
						t.Errorf("after %s: %v", took, err)
					}
				} else if err != nil || took < stays || took > stays+time.Second {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

func TestPatches(t *testing.T) {
	w := newWorld(t)
	h := w.env().Host
	if err := writePatches(t.Context(), h, map[string]string{"a.yaml": "1", "b.yaml": "2"}); err != nil {
		t.Fatal(err)
	}
	if err := writePatches(t.Context(), h, map[string]string{"b.yaml": "3"}); err != nil {
		t.Fatal(err)
	}
	if w.there(PatchesDir+"/a.yaml") || w.read(PatchesDir+"/b.yaml") != "3" {
		t.Error("the patches are not as wanted")
	}
	if err := writePatches(t.Context(), h, map[string]string{"../x": "4"}); err == nil {
		t.Error("a patch may leave its directory")
	}
}
