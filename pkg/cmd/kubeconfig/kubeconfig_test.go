package kubeconfig

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
)

// TestWhereItGoes: --merge and --out become what the action knows, or a mistake.
func TestWhereItGoes(t *testing.T) {
	for name, tc := range map[string]struct {
		merge, output string
		file, merged  string
		noFile        bool
		says          string // empty: it is right
	}{
		"nothing":         {},
		"a file":          {output: "x", file: "x"},
		"standard output": {output: "-", noFile: true},
		"my files":        {merge: ownFiles},
		"into one":        {merge: "x", merged: "x"},
		"both":            {merge: ownFiles, output: "x", says: "mutually exclusive"},
		"both, unwritten": {merge: "x", output: "-", says: "mutually exclusive"},
	} {
		o := options{merge: tc.merge, output: tc.output, flags: cli.NewAccess()}
		if err := o.Complete(&cobra.Command{}); err != nil {
			t.Fatal(err)
		}
		if err := o.Validate(); (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		if tc.says != "" {
			continue
		}
		if o.File != tc.file || o.NoFile != tc.noFile || (o.Merge != nil) != (tc.merge != "") || o.Merge != nil && o.Merge.LoadingRules.ExplicitPath != tc.merged {
			t.Errorf("%s: %+v", name, o.IssueOptions)
		}
	}
}

// TestTell: what was made, for whom, and what to do next.
func TestTell(t *testing.T) {
	config := clientcmdapi.NewConfig()
	config.CurrentContext = "prod-alice"
	issued := &kubeconfig.Issued{Config: config, Identity: "user alice (client certificate)", Expires: time.Now().Add(8 * time.Hour)}
	for name, tc := range map[string]struct {
		o      options
		r      access.IssueResult
		onErr  bool
		says   []string
		unsaid []string
	}{
		"a file": {options{IssueOptions: access.IssueOptions{User: "alice"}}, access.IssueResult{File: "prod-alice.kubeconfig", Server: "https://192.0.2.9:6443", Far: true}, false,
			[]string{"prod-alice.kubeconfig written", "context prod-alice at https://192.0.2.9:6443, user alice", "in 8 hours", "cannot reach https://192.0.2.9:6443", "rolebinding alice-view --clusterrole view --user alice", "export KUBECONFIG=/"}, nil},
		"standard output": {options{IssueOptions: access.IssueOptions{User: "alice", Groups: []string{"devs"}, NoFile: true}}, access.IssueResult{}, true,
			[]string{"written to standard output", "--group devs"}, []string{"export", "cannot reach"}},
		"merged": {options{merge: ownFiles}, access.IssueResult{Merged: &kubeconfig.Merged{File: "/c", Backups: []string{"/c.bak"}, Kept: []string{"proxy-url of the cluster prod"}}}, false,
			[]string{"merged into /c; previous file: /c.bak\nkept from the previous file: proxy-url of the cluster prod\n"}, []string{"export"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			tc.o.Out, tc.o.ErrOut, tc.r.Issued = &out, &errOut, issued
			if err := tc.o.tell(tc.r); err != nil {
				t.Fatal(err)
			}
			got, other := out.String(), errOut.String()
			if tc.onErr {
				got, other = other, got
			}
			if other != "" {
				t.Errorf("besides: %s", other)
			}
			for _, s := range tc.says {
				if !strings.Contains(got, s) {
					t.Errorf("no %q in\n%s", s, got)
				}
			}
			for _, s := range tc.unsaid {
				if strings.Contains(got, s) {
					t.Errorf("%q is in\n%s", s, got)
				}
			}
		})
	}
}

// TestTellsOfExec: that kubectl won't find the plugin is said.
func TestTellsOfExec(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	tell := func() string {
		var out bytes.Buffer
		o := options{IssueOptions: access.IssueOptions{Exec: true}}
		o.Out = &out
		if err := o.tell(access.IssueResult{Issued: &kubeconfig.Issued{Config: clientcmdapi.NewConfig(), Admin: true}, Merged: &kubeconfig.Merged{}}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := tell(); !strings.Contains(got, "does not work yet: kubectl needs the program kubectl-ha") {
		t.Error(got)
	}
	if err := os.WriteFile(filepath.Join(dir, kubeconfig.ExecProgram), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := tell(); strings.Contains(got, "does not work yet") {
		t.Error(got)
	}
}
