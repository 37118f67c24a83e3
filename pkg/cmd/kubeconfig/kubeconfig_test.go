package kubeconfig

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
)

// TestKubeconfigOptions: what contradicts itself is refused, and what is asked for becomes
// the identity that is asked for.
func TestKubeconfigOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		o    kubeconfigOptions
		want string
	}{
		"nothing":            {kubeconfigOptions{}, ""},
		"two places":         {kubeconfigOptions{vip: true, node: "cp1"}, "exclude each other"},
		"two files":          {kubeconfigOptions{merge: ownFiles, output: "x"}, "exclude each other"},
		"too short":          {kubeconfigOptions{duration: time.Minute}, "--duration"},
		"a group of nobody":  {kubeconfigOptions{groups: []string{"dev"}}, "--group is for --user"},
		"a group of ours":    {kubeconfigOptions{user: "alice", groups: []string{"system:masters"}}, "system:"},
		"a user of ours":     {kubeconfigOptions{user: "system:admin"}, "system:"},
		"user and account":   {kubeconfigOptions{user: "alice", adminUser: true}, "exclude each other"},
		"somebody, complete": {kubeconfigOptions{user: "alice", groups: []string{"dev"}, duration: 8 * time.Hour, balanced: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.o.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v instead of %q", err, tc.want)
			}
		})
	}
	o := kubeconfigOptions{user: "alice", groups: []string{"dev"}, name: "prod-cp1", server: "https://10.0.0.1:6443", certUser: "root"}
	if got := o.options(); got.Kind != kubeconfig.KindCertificate || got.User != "alice" || got.Context != "prod-cp1-alice" || got.Cluster != "prod-cp1" || len(got.Groups) != 1 {
		t.Errorf("%+v", got)
	}
	o = kubeconfigOptions{name: "prod", certUser: "root", adminUser: true}
	if got := o.options(); got.Kind != kubeconfig.KindAccount || got.User != "root" || got.Context != "prod" {
		t.Errorf("%+v", got)
	}
}

// TestKubeconfigFileName: a user's name leads out of no directory.
func TestKubeconfigFileName(t *testing.T) {
	for context, want := range map[string]string{"prod": "prod.kubeconfig", "prod-oidc:alice@example.com": "prod-oidc-alice@example.com.kubeconfig", "prod-../../x": "prod-..-..-x.kubeconfig"} {
		if got := fileName(context); got != want {
			t.Errorf("%s: %s", context, got)
		}
	}
}

// TestKubeconfigTellsOfExec: that kubectl won't find the plugin is said.
func TestKubeconfigTellsOfExec(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	tell := func() string {
		var out bytes.Buffer
		o := kubeconfigOptions{exec: true, merge: ownFiles}
		o.Out = &out
		if err := o.tell("merged", &kubeconfig.Issued{Config: clientcmdapi.NewConfig(), Admin: true}, false); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := tell(); !strings.Contains(got, "does not work yet: kubectl looks for the program kubectl-ha") {
		t.Error(got)
	}
	if err := os.WriteFile(filepath.Join(dir, kubeconfig.ExecProgram), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := tell(); strings.Contains(got, "does not work yet") {
		t.Error(got)
	}
}
