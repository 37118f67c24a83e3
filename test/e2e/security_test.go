//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestKeysArePrivate: every private key on every host, found by its content
// and not by its name, is 0600 and belongs to root or to etcd.
func TestKeysArePrivate(t *testing.T) {
	c := sharedCluster(t)
	for _, h := range c.names() {
		found := c.try(t, h, nil, "grep", "-rlsE", "--exclude-dir=containerd", "--exclude-dir=kubelet/pods", "BEGIN ([A-Z]+ )?PRIVATE KEY|client-key-data:", "/etc", "/var/lib/kubectl-ha", "/var/lib/kubelet/pki", "/root", "/usr/local", "/opt", "/tmp", "/var/tmp", "/home")
		keys := strings.Fields(found.stdout)
		if h != "w1" && len(keys) < 5 {
			t.Errorf("%s: only %d keys found, the search itself is broken: %s", h, len(keys), found)
		}
		seen := strings.Split(strings.TrimSpace(c.exec(t, h, append([]string{"stat", "-L", "-c", "%a %U"}, keys...)...)), "\n")
		if len(seen) != len(keys) {
			t.Fatalf("%s: %d keys, but %d answers", h, len(keys), len(seen))
		}
		for i, k := range keys {
			if seen[i] != "600 root" && seen[i] != "600 etcd" {
				t.Errorf("%s: %s is %s", h, k, seen[i])
			}
			if strings.HasPrefix(k, "/tmp") || strings.HasPrefix(k, "/var/tmp") || strings.HasPrefix(k, "/home") {
				t.Errorf("%s: a key was left in %s", h, k)
			}
		}
	}
}

// TestEtcdCAKeyOnNoMember: the key's own bytes, which the workstation has, are
// in no file of any host.
func TestEtcdCAKeyOnNoMember(t *testing.T) {
	c := sharedCluster(t)
	// One folder for each cluster, named after it and its address.
	keys, err := filepath.Glob(filepath.Join(c.dir, "state", "kubectl-ha", c.name+"@"+c.vip, "*", "ca.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("the etcd CA's key on the workstation: %v %v", keys, err)
	}
	info, err := os.Stat(keys[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v %v", keys[0], info.Mode(), err)
	}
	pem, err := os.ReadFile(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Split(string(pem), "\n")[1]
	for _, h := range c.names() {
		r := c.try(t, h, []byte(body), "grep", "-rlsF", "-f", "-", "/etc", "/var/lib/etcd", "/var/lib/kubectl-ha", "/var/lib/kubelet", "/root", "/home", "/tmp", "/var/tmp", "/run/kubectl-ha")
		if strings.TrimSpace(r.stdout) != "" {
			t.Errorf("%s has the etcd CA's key in %s", h, r.stdout)
		}
	}
	// The same search finds what is there: a member's own key.
	h := c.names("control-plane")[0]
	own := strings.Split(c.exec(t, h, "cat", "/etc/etcd/pki/server.key"), "\n")[1]
	if r := c.try(t, h, []byte(own), "grep", "-rlsF", "-f", "-", "/etc"); !strings.Contains(r.stdout, "/etc/etcd/pki/server.key") {
		t.Errorf("the search does not find a key that is there: %s", r)
	}
}

// TestEtcdRefusesStrangers: neither plain HTTP nor TLS without a certificate gets an answer.
func TestEtcdRefusesStrangers(t *testing.T) {
	c := sharedCluster(t)
	for _, h := range c.cached.Hosts {
		if h.Role != "control-plane" {
			continue
		}
		for _, port := range []string{"2379", "2380"} {
			tls := c.try(t, "w1", nil, "curl", "-sk", "--max-time", "5", "https://"+h.Address+":"+port+"/version")
			plain := c.try(t, "w1", nil, "curl", "-s", "--max-time", "5", "http://"+h.Address+":"+port+"/version")
			if tls.code == 0 || plain.code == 0 {
				t.Errorf("%s:%s answered a stranger: %s %s", h.Name, port, tls, plain)
			}
		}
		if r := c.etcdctl(t, h.Name, "endpoint", "health"); r.code != 0 {
			t.Errorf("with a certificate it must answer: %s", r)
		}
	}
}

// TestNoSecretsInSight: no key, token or certificate key in the hosts'
// journals, in the ledger, in Operations, in events or in the Jobs' logs and arguments.
func TestNoSecretsInSight(t *testing.T) {
	c := sharedCluster(t)
	ctx := context.Background()
	// A bootstrap token by its form, a key by its armour, kubeadm's certificate key by flag or field.
	// The end of metrics-server.18ea753d13d26a81, as events are named, is no token.
	const secret = `BEGIN [A-Z ]*PRIVATE KEY|(^|[^-a-z0-9])[a-z0-9]{6}\.[a-z0-9]{16}\b|certificate-?[kK]ey["=: ]+[0-9a-f]{64}`
	for _, h := range c.names() {
		// The searches find what is there, so that finding nothing says something.
		if r := c.try(t, h, nil, "journalctl", "--no-pager", "-q", "-g", `\bkubelet\b`, "-n", "1"); strings.TrimSpace(r.stdout) == "" {
			t.Errorf("%s: its journal can't be searched: %s", h, r)
		}
		if r := c.try(t, h, nil, "grep", "-rlsE", `"(create|run)"`, "/var/lib/kubectl-ha/ledger.jsonl"); strings.TrimSpace(r.stdout) == "" {
			t.Errorf("%s: its ledger can't be searched: %s", h, r)
		}
		for _, argv := range [][]string{
			{"journalctl", "--no-pager", "-q", "-g", secret},
			{"grep", "-rlsE", secret, "/var/lib/kubectl-ha/ledger.jsonl", "/var/log/pods"},
		} {
			if r := c.try(t, h, nil, argv...); strings.TrimSpace(r.stdout) != "" {
				t.Errorf("%s: %v shows %s", h, argv, r.stdout)
			}
		}
	}
	// What the bootstrap itself printed, all runs together.
	if r, err := command(ctx, "", []byte(c.printed), "grep", "-nE", secret); err != nil || r.code == 0 || len(c.printed) < 1000 {
		t.Errorf("what was printed (%d bytes): %v %s", len(c.printed), err, r.stdout)
	}
	for _, what := range []string{"operations.kubectl-ha.dev", "events", "jobs", "pods"} {
		out := must(t, suiteDeadline, c.argv("kubectl", "--", "--kubeconfig", c.kubeconfig, "get", what, "-A", "-o", "yaml")...)
		if len(out) < 100 {
			t.Errorf("%s: nothing to search in: %s", what, out)
		}
		f := filepath.Join(t.TempDir(), "all.yaml")
		if err := os.WriteFile(f, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := command(ctx, "", nil, "grep", "-nE", secret, f)
		if err != nil || r.code == 0 {
			t.Errorf("%s: %v %s", what, err, r.stdout)
		}
	}
}

// TestNodeJobsHaveNoToken: node Jobs are pinned, privileged, and carry no
// service-account token; nothing privileged of ours stands when no Operation runs.
// A Job goes when its task has ended well, so they are looked at as they come.
func TestNodeJobsHaveNoToken(t *testing.T) {
	c := sharedCluster(t)
	ctx := context.Background()
	made, err := c.client.BatchV1().Jobs("ha-system").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.health(t, "--deep") // A task on each node.
	seen := 0
	for late := time.After(time.Minute); seen < len(c.names()); {
		var j *batchv1.Job
		select {
		case e := <-made.ResultChan():
			if j, _ = e.Object.(*batchv1.Job); e.Type != watch.Added || j == nil {
				continue
			}
		case <-late:
			t.Fatalf("only %d node Jobs were seen", seen)
		}
		spec := j.Spec.Template.Spec
		if spec.NodeName == "" {
			if privileged(*j) {
				t.Errorf("the coordinator's Job %s is privileged", j.Name)
			}
			continue
		}
		seen++
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("Job %s has a service-account token", j.Name)
		}
		if j.Spec.ActiveDeadlineSeconds == nil || spec.PriorityClassName != "system-node-critical" {
			t.Errorf("Job %s: deadline %v, priority %q", j.Name, j.Spec.ActiveDeadlineSeconds, spec.PriorityClassName)
		}
	}
	made.Stop()
	eventually(t, time.Minute, "no pod runs in ha-system", func() (bool, string) {
		pods, err := c.client.CoreV1().Pods("ha-system").List(ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		return err == nil && len(pods.Items) == 0, fmt.Sprintf("%d pods, %v", len(pods.Items), err)
	})
}

func privileged(j batchv1.Job) bool {
	for _, x := range j.Spec.Template.Spec.Containers {
		if x.SecurityContext != nil && x.SecurityContext.Privileged != nil && *x.SecurityContext.Privileged {
			return true
		}
	}
	return false
}

// TestAnotherClustersHosts: a workstation that has another etcd CA, or none, for a cluster of
// this name and address does not take these hosts apart.
func TestAnotherClustersHosts(t *testing.T) {
	c := sharedCluster(t)
	folders, err := filepath.Glob(filepath.Join(c.dir, "state", "kubectl-ha", c.name+"@*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("the state directory: %v, %v", folders, err)
	}
	none, another := t.TempDir(), t.TempDir()
	store, err := pki.OpenStore(filepath.Join(another, "kubectl-ha", filepath.Base(folders[0])))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.CA(t.Context(), "etcd", "another"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		state string
		flags []string
		code  int
		says  string
	}{
		{another, nil, 3, "another cluster that is called"},
		{another, []string{"--unidentified"}, 3, "another cluster that is called"},
		{none, nil, 3, "--unidentified"},
		{none, []string{"--unidentified", "--dry-run"}, 0, ""},
	} {
		args := append([]string{"uninstall", "-f", c.file, "--yes", "--no-snapshot"}, tc.flags...)
		argv := c.haArgv(args...)
		argv[1] = "XDG_STATE_HOME=" + tc.state
		ctx, cancel := context.WithTimeout(t.Context(), suiteDeadline)
		r, err := command(ctx, c.dir, nil, argv...)
		cancel()
		if err != nil || r.code != tc.code || !strings.Contains(r.stderr, tc.says) {
			t.Fatalf("%v: %v %s", tc.flags, err, r)
		}
	}
	c.settled(t)
}
