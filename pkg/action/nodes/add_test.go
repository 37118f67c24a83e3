package nodes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

func TestMerge(t *testing.T) {
	other, elsewhere, twice := clusterOf("cp1", "w1", "w2"), clusterOf("cp1", "w1", "w2"), clusterOf("cp1", "w1", "w2")
	other.Metadata.Name, elsewhere.Spec.VirtualIP = "other", "198.51.100.101"
	twice.Spec.Hosts[2].Address = twice.Spec.Hosts[1].Address
	for name, tc := range map[string]struct {
		given *v1alpha1.Cluster
		names []string
		want  string
	}{
		"one more":            {clusterOf("cp1", "w1", "w2"), []string{"w2"}, ""},
		"it is there already": {clusterOf("cp1", "w1"), []string{"w1"}, ""},
		"not in the file":     {clusterOf("cp1", "w1"), []string{"w2"}, "file.yaml has no host w2"},
		"another cluster":     {other, []string{"w2"}, "the Cluster file is for other"},
		"another address":     {elsewhere, []string{"w2"}, "at 198.51.100.101:6443"},
		"an address twice":    {twice, []string{"w2"}, "the cluster with these hosts"},
	} {
		got, err := merge(stored(), tc.given, "file.yaml", tc.names)
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid {
				t.Errorf("%s: %v of kind %q", name, err, action.KindOf(err))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, ok := got.Host(tc.names[0]); !ok || len(stored().Spec.Hosts) != 2 {
			t.Errorf("%s: %+v", name, got.Spec.Hosts)
		}
	}
}

// TestMergeTakesLoginsOfTheFile: the stored document has no passwords, and all else of it stays.
func TestMergeTakesLoginsOfTheFile(t *testing.T) {
	given := clusterOf("cp1", "w1", "w2")
	given.Spec.SSH.User, given.Spec.Proxy.HTTPSProxy, given.Spec.KubernetesVersion = "root", "http://me:secret@proxy:3128", "v1.35.0"
	got, err := merge(stored(), given, "file.yaml", []string{"w2"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.SSH.User != "root" || got.Spec.Proxy.HTTPSProxy != given.Spec.Proxy.HTTPSProxy || got.Spec.KubernetesVersion != "v1.36.3" {
		t.Errorf("%+v", got.Spec)
	}
}

// TestBundleOfAnAddition: the bundle that was named is opened once, checked, and closed.
func TestBundleOfAnAddition(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bundle.tar")
	bundletest.Create(t, file, "example.com/team/a:v1")
	o := AddOptions{To: &operate.Connection{}, Given: clusterOf("cp1", "w1", "w2"), Names: []string{"w2"}, Bundle: file}
	// That this bundle is of one image only is found once it is open.
	if _, err := newAdding(o, stored()); err == nil || !strings.Contains(err.Error(), "Kubernetes") || action.KindOf(err) != action.Invalid {
		t.Errorf("a bundle without Kubernetes: %v", err)
	}
	if open := openFiles(t, file); open != 0 {
		t.Errorf("the bundle that was refused is open %d times", open)
	}
	for name, tc := range map[string]struct {
		change func(*AddOptions)
		want   string
	}{
		"no host":              {func(o *AddOptions) { o.Names = nil }, "specify the hosts"},
		"no such file":         {func(o *AddOptions) { o.Bundle += ".gone" }, ".gone"},
		"trust without bundle": {func(o *AddOptions) { o.Bundle, o.Trust = "", bundles.Trust{KeyFile: "key"} }, "--bundle"},
		"another digest":       {func(o *AddOptions) { o.Trust.Digest = "sha256:" + strings.Repeat("a", 64) }, "sha256:"},
	} {
		o := o
		tc.change(&o)
		_, err := newAdding(o, stored())
		if err == nil || !strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v of kind %q", name, err, action.KindOf(err))
		}
	}
	if open := openFiles(t, file); open != 0 {
		t.Errorf("the bundle is open %d times", open)
	}
}

// openFiles counts this process's handles of a file.
func openFiles(t *testing.T, path string) (n int) {
	t.Helper()
	const handles = "/proc/self/fd"
	entries, err := os.ReadDir(handles)
	if err != nil {
		t.Skipf("handles can't be counted here: %v", err)
	}
	for _, e := range entries {
		// One that has gone meanwhile is none.
		if to, err := os.Readlink(filepath.Join(handles, e.Name())); err == nil && to == path {
			n++
		}
	}
	return n
}

// TestInACluster is about one cluster, with a real API server; all leave it as it is until a host is added.
func TestInACluster(t *testing.T) {
	to, s := running(t, asIs)
	t.Run("add a host out of reach", func(t *testing.T) { addOutOfReach(t, to, s) })
	t.Run("remove", func(t *testing.T) { remove(t, to, s) })
	t.Run("a script", func(t *testing.T) { newScript(t, to, s) })
	t.Run("add a joined host", func(t *testing.T) { addJoined(t, to, s) })
	t.Run("renew nothing beside it", func(t *testing.T) { renewNothingBeside(t, s) })
}

// addOutOfReach: nothing is asked, and nothing of the cluster is changed.
func addOutOfReach(t *testing.T, to *operate.Connection, s *kubetest.Server) {
	var a asked
	o := AddOptions{To: to, Given: unreachable(t, clusterOf("cp1", "w1", "w2")), File: "file.yaml", Names: []string{"w2"},
		Login: nobody(t), StateDir: stateDir(t), Confirm: a.confirm}
	begun, err := RunAdd(t.Context(), o, report.Discard())
	var over *SSHError
	if begun != nil || !errors.As(err, &over) || action.KindOf(err) != action.Unreachable || len(over.Result.Findings) == 0 {
		t.Errorf("%+v, %v of kind %q", begun, err, action.KindOf(err))
	}
	if len(a.plans) > 0 {
		t.Error("somebody was asked about a host that could not be looked at")
	}
	untouched(t, s)
}

// addJoined: what is in the way is shown and ends it, whoever says yes; a dry run and a no
// change nothing; a yes stores the document and begins the Operation, and the same again takes it up.
func addJoined(t *testing.T, to *operate.Connection, s *kubetest.Server) {
	o := AddOptions{To: to, Given: clusterOf("cp1", "w1", "w2"), File: "file.yaml", Names: []string{"w2"}, Joined: true}
	no := errors.New("no")
	for name, tc := range map[string]struct {
		change func(*AddOptions)
		answer error
		// steps tells whether what is shown has any.
		steps bool
		want  error
	}{
		"a no":      {change: func(*AddOptions) {}, answer: no, steps: true, want: no},
		"a dry run": {change: func(o *AddOptions) { o.DryRun = true }, steps: true},
	} {
		a := asked{answer: tc.answer}
		o := o
		o.Confirm = a.confirm
		tc.change(&o)
		begun, err := RunAdd(t.Context(), o, report.Discard())
		if begun != nil || !errors.Is(err, tc.want) {
			t.Errorf("%s: %+v, %v", name, begun, err)
		}
		if len(a.plans) != 1 || len(a.plans[0]) != 1 || len(a.plans[0][0].Steps) > 0 != tc.steps {
			t.Errorf("%s: shown was %+v", name, a.plans)
		}
		untouched(t, s)
	}
	objects, err := AddManifests(t.Context(), o)
	if err != nil || len(objects) != 2 || objects[0].GetName() != "addnode-w2" {
		t.Errorf("manifests: %v, %v", objects, err)
	}
	untouched(t, s)
	begun, err := RunAdd(t.Context(), o, noEvents(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, stored := connect(t, s).Stored.Host("w2"); !stored {
		t.Error("it is begun, and the document has no w2")
	}
	again, err := RunAdd(t.Context(), o, noEvents(t))
	if err != nil || again.Name != begun.Name {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	var busy *operations.BusyError
	o.Given, o.Names = clusterOf("cp1", "w1", "w3"), []string{"w3"}
	if _, err := RunAdd(t.Context(), o, noEvents(t)); !errors.As(err, &busy) || busy.Name != begun.Name {
		t.Errorf("another host beside it: %v", err)
	}
}

// TestAddRefused: without a control plane that is heard of none can be added.
func TestAddRefused(t *testing.T) {
	to, s := running(t, silent("cp1"))
	var a asked
	o := AddOptions{To: to, Given: clusterOf("cp1", "w1", "cp2"), File: "file.yaml", Names: []string{"cp2"}, Login: nobody(t), StateDir: stateDir(t), Confirm: a.confirm}
	for name, run := range map[string]func() error{
		"over SSH": func() error { _, err := RunAdd(t.Context(), o, noEvents(t)); return err },
		"joined":   func() error { o := o; o.Joined = true; _, err := RunAdd(t.Context(), o, noEvents(t)); return err },
		"a script": func() error { _, err := NewScript(t.Context(), o); return err },
	} {
		a.plans = nil
		err := run()
		if err == nil || action.KindOf(err) != action.Findings {
			t.Errorf("%s: %v of kind %q", name, err, action.KindOf(err))
		}
		if name != "a script" && (len(a.plans) != 1 || a.plans[0][0].Refused() == nil) {
			t.Errorf("%s: shown was %+v", name, a.plans)
		}
	}
	untouched(t, s)
}

// noEvents fails when anything is begun: no host is logged in to.
func noEvents(t *testing.T) report.Sink {
	return report.SinkFunc(func(e report.Event) { t.Errorf("unexpected: %+v", e) })
}
