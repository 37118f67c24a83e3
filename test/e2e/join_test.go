//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestCoordinatorLost: while the Join runs, the coordinator's pod is deleted;
// then the node on which its successor runs is stopped. It ends well all the
// same, and the stopped node is well once it is back.
func TestCoordinatorLost(t *testing.T) {
	l := upLab(t, "e2e-join", 3, 2)
	t.Cleanup(func() { l.drop(t) })
	c := &cluster{lab: l, file: l.file(t, nil), kubeconfig: filepath.Join(l.dir, "join.kubeconfig"), vip: l.status(t).VirtualIP}
	c.bundle(t)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	argv := c.haArgv(c.bootstrapArgs()...)
	run := exec.CommandContext(ctx, argv[0], argv[1:]...)
	run.Dir = c.dir
	var out strings.Builder
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	client := c.adminClient(t, "cp1")
	first := c.coordinatorPod(t, client, "")
	t.Logf("deleting the coordinator %s on %s", first.Name, first.Spec.NodeName)
	now := int64(0)
	if err := client.CoreV1().Pods("ha-system").Delete(ctx, first.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	second := c.coordinatorPod(t, client, first.Name)
	t.Logf("stopping %s, on which %s runs", second.Spec.NodeName, second.Name)
	if second.Spec.NodeName == "cp1" {
		t.Errorf("the coordinator runs on the only control plane there is")
	}
	l.run(t, "kill", second.Spec.NodeName)
	third := c.coordinatorPod(t, client, first.Name, second.Name)
	t.Logf("%s took over on %s", third.Name, third.Spec.NodeName)
	l.run(t, "start", second.Spec.NodeName)
	if err := run.Wait(); err != nil {
		t.Fatalf("the bootstrap: %v\n%s", err, tail(out.String(), 4000))
	}
	c.connect(t)
	c.settled(t)
	c.checkDNSSpread(t)
}

// adminClient waits for the first control plane's admin.conf and opens it.
func (c *cluster) adminClient(t *testing.T, host string) *kubernetes.Clientset {
	t.Helper()
	var conf string
	eventually(t, 5*time.Minute, "there is an admin.conf on "+host, func() (bool, string) {
		r := c.try(t, host, nil, "cat", "/etc/kubernetes/admin.conf")
		conf = r.stdout
		return r.code == 0 && strings.Contains(conf, "client-key-data"), r.stderr
	})
	cfg, err := clientcmd.RESTConfigFromKubeConfig([]byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// coordinatorPod waits for a running coordinator that is none of those named.
func (c *cluster) coordinatorPod(t *testing.T, client *kubernetes.Clientset, but ...string) corev1.Pod {
	t.Helper()
	var found corev1.Pod
	eventually(t, 5*time.Minute, "another coordinator than "+fmt.Sprint(but)+" runs", func() (bool, string) {
		pods, err := client.CoreV1().Pods("ha-system").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		var seen []string
		for _, p := range pods.Items {
			seen = append(seen, p.Name+" "+string(p.Status.Phase)+" on "+p.Spec.NodeName)
			old := false
			for _, b := range but {
				old = old || b == p.Name
			}
			if strings.Contains(p.Name, "-coordinator") && !old && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				found = p
				return true, ""
			}
		}
		return false, strings.Join(seen, ", ")
	})
	return found
}
