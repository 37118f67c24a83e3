package upgrade

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// cutOff is a host on which an upgrade was cut off after so many steps from its end.
func cutOff(t *testing.T, controlPlane bool, fromEnd int) *world {
	t.Helper()
	whole := newWorld(t, controlPlane)
	if _, _, err := whole.upgrade(controlPlane); err != nil {
		t.Fatal(err)
	}
	steps := 1<<30 - whole.left
	w := newWorld(t, controlPlane)
	w.left = steps - fromEnd
	if _, _, err := w.upgrade(controlPlane); err == nil {
		t.Fatal("it was not cut off")
	}
	w.left = 1 << 30
	return w
}

// since sets when a part's upgrade was begun.
func (w *world) since(p part, since time.Time) {
	w.t.Helper()
	var m mark
	if err := json.Unmarshal([]byte(w.read(markPath(p))), &m); err != nil {
		w.t.Fatal(err)
	}
	m.Since = since
	raw, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(markPath(p), string(raw))
}

// untilBegun is how many steps before its end an upgrade has a part begun, and whole at the
// new version: the first such from the end on.
func untilBegun(t *testing.T, controlPlane bool, p part) *world {
	t.Helper()
	for fromEnd := 1; fromEnd < 60; fromEnd++ {
		w := cutOff(t, controlPlane, fromEnd)
		m, k, ok, err := unfinished(w.env().Host, p)
		if err != nil || !ok {
			continue
		}
		if ok, err := stands(t.Context(), w.env().Host, p, m, k); err == nil && ok {
			return w
		}
	}
	t.Fatalf("the %s is never begun and whole", p)
	return nil
}

// TestBootOfLongAfter: what is whole at the new version and was not gone on with stays so at a
// boot of days later, and what is not whole is taken back all the same; within the hour, and on
// marks that don't say since when, everything is taken back.
func TestBootOfLongAfter(t *testing.T) {
	long := time.Now().Add(-48 * time.Hour)
	for name, tc := range map[string]struct {
		part    part
		since   time.Time
		spoil   func(*world)
		version string
		state   state
	}{
		"a kubelet, days later":               {kubeletPart, long, nil, newVersion, standing},
		"a kubelet, at once":                  {kubeletPart, time.Now(), nil, oldVersion, begun},
		"a kubelet, a mark of before":         {kubeletPart, time.Time{}, nil, oldVersion, begun},
		"a kubelet that is broken":            {kubeletPart, long, func(w *world) { w.put(kubeletConfig, "kind: Kube") }, oldVersion, begun},
		"a control plane, days later":         {controlPlanePart, long, nil, newVersion, standing},
		"a control plane, at once":            {controlPlanePart, time.Now(), nil, oldVersion, begun},
		"a control plane, half of its pods":   {controlPlanePart, long, func(w *world) { w.put(manifest(components[2]), pod(components[2], oldVersion)) }, oldVersion, begun},
		"a control plane, a missing one":      {controlPlanePart, long, func(w *world) { w.remove(manifest(components[1])) }, oldVersion, begun},
		"a control plane, others went on":     {controlPlanePart, long, func(w *world) { w.pods("v1.37.0") }, "v1.37.0", standing},
		"a control plane, taken back by hand": {controlPlanePart, long, func(w *world) { w.pods(oldVersion) }, oldVersion, begun},
	} {
		t.Run(name, func(t *testing.T) {
			w := untilBegun(t, tc.part == controlPlanePart, tc.part)
			w.since(tc.part, tc.since)
			if tc.spoil != nil {
				tc.spoil(w)
			}
			w.boot()
			got := w.state()
			at := got["kubelet"]
			if tc.part == controlPlanePart {
				at = got[components[0]]
				if !allAt(got, at) {
					t.Errorf("the static pods are %v", got)
				}
			}
			m, err := readMark(w.env().Host, tc.part)
			if err != nil || m.State != tc.state || at != tc.version {
				t.Errorf("%v, at %s, the mark says %q; want %s, %q", err, at, m.State, tc.version, tc.state)
			}
			// Whatever it is, the next upgrade goes through.
			if tc.version == "v1.37.0" {
				return
			}
			if _, _, err := w.upgrade(tc.part == controlPlanePart); err != nil {
				t.Fatal(err)
			}
			w.isAt(newVersion, "in the end", tc.part == controlPlanePart)
			w.unguarded("in the end")
		})
	}
}

// pods has all static pods be of a version.
func (w *world) pods(version string) {
	for _, c := range components {
		w.put(manifest(c), pod(c, version))
	}
}

// TestSettle: what an Operation leaves behind does not stay armed once it was aborted.
func TestSettle(t *testing.T) {
	for name, tc := range map[string]struct {
		part     part
		takeBack bool
		spoil    func(*world)
		want     SettleData
		version  string
	}{
		"nothing was begun":            {"", true, nil, SettleData{}, oldVersion},
		"well at the new version":      {kubeletPart, true, nil, SettleData{Standing: []string{"kubelet"}}, newVersion},
		"broken, aborted":              {kubeletPart, true, func(w *world) { w.put(kubeletConfig, "kind: Kube") }, SettleData{TakenBack: []string{"kubelet"}}, oldVersion},
		"broken, and not given up yet": {kubeletPart, false, func(w *world) { w.put(kubeletConfig, "kind: Kube") }, SettleData{Armed: []string{"kubelet"}}, newVersion},
		"static pods that are well":    {controlPlanePart, true, nil, SettleData{Standing: []string{"control-plane"}}, newVersion},
		"half of the static pods":      {controlPlanePart, true, func(w *world) { w.put(manifest(components[2]), pod(components[2], oldVersion)) }, SettleData{TakenBack: []string{"control-plane"}}, oldVersion},
		"half of them, not given up":   {controlPlanePart, false, func(w *world) { w.remove(manifest(components[2])) }, SettleData{Armed: []string{"control-plane"}}, newVersion},
	} {
		t.Run(name, func(t *testing.T) {
			controlPlane := tc.part != kubeletPart
			w := newWorld(t, controlPlane)
			if tc.part != "" {
				w = untilBegun(t, controlPlane, tc.part)
			}
			if tc.spoil != nil {
				tc.spoil(w)
			}
			spec := SettleSpec{TakeBack: tc.takeBack}
			if controlPlane {
				spec.LocalEndpoint = w.server.URL
			}
			data, err := w.upgrader().settleAll(t.Context(), w.env(), spec)
			got := data.(SettleData)
			if err != nil || !slices.Equal(got.Standing, tc.want.Standing) || !slices.Equal(got.TakenBack, tc.want.TakenBack) || !slices.Equal(got.Armed, tc.want.Armed) {
				t.Fatalf("%+v, %v; want %+v", got, err, tc.want)
			}
			at := w.state()["kubelet"]
			if controlPlane {
				at = w.state()[components[0]]
			}
			if at != tc.version {
				t.Errorf("it is at %s, want %s", at, tc.version)
			}
			armed, err := Unfinished(w.env().Host)
			if err != nil || len(armed) != len(tc.want.Armed) {
				t.Errorf("armed: %v, %v", armed, err)
			}
			if len(tc.want.Armed) == 0 {
				w.unguarded("settled")
			}
		})
	}
}

// TestGiveUp: whatever keeps the new kubelet from its place, the old one runs again.
func TestGiveUp(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"kubeadm fails": func(w *world) { w.Fail(nodeLine, 1, "error: out of luck") },
		"kubeadm fails in the middle": func(w *world) {
			w.OnFunc(nodeLine, func(c host.Command) (host.Output, error) {
				_, _ = w.kubeadm(c, false, true)
				return host.Output{}, errors.New("out of luck")
			})
		},
		"systemd does not restart it": func(w *world) { w.failOnce("systemctl restart kubelet.service") },
		"its configuration is no longer": func(w *world) {
			w.OnFunc(nodeLine, func(c host.Command) (host.Output, error) {
				out, err := w.kubeadm(c, false, true)
				w.put(kubeletConfig, "\t{ out of luck")
				return out, err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			before := w.read(kubeletConfig)
			spoil(w)
			_, _, err := w.upgrade(false)
			var f *node.Failure
			if !errors.As(err, &f) || !strings.Contains(f.Message, "that of "+oldVersion+" runs again") || f.Hint == "" {
				t.Fatalf("%#v", err)
			}
			w.runningIs(oldVersion, "after the failure")
			w.isAt(oldVersion, "after the failure", false)
			w.unguarded("after the failure")
			if w.read(kubeletConfig) != before {
				t.Errorf("the configuration is %q", w.read(kubeletConfig))
			}
			w.OnFunc(nodeLine, func(c host.Command) (host.Output, error) { return w.kubeadm(c, true, true) })
			if _, _, err := w.upgrade(false); err != nil {
				t.Fatalf("the next run: %v", err)
			}
			w.isAt(newVersion, "after the next run", false)
		})
	}
}

// failOnce has a command fail once, and restart the kubelet from then on.
func (w *world) failOnce(line string) {
	failed := false
	w.OnFunc(line, func(c host.Command) (host.Output, error) {
		if !failed {
			failed = true
			return host.Output{}, errors.New("out of luck")
		}
		return w.restart(c)
	})
}
