package upgrade

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/bundletest"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// usual are options that nothing is wrong with.
func usual() Options {
	return Options{Spec: v1alpha1.UpgradeSpec{Version: "v1.36.3", MaxUnavailable: "1", DrainTimeout: "10m", KeepBackups: 2}}
}

func TestCheck(t *testing.T) {
	for what, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"nothing":                    {func(*Options) {}, ""},
		"no drain timeout":           {func(o *Options) { o.Spec.DrainTimeout = "" }, ""},
		"what can be":                {func(o *Options) { o.Spec.Ignore, o.Spec.Only = upgrade.Ignorable(), v1alpha1.UpgradeNodes }, ""},
		"a bundle and trust":         {func(o *Options) { o.File, o.Trust.Digest = "b.tar", "sha256:x" }, ""},
		"trust in nothing":           {func(o *Options) { o.Trust.Digest = "sha256:x" }, "specify it with --bundle"},
		"another part":               {func(o *Options) { o.Spec.Only = "etcd" }, "unknown value --only etcd"},
		"no time":                    {func(o *Options) { o.Spec.DrainTimeout = "0s" }, "--drain-timeout must be greater than 0"},
		"time that has been":         {func(o *Options) { o.Spec.DrainTimeout = "-1s" }, "must be greater than 0"},
		"what is no time":            {func(o *Options) { o.Spec.DrainTimeout = "soon" }, "must be greater than 0"},
		"no backup":                  {func(o *Options) { o.Spec.KeepBackups = 0 }, "must be at least 1"},
		"no worker at a time":        {func(o *Options) { o.Spec.MaxUnavailable = "0" }, "--max-unavailable"},
		"a part may fail":            {func(o *Options) { o.Spec.MaxFailures, o.Spec.By = "1%", "topology.kubernetes.io/zone" }, ""},
		"less than none may fail":    {func(o *Options) { o.Spec.MaxFailures = "-1" }, "--max-failures"},
		"no label":                   {func(o *Options) { o.Spec.By = "a zone" }, "--by a zone: no name of a label"},
		"skew is no matter of taste": {func(o *Options) { o.Spec.Ignore = []string{upgrade.CheckDisk, upgrade.CheckSkew} }, "--ignore skew: this check cannot be ignored"},
	} {
		o := usual()
		tc.change(&o)
		err := Check(o)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]string{"": "", "1.36.3": "v1.36.3", "v1.36.3": "v1.36.3"} {
		if got := Version(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

// TestBundleIsTheVersions: one for another version is refused before the cluster is asked.
func TestBundleIsTheVersions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "images.tar")
	bundletest.Create(t, file, "example.com/team/a:v1")
	o := usual()
	o.File = file
	if _, err := o.contents(); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "not v1.36.3") {
		t.Errorf("of images only: %v", err)
	}
	o.Trust = bundles.Trust{Digest: "sha256:" + strings.Repeat("0a", 32)}
	if _, err := o.contents(); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "0a0a") {
		t.Errorf("another bundle: %v", err)
	}
	o = usual()
	if c, err := o.contents(); c != nil || err != nil {
		t.Errorf("none: %v, %v", c, err)
	}
}

func TestWantedImages(t *testing.T) {
	c := &v1alpha1.Cluster{}
	c.SetDefaults()
	mixed := &bundle.Contents{Platforms: []string{"amd64", "arm64"}, Images: []bundle.Image{{Ref: "r/a:1", Arch: "amd64"}, {Ref: "r/b:1", Arch: "arm64"}}}
	for what, tc := range map[string]struct {
		archs []string
		has   *bundle.Contents
		want  string
	}{
		"the bundle's":               {[]string{"arm64"}, mixed, "r/b:1"},
		"of a cluster without nodes": {nil, mixed, ""},
	} {
		got, err := wantedImages(c, "v1.36.3", tc.archs, tc.has)
		if err != nil || (len(got) == 1) != (tc.want != "") || len(got) == 1 && got[0].Ref != tc.want {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	got, err := wantedImages(c, "v1.36.3", []string{"amd64"}, nil)
	if err != nil || !slices.ContainsFunc(got, func(i v1alpha1.PushedImage) bool { return strings.HasSuffix(i.Ref, "/kube-apiserver:v1.36.3") }) {
		t.Errorf("those that kubeadm names: %+v, %v", got, err)
	}
}

func TestOnlyArch(t *testing.T) {
	if got, err := onlyArch([]string{"arm64"}); got != "arm64" || err != nil {
		t.Errorf("one: %q, %v", got, err)
	}
	if _, err := onlyArch([]string{"amd64", "arm64"}); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "bundle create --arch amd64,arm64") {
		t.Errorf("two: %v", err)
	}
}

func TestRunning(t *testing.T) {
	got := running(upgrade.Versions{APIServers: map[string]string{"cp1": "v1.36.10", "cp2": "v1.36.9"}, Kubelets: map[string]string{"cp1": "v1.36.9", "w1": ""}})
	if want := []string{"", "v1.36.9", "v1.36.10"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := running(upgrade.Versions{}); got == nil || len(got) > 0 {
		t.Errorf("nothing is %#v, and no list in JSON", got)
	}
}

func TestCompareVersions(t *testing.T) {
	order := []string{"", "unknown", "v1.9.12", "v1.36.9", "v1.36.10-rc.0", "v1.36.10", "v1.37.0"}
	for i, a := range order {
		for j, b := range order {
			if got := compareVersions(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%q to %q: %d", a, b, got)
			}
		}
	}
}

// TestSecond: what is in progress, and changes versions, is in the way; what has failed is not.
func TestSecond(t *testing.T) {
	op := func(phase v1alpha1.OperationPhase, spec v1alpha1.OperationSpec) v1alpha1.Operation {
		out := v1alpha1.Operation{Spec: spec}
		out.Name, out.Status.Phase = "other", phase
		return out
	}
	up, back := v1alpha1.OperationSpec{Upgrade: &v1alpha1.UpgradeSpec{}}, v1alpha1.OperationSpec{RollbackNode: &v1alpha1.RollbackNodeSpec{}}
	for what, tc := range map[string]struct {
		op   v1alpha1.Operation
		busy bool
	}{
		"an upgrade":          {op(v1alpha1.OperationRunning, up), true},
		"a paused one":        {op(v1alpha1.OperationPaused, up), true},
		"one not begun":       {op("", up), true},
		"a node's way back":   {op(v1alpha1.OperationRunning, back), true},
		"a failed upgrade":    {op(v1alpha1.OperationFailed, up), false},
		"one that is done":    {op(v1alpha1.OperationSucceeded, up), false},
		"images on their way": {op(v1alpha1.OperationRunning, v1alpha1.OperationSpec{Images: &v1alpha1.ImagesSpec{}}), false},
	} {
		err := second([]v1alpha1.Operation{op(v1alpha1.OperationSucceeded, up), tc.op})
		var busy *operations.BusyError
		if errors.As(err, &busy) != tc.busy || (err != nil) != tc.busy {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestKeptVersion(t *testing.T) {
	kept := map[string]string{upgrade.AnnotationPrevious: "v1.36.1"}
	for what, tc := range map[string]struct {
		to          string
		annotations map[string]string
		want        string
	}{
		"the one before":     {"", kept, "v1.36.1"},
		"a named one":        {"1.36.0", kept, "v1.36.0"},
		"one without a sign": {"v1.36.0", nil, "v1.36.0"},
		"nothing is known":   {"", nil, ""},
	} {
		got, err := keptVersion(RollbackOptions{Node: "w1", To: tc.to}, tc.annotations)
		if got != tc.want || (err == nil) != (tc.want != "") || err != nil && action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// TestBlocks: what is ignored does not stand in the way, and is told all the same.
func TestBlocks(t *testing.T) {
	disk, skew, note := upgrade.Finding{Check: upgrade.CheckDisk, Blocks: true}, upgrade.Finding{Check: upgrade.CheckSkew, Blocks: true}, upgrade.Finding{Check: upgrade.CheckImages}
	p := &Plan{Findings: []upgrade.Finding{disk, note}, Ignored: []string{upgrade.CheckDisk}}
	if p.Blocks(disk) || p.Blocks(note) || !p.Blocks(skew) || p.Err() != nil {
		t.Errorf("what is ignored: %v", p.Err())
	}
	p.Findings = append(p.Findings, skew)
	if err := p.Err(); action.KindOf(err) != action.Findings || err.Error() != "1 blocking issue; nothing was changed" {
		t.Errorf("got %v", err)
	}
	r := &Rollback{Node: "w1", To: "v1.36.0", Findings: []upgrade.Finding{note}}
	if r.Err() != nil {
		t.Errorf("a note is in the way: %v", r.Err())
	}
	r.Findings = append(r.Findings, skew)
	if err := r.Err(); action.KindOf(err) != action.Findings || !strings.Contains(err.Error(), "w1 cannot be rolled back to v1.36.0") {
		t.Errorf("got %v", err)
	}
}

// TestWhileAnotherIsInProgress asks a real API server: a second upgrade is refused, looking at
// what it would do is not, and neither writes anything.
func TestWhileAnotherIsInProgress(t *testing.T) {
	s := kubetest.Start(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := &v1alpha1.Cluster{}
	c.Metadata.Name, c.Spec.KubernetesVersion, c.Spec.VirtualIP = "test", "v1.35.4", "127.0.79.100"
	c.Spec.Hosts = []v1alpha1.Host{{Name: "cp1", Address: "127.0.79.11", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}
	c.SetDefaults()
	_, err := incluster.Install(t.Context(), s.Config, c)
	must(err)
	clients, err := client.New(s.Config)
	must(err)
	_, err = clients.Kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1",
		Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}}, metav1.CreateOptions{})
	must(err)
	_, err = clients.Kube.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm-config"},
		Data: map[string]string{"ClusterConfiguration": "kubernetesVersion: v1.35.4\n"}}, metav1.CreateOptions{})
	must(err)
	o := usual()
	o.Config, o.Clients, o.Cluster = s.Config, clients, c
	back := RollbackOptions{Config: s.Config, Clients: clients, Cluster: c, Node: "cp1"}
	if p, err := PlanUpgrade(t.Context(), o, report.Discard()); err != nil || p.OK || action.KindOf(p.Err()) != action.Findings {
		t.Fatalf("of a node that tells nothing: %+v, %v", p, err)
	}
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	must(err)
	_, err = ops.Create(t.Context(), v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &v1alpha1.UpgradeSpec{Version: "v1.36.3"}})
	must(err)
	var busy *operations.BusyError
	if p, err := PlanUpgrade(t.Context(), o, report.Discard()); !errors.As(err, &busy) {
		t.Errorf("a second one: %+v, %v", p, err)
	}
	o.Look = true
	if p, err := PlanUpgrade(t.Context(), o, report.Discard()); err != nil || p.Version != "v1.36.3" {
		t.Errorf("a look at it: %+v, %v", p, err)
	}
	for what, change := range map[string]func(*RollbackOptions){
		"nothing is kept": func(*RollbackOptions) {},
		"no such node":    func(o *RollbackOptions) { o.Node, o.To = "w9", "v1.35.4" },
	} {
		one := back
		change(&one)
		if p, err := PlanRollback(t.Context(), one); action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
	if all, err := ops.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("there are %d Operations, %v", len(all), err)
	}
}
