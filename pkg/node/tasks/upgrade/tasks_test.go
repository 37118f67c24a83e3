package upgrade

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

const guardOn, guardOff = "systemctl daemon-reload|systemctl enable " + guardUnit, "systemctl disable " + guardUnit

func TestControlPlane(t *testing.T) {
	for name, tt := range map[string]struct {
		first bool
		line  string
	}{"the first": {true, applyLine}, "another": {false, nodeLine}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			data, err := w.upgrader().controlPlane(t.Context(), w.env(), w.controlPlaneSpec(tt.first))
			if err != nil || data.(Data).From != oldVersion || data.(Data).Already || data.(Data).Resumed {
				t.Fatalf("%+v, %v", data, err)
			}
			if got := w.ran(); got != guardOn+"|"+tt.line+"|"+guardOff {
				t.Errorf("ran %s", got)
			}
			if got := w.state(); got["kube-scheduler"] != newVersion || got["kubelet"] != oldVersion {
				t.Errorf("afterwards: %v", got)
			}
			w.unguarded("afterwards")
			w.Reset()
			e := w.env()
			data, err = w.upgrader().controlPlane(t.Context(), e, w.controlPlaneSpec(tt.first))
			if err != nil || !data.(Data).Already || w.ran() != "" || len(e.Host.Changes()) != 0 {
				t.Errorf("a second run: %+v, %v, ran %q, changed %v", data, err, w.ran(), e.Host.Changes())
			}
		})
	}
}

func TestKubelet(t *testing.T) {
	for name, controlPlane := range map[string]bool{"of a control plane": true, "of a worker": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, controlPlane)
			w.put(instanceConfig, "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix:///run/mine.sock\n")
			_, kubelet, err := w.upgrade(controlPlane)
			if err != nil || kubelet.From != oldVersion || !kubelet.KubeletRestarted || w.restarts != 1 {
				t.Fatalf("%+v, %v, %d restarts", kubelet, err, w.restarts)
			}
			// A kubelet of another minor version would end it without notice.
			want := []string{"/run/mine.sock"}
			if !controlPlane {
				want = nil
			}
			if !slices.Equal(w.ended, want) {
				t.Errorf("the apiserver was ended in order by %q, want %q", w.ended, want)
			}
			w.isAt(newVersion, "afterwards", controlPlane)
			w.runningIs(newVersion, "afterwards")
			w.unguarded("afterwards")
			w.Reset()
			pods, kubelet, err := w.upgrade(controlPlane)
			if err != nil || pods.Already != controlPlane || !kubelet.Already || w.ran() != "" {
				t.Errorf("a second run: %+v, %+v, %v, ran %q", pods, kubelet, err, w.ran())
			}
		})
	}
}

// TestKubeletOrder: the old kubelet is stopped with something that starts it again, the
// apiserver is ended, the new one started. An apiserver that does not end is no reason
// to fail: the kubelet ends it.
func TestKubeletOrder(t *testing.T) {
	for name, failed := range map[string]error{"in order": nil, "it does not end": errors.New("no answer")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.failEnd = failed
			if _, _, err := w.upgrade(true); err != nil {
				t.Fatal(err)
			}
			run := "systemd-run --collect --unit=kubectl-ha-kubelet-back --on-active=90 systemctl start kubelet.service"
			want := run + "|systemctl stop kubelet.service|systemctl start kubelet.service|systemctl stop " + BackTimer
			if got := w.ran(); !strings.Contains(got, want) {
				t.Errorf("ran %s\nwant %s", got, want)
			}
			if len(w.ended) != 1 || w.ended[0] != "/run/containerd/containerd.sock" {
				t.Errorf("ended %q", w.ended)
			}
			w.unguarded("afterwards")
		})
	}
}

// TestOtherMinor: static pods are made anew by a kubelet of another minor version only.
func TestOtherMinor(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"v1.35.4", "v1.36.3", true}, {"v1.36.3", "v1.35.4", true}, {"v1.36.1", "v1.36.3", false}, {"v1.36.3", "v1.36.3", false}, {"", "v1.36.3", false}} {
		if got := otherMinor(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %v", tt.a, tt.b, got)
		}
	}
}

// A kubelet that is not well is replaced by the old one: else nothing could be
// brought to the node any more. The next run begins anew.
func TestBrokenKubelet(t *testing.T) {
	for _, controlPlane := range []bool{true, false} {
		w := newWorld(t, controlPlane)
		port := w.kubeletHealth()
		w.put(kubeletConfig, strings.Replace(w.kubeletConfig(oldVersion), "healthzPort: 0", "healthzPort: "+port, 1))
		before := w.read(kubeletConfig)
		for _, line := range []string{nodeLine, configLine} {
			w.OnFunc(line, func(c host.Command) (host.Output, error) {
				out, err := w.kubeadm(c, true, true)
				w.put(kubeletConfig, strings.Replace(w.read(kubeletConfig), "healthzPort: 0", "healthzPort: "+port, 1))
				return out, err
			})
		}
		w.release(newVersion, map[string]string{"kubelet": "kubelet " + newVersion + " broken"})
		_, _, err := w.upgrade(controlPlane)
		var f *node.Failure
		if !errors.As(err, &f) || !strings.Contains(f.Message, "that of "+oldVersion+" runs again") || f.Output != "the kubelet's last words" || f.Hint == "" {
			t.Fatalf("%#v", err)
		}
		w.runningIs(oldVersion, "after the failure")
		if w.read(kubeletConfig) != before || w.there(instanceConfig) || !strings.Contains(w.read(kubeletFlags), "containerd.sock") {
			t.Errorf("the kubelet's configuration is not the old one: %q, %q", w.read(kubeletConfig), w.read(kubeletFlags))
		}
		w.unguarded("after the failure")
		w.release(newVersion, nil)
		if _, kubelet, err := w.upgrade(controlPlane); err != nil || kubelet.From != oldVersion {
			t.Fatalf("the next run: %+v, %v", kubelet, err)
		}
		w.runningIs(newVersion, "after the next run")
		if w.read(kubeletConfig) == before {
			t.Error("the new kubelet has the old configuration")
		}
		w.isWhole("after the next run", controlPlane)
	}
}

func TestRollback(t *testing.T) {
	for _, controlPlane := range []bool{true, false} {
		w := newWorld(t, controlPlane)
		if _, _, err := w.upgrade(controlPlane); err != nil {
			t.Fatal(err)
		}
		spec := RollbackSpec{Version: oldVersion}
		if controlPlane {
			spec.LocalEndpoint = w.server.URL
		}
		data, err := w.upgrader().rollback(t.Context(), w.env(), spec)
		if err != nil || !data.(Data).KubeletRestarted || len(data.(Data).Mended) == 0 {
			t.Fatalf("%+v, %v", data, err)
		}
		w.isAt(oldVersion, "rolled back", controlPlane)
		w.runningIs(oldVersion, "rolled back")
		w.unguarded("rolled back")
		data, err = w.upgrader().rollback(t.Context(), w.env(), spec)
		if err != nil || !data.(Data).Already {
			t.Errorf("a second time: %+v, %v", data, err)
		}
		if _, _, err := w.upgrade(controlPlane); err != nil {
			t.Fatalf("upgraded again: %v", err)
		}
		w.isAt(newVersion, "upgraded again", controlPlane)
	}
}

// kubeadm itself fails and has taken back what it did; the node can be rolled
// back, or the upgrade be gone on with.
func TestKubeadmFails(t *testing.T) {
	for name, roll := range map[string]bool{"gone on with": false, "rolled back": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.Fail(nodeLine, 1, "error: no space left on device")
			_, _, err := w.upgrade(true)
			var f *node.Failure
			if !errors.As(err, &f) || !strings.Contains(f.Message, "no space left") || !strings.Contains(f.Message, "kubeadm upgrade node") {
				t.Fatalf("%#v", err)
			}
			w.isAt(oldVersion, "after the failure", true)
			if roll {
				if _, err := w.upgrader().rollback(t.Context(), w.env(), RollbackSpec{Version: oldVersion, LocalEndpoint: w.server.URL}); err != nil {
					t.Fatal(err)
				}
				w.isAt(oldVersion, "rolled back", true)
				w.unguarded("rolled back")
			}
			w.OnFunc(nodeLine, func(c host.Command) (host.Output, error) { return w.kubeadm(c, true, true) })
			pods, _, err := w.upgrade(true)
			if err != nil || pods.Resumed == roll || pods.From != oldVersion {
				t.Fatalf("%+v, %v", pods, err)
			}
			w.isAt(newVersion, "in the end", true)
		})
	}
}

func TestRefuses(t *testing.T) {
	cp := func(w *world) error {
		_, err := w.upgrader().controlPlane(w.t.Context(), w.env(), w.controlPlaneSpec(true))
		return err
	}
	kubelet := func(controlPlane bool) func(w *world) error {
		return func(w *world) error {
			_, err := w.upgrader().kubelet(w.t.Context(), w.env(), w.kubeletSpec(controlPlane))
			return err
		}
	}
	rollback := func(version string) func(w *world) error {
		return func(w *world) error {
			_, err := w.upgrader().rollback(w.t.Context(), w.env(), RollbackSpec{Version: version})
			return err
		}
	}
	const dir = ReleasesDir + "/" + newVersion
	tests := []struct {
		name   string
		worker bool
		spoil  func(*world)
		run    func(*world) error
		want   string
	}{
		{"no release", false, func(w *world) { w.remove(dir) }, cp, "are not on this host"},
		{"an unfinished release", false, func(w *world) { w.remove(dir + "/manifest.json") }, cp, "are not on this host"},
		{"no kubelet in the release", false, func(w *world) { w.remove(dir + "/kubelet") }, cp, "kubelet is missing"},
		{"a wrong checksum", true, func(w *world) { w.put(dir+"/kubeadm", "other") }, kubelet(false), "kubeadm has the SHA-256"},
		{"a garbled list", true, func(w *world) { w.put(dir+"/manifest.json", "{") }, kubelet(false), "can't be read"},
		{"no kubelet in the list", true, func(w *world) { w.put(dir+"/manifest.json", "{}") }, kubelet(false), "kubelet is missing"},
		{"a lost manifest", false, func(w *world) { w.remove(manifest("kube-scheduler")) }, cp, "kube-scheduler can't be told"},
		{"a worker as a control plane", true, func(*world) {}, cp, "kube-apiserver can't be told"},
		{"a control plane as a worker", false, func(*world) {}, kubelet(false), "is a control plane"},
		{"a kubelet before its apiserver", false, func(*world) {}, kubelet(true), "before the control plane on this host"},
		{"a kubelet that says nothing", true, func(w *world) { w.On(binDir+"/kubelet --version", "hello") }, kubelet(false), "for its version"},
		{"nothing kept", false, func(*world) {}, rollback(oldVersion), "it was not upgraded"},
		{"no version", false, func(*world) {}, rollback("../.."), "is not a version"},
		{"another kept", true, func(w *world) {
			if _, _, err := w.upgrade(false); err != nil {
				w.t.Fatal(err)
			}
		}, rollback("v1.34.1"), "nothing was kept on this host of v1.34.1"},
		{"damaged what was kept", true, func(w *world) {
			if _, _, err := w.upgrade(false); err != nil {
				w.t.Fatal(err)
			}
			w.put(keptDir(oldVersion, kubeletPart)+binDir+"/kubelet", "x")
		}, rollback(oldVersion), "damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, !tt.worker)
			tt.spoil(w)
			before := fmt.Sprint(w.state())
			err := tt.run(w)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if after := fmt.Sprint(w.state()); after != before || w.there(markPath(controlPlanePart)) {
				t.Errorf("%s became %s", before, after)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t, true)
	data, err := Check(t.Context(), w.env(), CheckSpec{Version: newVersion})
	if err != nil {
		t.Fatal(err)
	}
	got := data.(CheckData)
	if got.Kubelet != oldVersion || got.ControlPlane != oldVersion || len(got.Binaries) != 3 || len(got.Kept) != 0 {
		t.Errorf("%+v", got)
	}
	if _, _, err := w.upgrade(true); err != nil {
		t.Fatal(err)
	}
	data, err = Check(t.Context(), w.env(), CheckSpec{Version: newVersion})
	if err != nil || data.(CheckData).Kubelet != newVersion || !slices.Equal(data.(CheckData).Kept, []string{oldVersion}) {
		t.Errorf("after an upgrade: %+v, %v", data, err)
	}
	if _, err := Check(t.Context(), w.env(), CheckSpec{Version: "v1.37.1"}); err == nil || host.Hint(err) == "" {
		t.Errorf("a version that is not there: %v", err)
	}
	// A package of the distribution has it elsewhere.
	if err := os.Remove(filepath.Join(w.root, binDir, "kubelet")); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), w.env(), CheckSpec{Version: newVersion}); err == nil || !strings.Contains(err.Error(), "which upgrades replace") || host.Hint(err) == "" {
		t.Errorf("a kubelet that is elsewhere: %v", err)
	}
}

func TestDryRun(t *testing.T) {
	for _, controlPlane := range []bool{true, false} {
		w := newWorld(t, controlPlane)
		e := w.env(hosttest.DryRun)
		var err error
		if controlPlane {
			_, err = w.upgrader().controlPlane(t.Context(), e, w.controlPlaneSpec(true))
		} else {
			_, err = w.upgrader().kubelet(t.Context(), e, w.kubeletSpec(false))
		}
		if err != nil || w.ran() != "" || len(e.Host.Changes()) == 0 {
			t.Errorf("%v, ran %q, %v", err, w.ran(), e.Host.Changes())
		}
		w.isAt(oldVersion, "after a dry run", controlPlane)
		if w.there(stateDir) || w.there(KeptDir) {
			t.Error("a dry run left something behind")
		}
	}
}

// Only what the last upgrade replaced is kept.
func TestKeptGenerations(t *testing.T) {
	w := newWorld(t, false)
	w.put(keptDir("v1.34.1", kubeletPart)+"/"+keptIndex, `{"version":"v1.34.1"}`)
	w.release(oldVersion, nil)
	if _, _, err := w.upgrade(false); err != nil {
		t.Fatal(err)
	}
	if w.there(ReleasesDir+"/"+oldVersion) || !w.there(ReleasesDir+"/"+newVersion) {
		t.Error("the staged binaries of the old version stay, or those of the new one go")
	}
	if got, err := listKept(w.env().Host); err != nil || !slices.Equal(got, []string{oldVersion}) {
		t.Errorf("%v, %v", got, err)
	}
	for path, mode := range map[string]os.FileMode{keptDir(oldVersion, kubeletPart): 0o700, keptDir(oldVersion, kubeletPart) + binDir + "/kubelet": 0o600} {
		if info, err := os.Stat(filepath.Join(w.root, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestPodVersion(t *testing.T) {
	image := func(image string) string {
		return "kind: Pod\nspec: {containers: [{name: other, image: \"a:v9.9.9\"}, {name: c, image: \"" + image + "\"}]}"
	}
	for _, tt := range []struct{ raw, want, err string }{
		{image("registry.k8s.io/kube-apiserver:v1.36.3"), "v1.36.3", ""},
		{image("localhost:5000/kube-apiserver:v1.36.3@sha256:00"), "v1.36.3", ""},
		{image("localhost:5000/kube-apiserver"), "", "no tag"},
		{image("kube-apiserver@sha256:00"), "", "no tag"},
		{"kind: Pod\nspec: {containers: [{name: other, image: a}]}", "", "no container"},
		{"kind: Job", "", "not a pod"}, {"", "", "not a pod"}, {"kind: Pod\nspec: {con", "", "not a pod"}, {"kind: Pod\n", "", "no container"},
	} {
		got, err := podVersion([]byte(tt.raw), "c")
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, %v", tt.raw, got, err)
		}
	}
}
