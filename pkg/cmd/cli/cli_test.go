package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"

	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

func TestPrintFindings(t *testing.T) {
	finding := func(check string, s report.Severity) report.Finding {
		return report.Finding{Node: "cp1", Check: check, Severity: s, Message: "m", Hint: "h"}
	}
	var b bytes.Buffer
	if err := PrintFindings(&b, report.Style{ASCII: true}, []report.Finding{finding("swap", report.SeverityWarning), finding("ports", report.SeverityError),
		{Node: "cp2", Check: "swap", Severity: report.SeverityWarning, Message: "m", Hint: "h"},
		{Node: "cp2", Check: "swap", Severity: report.SeverityWarning, Message: "another", Hint: "h"},
		{Check: "cluster-file", Severity: report.SeverityWarning, Message: "two etcd members"}}); err != nil {
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
		{ID: "vip/cp1", Host: "cp1", Task: tasks.VIP, Title: "keep the virtual IP", After: []string{"prepare/cp1"}},
		{ID: "join", Task: bootstrap.StepJoin, Title: "hand over to the cluster", After: []string{"prepare/w1"}},
	}}
}

func TestPrintPlan(t *testing.T) {
	c, p := samplePlan()
	var b bytes.Buffer
	if err := PrintPlan(&b, report.Style{ASCII: true}, c, p); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "plan.txt", b.String())
	b.Reset()
	p.Notes = []string{"your own CA for etcd: CN=Example (0123456789abcdef), valid until 2036-01-01"}
	if err := PrintPlan(&b, report.Style{ASCII: true}, c, p); err != nil || !strings.Contains(b.String(), "\n\n  "+p.Notes[0]+"\n\n") {
		t.Errorf("%v: the notes are not above the steps:\n%s", err, b.String())
	}
	if !bootstrap.LeftToMake(p) {
		t.Error("w1 is left to be prepared")
	}
	p.Steps[1].Skip = "they are there"
	if bootstrap.LeftToMake(p) {
		t.Error("nothing is left but what is looked at every time")
	}
}

func TestConfirm(t *testing.T) {
	for answer, yes := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "": false, "yellow\n": false} {
		var out bytes.Buffer
		err := Confirm(context.Background(), strings.NewReader(answer), &out, "Go on?")
		if (err == nil) != yes || out.String() != "Go on? [y/N] " {
			t.Errorf("%q: %v, %q", answer, err, out.String())
		}
		if err != nil && ExitCode(context.Background(), err) != ExitUsage {
			t.Errorf("%q: exit code %d", answer, ExitCode(context.Background(), err))
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrInterrupted)
	r, w := io.Pipe()
	defer func() { _ = errors.Join(r.Close(), w.Close()) }()
	if err := Confirm(ctx, r, &bytes.Buffer{}, "?"); !errors.Is(err, ErrInterrupted) {
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
		"yes or no": func(out io.Writer) error { return Confirm(t.Context(), r, out, "Go on?") },
		"the name":  func(out io.Writer) error { return ConfirmName(t.Context(), r, out, "Its name?", "y") },
	} {
		var out bytes.Buffer
		err := ask(&out)
		if err == nil || !strings.Contains(err.Error(), "--yes") || ExitCode(t.Context(), err) != ExitUsage || out.Len() > 0 {
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
	if err := Askable(terminal); err != nil {
		t.Error(err)
	}
}

func TestStateDir(t *testing.T) {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}, Spec: v1alpha1.ClusterSpec{VirtualIP: "2001:db8::1"}}
	t.Setenv("XDG_STATE_HOME", "/state")
	if got, err := StateDir(c); err != nil || got != "/state/kubectl-ha/lab@2001-db8--1" {
		t.Errorf("%s %v", got, err)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/me")
	if got, err := StateDir(c); err != nil || got != "/home/me/.local/state/kubectl-ha/lab@2001-db8--1" {
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
	if s := StyleFor(&bytes.Buffer{}); s.Color {
		t.Error("colours in what is no terminal")
	}
}

// TestReadOwnCAs: files are relative to the Cluster file, and what is wrong is the caller's to mend.
func TestReadOwnCAs(t *testing.T) {
	dir := t.TempDir()
	pair, err := pki.NewCA("Example", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ca.crt"), pair.CertPEM, 0o644), os.WriteFile(filepath.Join(dir, "ca.key"), pair.KeyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	c := &v1alpha1.Cluster{}
	for name, ca := range map[string]v1alpha1.CA{"relative": {CertFile: "ca.crt", KeyFile: "./ca.key"}, "absolute": {CertFile: filepath.Join(dir, "ca.crt"), KeyFile: filepath.Join(dir, "ca.key")}, "home": {CertFile: "~/ca.crt", KeyFile: "~/ca.key"}} {
		c.Spec.PKI.Etcd = ca
		if own, err := ReadOwnCAs(c, filepath.Join(dir, "cluster.yaml")); err != nil || len(own) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Spec.PKI.Etcd.KeyFile = "gone.key"
	if _, err := ReadOwnCAs(c, filepath.Join(dir, "cluster.yaml")); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "spec.pki.etcd: ") {
		t.Errorf("a file that is gone: %v", err)
	}
}
