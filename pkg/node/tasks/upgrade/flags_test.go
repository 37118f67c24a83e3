package upgrade

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// flagsOf is what kubeadm writes.
func flagsOf(flags string) string { return "KUBELET_KUBEADM_ARGS=\"" + flags + "\"\n" }

func TestWithoutGates(t *testing.T) {
	const socket = runtimeSocket
	for _, tc := range []struct {
		name, flags, want string
		problems          int
	}{
		{"none", socket, socket, 0},
		{"still there", socket + " --feature-gates=NodeSwap=true", socket + " --feature-gates=NodeSwap=true", 0},
		{"gone, the only one", socket + " --feature-gates=AnyVolumeDataSource=true --v=2", socket + " --v=2", 1},
		{"gone, one of two", "--feature-gates=AnyVolumeDataSource=true,NodeSwap=true " + socket, "--feature-gates=NodeSwap=true " + socket, 1},
		{"in two words", socket + " --feature-gates AnyVolumeDataSource=true,NodeSwap=true", socket + " --feature-gates NodeSwap=true", 1},
		{"locked", "--feature-gates=NodeSwap=false", "", 1},
		{"given twice", "--feature-gates=AnyVolumeDataSource=true " + socket + " --feature-gates=NodeSwap=false", " " + socket, 2},
		{"can't be read", "--feature-gates=what", "--feature-gates=what", 0},
	} {
		got, problems := withoutGates(flagsOf(tc.flags), "v1.37.2")
		if got != flagsOf(tc.want) || len(problems) != tc.problems {
			t.Errorf("%s: %s %q", tc.name, got, problems)
		}
	}
	if got, problems := withoutGates(flagsOf("--feature-gates=OfTomorrow=true"), "v1.38.0"); len(problems) > 0 || got != flagsOf("--feature-gates=OfTomorrow=true") {
		t.Errorf("a version of which nothing is known: %q %q", got, problems)
	}
}

// gone is a gate that 1.35 has, and 1.36 no more.
const gone = "CSIMigrationPortworx"

func TestGatesInTheKubeletsFlags(t *testing.T) {
	bad := flagsOf(runtimeSocket + " --feature-gates=" + gone + "=true,NodeSwap=true")
	for _, controlPlane := range []bool{true, false} {
		w := newWorld(t, controlPlane)
		w.put(kubeletFlags, bad)
		_, err := Check(t.Context(), w.env(), CheckSpec{Version: newVersion})
		if err == nil || !strings.Contains(err.Error(), kubeletFlags) || !strings.Contains(err.Error(), gone) || !strings.Contains(host.Hint(err), "--remove-feature-gates") {
			t.Fatalf("a look: %v, %q", err, host.Hint(err))
		}
		if _, err := Check(t.Context(), w.env(), CheckSpec{Version: newVersion, RemoveFeatureGates: true}); err != nil {
			t.Fatalf("a look at what will be removed: %v", err)
		}
		if controlPlane {
			if _, err := w.upgrader().controlPlane(t.Context(), w.env(), w.controlPlaneSpec(false)); err != nil {
				t.Fatal(err)
			}
		}
		spec := w.kubeletSpec(controlPlane)
		spec.RemoveFeatureGates = true
		if _, err := w.upgrader().kubelet(t.Context(), w.env(), spec); err != nil {
			t.Fatal(err)
		}
		if got := w.read(kubeletFlags); strings.Contains(got, gone) || !strings.Contains(got, "--feature-gates=NodeSwap=true") {
			t.Errorf("the kubelet's flags are %s", got)
		}
	}
	// The user's own file is theirs to change.
	w := newWorld(t, false)
	w.put("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--feature-gates="+gone+"=true\n")
	_, err := Check(t.Context(), w.env(), CheckSpec{Version: newVersion, RemoveFeatureGates: true})
	if err == nil || !strings.Contains(err.Error(), "/etc/default/kubelet") || !strings.Contains(host.Hint(err), "take it out of that file") {
		t.Errorf("%v, %q", err, host.Hint(err))
	}
}
