package upgrade

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ways on are what may come after everything was ended.
var waysOn = map[string]func(w *world, where string, controlPlane bool){
	// The next Job goes on.
	"again": func(w *world, _ string, _ bool) { w.left = 1 << 30 },
	// The node was power-cycled: before its kubelet starts, it is what it was, or
	// what it was to become.
	"boot": func(w *world, where string, controlPlane bool) {
		w.boot()
		w.isWhole(where+", booted", controlPlane)
		got := w.state()
		if controlPlane && !allAt(got, oldVersion) && !allAt(got, newVersion) {
			w.t.Errorf("%s, booted: the static pods are %v", where, got)
		}
		if got["kubelet"] != oldVersion && got["kubelet"] != newVersion {
			w.t.Errorf("%s, booted: the kubelet is %q", where, got["kubelet"])
		}
		if controlPlane && got["kubelet"] == newVersion && !allAt(got, newVersion) {
			w.t.Errorf("%s, booted: the kubelet is newer than its apiserver", where)
		}
	},
}

// TestKilledAnywhere ends an upgrade at every moment: before each change of the
// task's, and between the steps of kubeadm, whose files are then broken. Whatever comes after,
// the next run ends with all of the new version.
func TestKilledAnywhere(t *testing.T) {
	for _, controlPlane := range []bool{true, false} {
		for name, goOn := range waysOn {
			t.Run(fmt.Sprintf("control plane %v, %s", controlPlane, name), func(t *testing.T) {
				t.Parallel()
				points := killed(t, controlPlane, func(w *world) error {
					_, _, err := w.upgrade(controlPlane)
					return err
				}, func(w *world, where string) {
					goOn(w, where, controlPlane)
					if _, _, err := w.upgrade(controlPlane); err != nil {
						t.Fatalf("%s: the next run: %v", where, err)
					}
					w.isAt(newVersion, where, controlPlane)
					w.runningIs(newVersion, where)
					w.unguarded(where)
				})
				if points < 30 {
					t.Errorf("it was ended at %d points only", points)
				}
			})
		}
	}
}

// TestKilledThenRolledBack ends an upgrade at every moment, and then rolls back
// what has begun.
func TestKilledThenRolledBack(t *testing.T) {
	t.Parallel()
	killed(t, true, func(w *world) error {
		_, _, err := w.upgrade(true)
		return err
	}, func(w *world, where string) {
		w.left = 1 << 30
		_, err := w.upgrader().rollback(t.Context(), w.env(), RollbackSpec{Version: oldVersion, LocalEndpoint: w.server.URL})
		if err != nil {
			// Nothing was kept yet, and so nothing changed.
			if w.there(keptDir(oldVersion, controlPlanePart) + "/" + keptIndex) {
				t.Fatalf("%s: %v", where, err)
			}
		}
		w.isAt(oldVersion, where, true)
		w.runningIs(oldVersion, where)
	})
}

// TestRollbackKilledAnywhere ends a rollback at every moment; the next one, or a
// boot and the next one, end with all of the old version.
func TestRollbackKilledAnywhere(t *testing.T) {
	for name, goOn := range waysOn {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := func(w *world) RollbackSpec {
				return RollbackSpec{Version: oldVersion, LocalEndpoint: w.server.URL}
			}
			killed(t, true, func(w *world) error {
				left := w.left
				w.left = 1 << 30
				if _, _, err := w.upgrade(true); err != nil {
					t.Fatal(err)
				}
				w.left = left
				_, err := w.upgrader().rollback(mortal{t.Context(), w}, w.env(), spec(w))
				return err
			}, func(w *world, where string) {
				goOn(w, where, true)
				if _, err := w.upgrader().rollback(t.Context(), w.env(), spec(w)); err != nil {
					t.Fatalf("%s: the next run: %v", where, err)
				}
				w.isAt(oldVersion, where, true)
				w.runningIs(oldVersion, where)
				w.unguarded(where)
			})
		})
	}
}

// killed runs something again and again, ended a moment later each time, until
// it comes to its end, and returns how many moments there were.
func killed(t *testing.T, controlPlane bool, run func(*world) error, after func(w *world, where string)) int {
	t.Helper()
	for point := 0; ; point++ {
		w := newWorld(t, controlPlane)
		w.left = point
		err := run(w)
		if err == nil {
			return point
		}
		if !errors.Is(err, errKilled) && !strings.Contains(err.Error(), errKilled.Error()) {
			t.Fatalf("ended at point %d: %v", point, err)
		}
		after(w, fmt.Sprintf("ended at point %d", point))
		w.server.Close()
		if t.Failed() {
			t.Fatalf("the first point that is not survived; the ledger:\n%s", w.read("/var/lib/kubectl-ha/ledger.jsonl"))
		}
	}
}

// TestMendAlone: a boot without an unfinished upgrade changes nothing.
func TestMendAlone(t *testing.T) {
	for name, upgraded := range map[string]bool{"never upgraded": false, "upgraded": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			if upgraded {
				if _, _, err := w.upgrade(true); err != nil {
					t.Fatal(err)
				}
			}
			before := w.state()
			e := w.env()
			data, err := Mend(t.Context(), e, MendSpec{})
			if err != nil || !data.(Data).Already || len(e.Host.Changes()) != 0 || !maps.Equal(before, w.state()) {
				t.Errorf("%+v, %v, changes %v", data, err, e.Host.Changes())
			}
		})
	}
}

// TestKubeadmTakesTheArguments lets the kubeadm that the environment variable
// KUBEADM names read its arguments and configuration; it gets as far as the cluster,
// which is not there.
func TestKubeadmTakesTheArguments(t *testing.T) {
	binary := os.Getenv("KUBEADM")
	if binary == "" {
		t.Skip("KUBEADM names no kubeadm binary")
	}
	conf := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(conf, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\n"+
		"contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\nusers: [{name: u, user: {}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{applyLine, nodeLine, configLine} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, binary, append(strings.Fields(line)[1:], "--kubeconfig", conf)...)
		cmd.Stdin = strings.NewReader("apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\napply: {kubernetesVersion: v1.36.3, etcdUpgrade: false}\nnode: {etcdUpgrade: false}\n")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = cmd.Stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		text, found := "", false
		for s := bufio.NewScanner(out); !found && s.Scan(); text += s.Text() + "\n" {
			found = strings.Contains(s.Text(), `Reading configuration from the "kubeadm-config" ConfigMap`)
		}
		// It would ask for a minute; how it ends is of no interest.
		cancel()
		_ = cmd.Wait()
		if !found {
			t.Errorf("%s:\n%s", line, text)
		}
	}
}
