//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestKubeconfigVerb: by the cluster's own file, over SSH without any file,
// and merged into an existing one: it works, is 0600 and names the cluster.
func TestKubeconfigVerb(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	for name, args := range map[string][]string{
		"by kubeconfig": {"kubeconfig", "--vip", "--kubeconfig", c.kubeconfig},
		"over SSH":      {"kubeconfig", "--vip", "-f", c.file},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "new.kubeconfig")
			r := c.ha(t, suiteDeadline, append(args, "--out", out)...)
			if r.code != 0 {
				t.Fatal(r)
			}
			if !strings.Contains(r.stdout+r.stderr, "expires") {
				t.Errorf("the expiry is not told: %s", r)
			}
			info, err := os.Stat(out)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", info, err)
			}
			checkAccess(t, c, out)
		})
	}
	t.Run("merged", func(t *testing.T) {
		into := filepath.Join(t.TempDir(), "config")
		const other = "apiVersion: v1\nkind: Config\nclusters:\n- name: other\n  cluster: {server: https://other.example:6443}\ncontexts:\n- name: other\n  context: {cluster: other, user: other}\nusers:\n- name: other\n  user: {token: other}\ncurrent-context: other\n"
		if err := os.WriteFile(into, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), suiteDeadline)
		defer cancel()
		argv := append([]string{"env", "KUBECONFIG=" + into}, c.haArgv("kubeconfig", "--vip", "-f", c.file, "--merge")...)
		r, err := command(ctx, c.dir, nil, argv...)
		if err != nil || r.code != 0 {
			t.Fatalf("%v %s", err, r)
		}
		got, err := clientcmd.LoadFromFile(into)
		if err != nil || got.Contexts["other"] == nil || got.AuthInfos["other"].Token != "other" || got.Contexts[c.name] == nil {
			t.Fatalf("%v %+v", err, got)
		}
	})
}

func checkAccess(t *testing.T, c *cluster, path string) {
	t.Helper()
	file, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	context0 := file.Contexts[file.CurrentContext]
	if file.CurrentContext != c.name || context0 == nil || file.Clusters[context0.Cluster].Server != "https://"+c.vip+":6443" {
		t.Errorf("context %q, %+v", file.CurrentContext, file.Clusters)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := client.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		t.Error(err)
	}
}

// operationWithSteps is what TestOperationVerbs reads of an Operation.
type operationWithSteps struct {
	Metadata struct{ Name string }
	Status   struct {
		Phase string
		Steps []struct{ ID string }
	}
}

// TestOperationVerbs: the newest Operation that has succeeded can be listed and shown,
// by our verb and by kubectl. Which one that is depends on the tests before: of those that
// have ended only some are kept.
func TestOperationVerbs(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	var list struct{ Items []operationWithSteps }
	asJSON := c.ha(t, suiteDeadline, "operation", "list", "--kubeconfig", c.kubeconfig, "-o", "json")
	if err := json.Unmarshal([]byte(asJSON.stdout), &list); asJSON.code != 0 || err != nil {
		t.Fatalf("%v: %s", err, asJSON)
	}
	slices.Reverse(list.Items)
	newest := slices.IndexFunc(list.Items, func(i operationWithSteps) bool { return i.Status.Phase == "Succeeded" })
	if newest < 0 {
		t.Fatalf("none has succeeded: %s", asJSON)
	}
	op := list.Items[newest]
	name := op.Metadata.Name
	byKubectl := c.run(t, "kubectl", "--", "--kubeconfig", c.kubeconfig, "get", "operations")
	if !strings.Contains(byKubectl, name) || !strings.Contains(byKubectl, "PROGRESS") {
		t.Error(byKubectl)
	}
	if shown := c.ha(t, suiteDeadline, "operation", "list", "--kubeconfig", c.kubeconfig); shown.code != 0 || !strings.Contains(shown.stdout, name) {
		t.Error(shown)
	}
	show := c.ha(t, suiteDeadline, "operation", "show", name, "--kubeconfig", c.kubeconfig)
	if show.code != 0 || len(op.Status.Steps) == 0 {
		t.Error(show)
	}
	for _, step := range op.Status.Steps {
		if !strings.Contains(show.stdout, step.ID) {
			t.Errorf("%s is not shown: %s", step.ID, show)
		}
	}
	for _, verb := range []string{"pause", "abort", "resume"} {
		r := c.ha(t, suiteDeadline, "operation", verb, name, "--kubeconfig", c.kubeconfig)
		if r.code == 0 {
			t.Errorf("%s of an Operation that has ended: %s", verb, r)
		}
	}
	watch := c.ha(t, suiteDeadline, "operation", "watch", name, "--kubeconfig", c.kubeconfig)
	if watch.code != 0 {
		t.Error(watch)
	}
}
