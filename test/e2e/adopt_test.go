//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAdoptAndDoctorElsewhere: a cluster without a stored Cluster document and without an
// agent on any node is one of another tool. doctor says what it can't look at there, and
// how it could; after adopt it looks at all of it.
func TestAdoptAndDoctorElsewhere(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	ctx := context.Background()
	maps := c.client.CoreV1().ConfigMaps("ha-system")
	defer func() {
		// What the cluster was made of, and not what was found. By a bootstrap, since
		// whoever writes the document otherwise is one of its owners from then on.
		if err := maps.Delete(ctx, "cluster", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
		if r := c.ha(t, 5*time.Minute, c.bootstrapArgs()...); r.code != 0 {
			t.Errorf("the document and the agent are not back: %s", tail(r.String(), 3000))
		}
	}()
	for _, h := range c.names() {
		c.exec(t, h, "sh", "-c", "ctr -n k8s.io images list -q | grep -E '^(agent.kubectl-ha.invalid|kubectl-ha.dev)/agent[:@]' | xargs ctr -n k8s.io images rm")
	}
	if err := maps.Delete(ctx, "cluster", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	before := c.ha(t, suiteDeadline, "doctor", "--kubeconfig", c.kubeconfig)
	if before.code != 0 || !strings.Contains(before.stdout, "`kubectl ha adopt` has to come first") {
		t.Errorf("doctor on a cluster of another tool: %s", before)
	}
	if r := c.ha(t, suiteDeadline, "doctor", "--fix", "--yes", "--kubeconfig", c.kubeconfig); r.code != 0 && r.code != 2 {
		t.Errorf("doctor --fix on a cluster of another tool: %s", r)
	}
	if r := c.ha(t, suiteDeadline, "adopt", "--kubeconfig", c.kubeconfig); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("adopt without a terminal: %s", r)
	}
	if r := c.adopt(t); r.code != 0 {
		t.Fatalf("adopt: %s", r)
	}
	after := c.ha(t, suiteDeadline, "doctor", "--kubeconfig", c.kubeconfig, "-o", "json")
	var d struct {
		Checks []struct{ ID, State, Skipped string }
	}
	if err := json.Unmarshal([]byte(after.stdout), &d); err != nil {
		t.Fatalf("%v: %s", err, after)
	}
	for _, check := range d.Checks {
		if check.State == "problem" || check.State == "skipped" {
			t.Errorf("after adopt: %+v", check)
		}
	}
	if after.code != 0 || len(d.Checks) < 25 {
		t.Errorf("doctor after adopt: %s", after)
	}
}

// adopt runs adopt --ssh.
func (c *cluster) adopt(t *testing.T) result {
	t.Helper()
	return c.overSSH(t, "adopt", "--ssh", "--yes", "--kubeconfig", c.kubeconfig)
}

// overSSH runs kubectl-ha with the lab's login in the SSH settings of a home of its own.
func (c *cluster) overSSH(t *testing.T, args ...string) result {
	t.Helper()
	login := map[string]string{}
	file, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(file), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			login[key] = strings.Trim(value, `"`)
		}
	}
	home := t.TempDir()
	settings := "Host *\n  User root\n  IdentityFile " + login["identityFile"] + "\n  UserKnownHostsFile " + login["knownHostsFile"] + "\n"
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*suiteDeadline)
	defer cancel()
	r, err := command(ctx, c.dir, nil, append([]string{"env", "HOME=" + home}, c.haArgv(args...)...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStatusWatch: one document a look, until nobody reads them.
func TestStatusWatch(t *testing.T) {
	c := sharedCluster(t)
	argv := append([]string{"sh", "-c", `"$@" | head -n 2`, "sh"}, c.haArgv("status", "--kubeconfig", c.kubeconfig, "-w", "--interval", "500ms", "-o", "json")...)
	lines := strings.Split(strings.TrimSpace(must(t, suiteDeadline, argv...)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		var s statusReport
		if err := json.Unmarshal([]byte(l), &s); err != nil || len(s.ControlPlanes) != 3 {
			t.Errorf("%v: %s", err, l)
		}
	}
}
