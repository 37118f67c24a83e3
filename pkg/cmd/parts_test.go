package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"

	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

func TestAgentSource(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := put("kubectl-ha")
	beside := put("kubectl-ha-agent-linux-arm64")
	source := func(goos, arch string) *agentSource {
		return &agentSource{executable: own, goos: goos, arch: arch, sums: map[string]string{}}
	}
	for _, tc := range []struct {
		goos, arch, hosts, want string
	}{
		{"linux", "amd64", "amd64", own}, {"linux", "amd64", "arm64", beside}, {"darwin", "arm64", "arm64", beside},
		{"darwin", "arm64", "amd64", ""}, {"linux", "amd64", "s390x", ""},
	} {
		got, sum, err := source(tc.goos, tc.arch).Binary(tc.hosts)
		if got != tc.want || (err == nil) != (tc.want != "") || (err == nil) != (len(sum) == 64) {
			t.Errorf("%+v: %q %q %v", tc, got, sum, err)
		}
		if err != nil && !strings.Contains(err.Error(), "kubectl-ha-agent-linux-"+tc.hosts) {
			t.Errorf("the error does not name what is missing: %v", err)
		}
	}
}

// TestAgentsThatAreThere: who creates an Operation needs an agent for all nodes, who looks takes
// what there is.
func TestAgentsThatAreThere(t *testing.T) {
	own := filepath.Join(t.TempDir(), "kubectl-ha")
	if err := os.WriteFile(own, []byte("agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &agentSource{executable: own, goos: "linux", arch: "amd64", sums: map[string]string{}}
	arm := corev1.Node{}
	arm.Status.NodeInfo.Architecture = "arm64"
	nodes := []corev1.Node{{}, arm}
	if got, err := s.Agents(t.Context(), nodes); err == nil || got != nil || !strings.Contains(err.Error(), "kubectl-ha-agent-linux-arm64") {
		t.Errorf("for all: %+v, %v", got, err)
	}
	if got, lacking := s.present(t.Context(), nodes); len(got) != 1 || got[0].Arch != "amd64" || len(got[0].SHA256) != 64 || lacking == nil {
		t.Errorf("those that there are: %+v, %v", got, lacking)
	}
}

// TestAgentIsTheReleases: the program beside this one is the one that was built with it.
func TestAgentIsTheReleases(t *testing.T) {
	dir := t.TempDir()
	own, beside := filepath.Join(dir, "kubectl-ha"), filepath.Join(dir, "kubectl-ha-agent-linux-arm64")
	for _, path := range []string{own, beside} {
		if err := os.WriteFile(path, []byte(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := host.FileSum(beside)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("0a", 32)
	for what, tc := range map[string]struct {
		built map[string]string
		hosts string
		want  string
	}{
		"the same":               {map[string]string{"arm64": sum}, "arm64", ""},
		"another":                {map[string]string{"arm64": other}, "arm64", "is not the one that was built with this program"},
		"no release's":           {nil, "arm64", ""},
		"the running one itself": {map[string]string{"amd64": other}, "amd64", ""},
	} {
		s := &agentSource{executable: own, goos: "linux", arch: "amd64", built: tc.built, sums: map[string]string{}}
		for range 2 {
			// The second answer is remembered, and may not be another.
			_, _, err := s.Binary(tc.hosts)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	got, err := builtAgents("amd64=" + other + ",arm64=" + sum)
	if err != nil || len(got) != 2 || got["amd64"] != other || got["arm64"] != sum {
		t.Errorf("got %v %v", got, err)
	}
	for _, bad := range []string{"amd64", "amd64=", "=" + other, "amd64=" + other + ",", "amd64=" + other[1:]} {
		if _, err := builtAgents(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestBundleName(t *testing.T) {
	base := bundle.CreateOptions{KubernetesVersion: "v1.36.3", NetworkPlugin: v1alpha1.NetworkPluginFlannel}
	name := bundleName(base)
	if !strings.HasPrefix(name, "v1.36.3-amd64-") || name != bundleName(base) {
		t.Errorf("got %s", name)
	}
	withOrder := func(images ...string) string {
		o := base
		o.ExtraImages = images
		return bundleName(o)
	}
	if withOrder("a", "b") != withOrder("b", "a") || withOrder("a") == name {
		t.Error("extra images count, their order does not")
	}
	for what, change := range map[string]func(*bundle.CreateOptions){
		"arch":   func(o *bundle.CreateOptions) { o.Arch = "arm64" },
		"mirror": func(o *bundle.CreateOptions) { o.Mirror = "http://m" },
		"plugin": func(o *bundle.CreateOptions) { o.NetworkPlugin = v1alpha1.NetworkPluginNone },
		"etcd":   func(o *bundle.CreateOptions) { o.EtcdVersion = "v3.5.99" },
	} {
		o := base
		change(&o)
		if bundleName(o) == name {
			t.Errorf("%s makes no difference", what)
		}
	}
}

func TestFindingsDecideOnTheExitCode(t *testing.T) {
	finding := func(check string, s bootstrap.Severity) bootstrap.Finding {
		return bootstrap.Finding{Host: "cp1", Check: check, Severity: s, Message: "m", Hint: "h"}
	}
	for _, tc := range []struct {
		found []bootstrap.Finding
		want  int
	}{
		{nil, ExitOK},
		{[]bootstrap.Finding{finding("swap", bootstrap.Warning)}, ExitOK},
		{[]bootstrap.Finding{finding("ports", bootstrap.Error)}, ExitFindings},
		{[]bootstrap.Finding{finding("ports", bootstrap.Error), finding("connection", bootstrap.Error)}, ExitUnreachable},
	} {
		if got := exitCode(context.Background(), findingsError(tc.found)); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.found, got, tc.want)
		}
	}
	var b bytes.Buffer
	if err := printFindings(&b, report.Style{ASCII: true}, []bootstrap.Finding{finding("swap", bootstrap.Warning), finding("ports", bootstrap.Error),
		{Host: "cp2", Check: "swap", Severity: bootstrap.Warning, Message: "m", Hint: "h"},
		{Host: "cp2", Check: "swap", Severity: bootstrap.Warning, Message: "another", Hint: "h"},
		{Check: "cluster-file", Severity: bootstrap.Warning, Message: "two etcd members"}}); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "findings.txt", b.String())
}

func samplePlan() (*v1alpha1.Cluster, plan.Plan) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: "192.0.2.10", Hosts: []v1alpha1.Host{
		{Name: "cp1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}}}}
	c.SetDefaults()
	return c, plan.Plan{Steps: []plan.Step{
		{ID: "prepare/cp1", Host: "cp1", Task: "prepare", Title: "install binaries and images", Skip: "they are there"},
		{ID: "prepare/w1", Host: "w1", Task: "prepare", Title: "install binaries and images"},
		{ID: "vip/cp1", Host: "cp1", Task: taskVIP, Title: "keep the virtual IP", After: []string{"prepare/cp1"}},
		{ID: "join", Task: bootstrap.StepJoin, Title: "hand over to the cluster", After: []string{"prepare/w1"}},
	}}
}

func TestPrintPlan(t *testing.T) {
	c, p := samplePlan()
	var b bytes.Buffer
	if err := printPlan(&b, report.Style{ASCII: true}, c, p); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "plan.txt", b.String())
	if !leftToMake(p) {
		t.Error("w1 is left to be prepared")
	}
	p.Steps[1].Skip = "they are there"
	if leftToMake(p) {
		t.Error("nothing is left but what is looked at every time")
	}
}

func TestPrintOperations(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := func(s int) *metav1.Time { t := metav1.NewTime(now.Add(time.Duration(s) * time.Second)); return &t }
	op := v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Paused: true}}
	op.Name, op.CreationTimestamp = "join-x7k2p", *at(-90)
	op.Status = v1alpha1.OperationStatus{Phase: v1alpha1.OperationRunning, Progress: "1/3", Message: "promoting cp2\nmore", Coordinator: "c-1",
		Steps: []v1alpha1.StepStatus{
			{ID: "upload", Title: "upload certificates", State: v1alpha1.StepSucceeded, StartedAt: at(-80), FinishedAt: at(-77)},
			{ID: "promote/cp2", Title: "promote", State: v1alpha1.StepFailed, StartedAt: at(-70), FinishedAt: at(-10), Message: "cp2: no room\nnext: free some"},
			{ID: "labels", Title: "label nodes", State: v1alpha1.StepPending},
		}}
	var b bytes.Buffer
	if err := errors.Join(printOperations(&b, []v1alpha1.Operation{op}, now), printOperations(&b, nil, now),
		printOperation(&b, report.Style{ASCII: true}, op, now)); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "operations.txt", b.String())
}

func TestConfirm(t *testing.T) {
	for answer, yes := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "": false, "yellow\n": false} {
		var out bytes.Buffer
		err := confirm(context.Background(), strings.NewReader(answer), &out, "Go on?")
		if (err == nil) != yes || out.String() != "Go on? [y/N] " {
			t.Errorf("%q: %v, %q", answer, err, out.String())
		}
		if err != nil && exitCode(context.Background(), err) != ExitUsage {
			t.Errorf("%q: exit code %d", answer, exitCode(context.Background(), err))
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrInterrupted)
	r, w := io.Pipe()
	defer func() { _ = errors.Join(r.Close(), w.Close()) }()
	if err := confirm(ctx, r, &bytes.Buffer{}, "?"); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}

// TestNobodyIsAskedWithoutATerminal: a pipe with a yes in it is no person.
func TestNobodyIsAskedWithoutATerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(r.Close(), w.Close()) }()
	if _, err := w.WriteString("y\n"); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(io.Writer) error{
		"yes or no": func(out io.Writer) error { return confirm(t.Context(), r, out, "Go on?") },
		"the name":  func(out io.Writer) error { return confirmName(t.Context(), r, out, "Its name?", "y") },
	} {
		var out bytes.Buffer
		err := ask(&out)
		if err == nil || !strings.Contains(err.Error(), "--yes") || exitCode(t.Context(), err) != ExitUsage || out.Len() > 0 {
			t.Errorf("%s: %v, %q", name, err, out.String())
		}
	}
}

// TestTerminalsAreAsked: a pseudo-terminal is one.
func TestTerminalsAreAsked(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminal here: ", err)
	}
	defer terminal.Close() //nolint:errcheck // only asked what it is
	if err := askable(terminal); err != nil {
		t.Error(err)
	}
}

func TestStateDir(t *testing.T) {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}, Spec: v1alpha1.ClusterSpec{VirtualIP: "2001:db8::1"}}
	t.Setenv("XDG_STATE_HOME", "/state")
	if got, err := stateDir(c); err != nil || got != "/state/kubectl-ha/lab@2001-db8--1" {
		t.Errorf("%s %v", got, err)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/me")
	if got, err := stateDir(c); err != nil || got != "/home/me/.local/state/kubectl-ha/lab@2001-db8--1" {
		t.Errorf("%s %v", got, err)
	}
}

func TestLocaleAndColour(t *testing.T) {
	for _, tc := range []struct {
		all, lang string
		want      bool
	}{{"", "", true}, {"C", "en_US.UTF-8", false}, {"", "POSIX", false}, {"C.UTF-8", "", true}, {"", "de_DE", true}} {
		t.Setenv("LC_ALL", tc.all)
		t.Setenv("LC_CTYPE", "")
		t.Setenv("LANG", tc.lang)
		if got := utf8Locale(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	if s := styleFor(&bytes.Buffer{}); s.Color {
		t.Error("colours in what is no terminal")
	}
}
