//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestEtcdRestoreFewer: two of three members are gone, one of them with its host. The cluster goes on
// with the two that are left, from a backup on one of them, and the old data of the host that was lost
// does not get in when it comes back.
func TestEtcdRestoreFewer(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.backedUp(t)
	members := c.members(t)
	lost, empty, left := members[2], members[1], members[0]
	c.run(t, "kill", lost)
	c.loseData(t, empty)
	if r := c.ha(t, restoreDeadline, "etcd", "restore", "by-hand", "-f", c.file, "--yes"); r.code == 0 {
		t.Fatalf("a member that can't be reached was restored: %s", tail(r.String(), 4000))
	}
	r := c.ha(t, restoreDeadline, "etcd", "restore", "by-hand", "--members", left+","+empty, "-f", c.file, "--yes")
	if r.code != 0 {
		t.Fatalf("etcd restore: %s", tail(r.String(), 8000))
	}
	t.Log(tail(r.stdout, 3000))
	c.asBackedUp(t)
	if _, err := c.client.CoreV1().Nodes().Get(context.Background(), lost, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the node of the host that is lost: %v", err)
	}
	var list struct {
		Members []struct{ Name string }
	}
	asked := c.etcdctl(t, left, "member", "list", "-w", "json")
	if err := json.Unmarshal([]byte(asked.stdout), &list); err != nil || len(list.Members) != 2 {
		t.Errorf("members: %s, %v", asked, err)
	}
	// The old data of a host that comes back all the same does not get in.
	c.run(t, "start", lost)
	eventually(t, 2*time.Minute, "etcd of the lost host was started", func() (bool, string) {
		back := c.try(t, lost, nil, "systemctl", "show", "--property=ActiveState", "--value", "etcd")
		return back.code == 0 && strings.TrimSpace(back.stdout) != "inactive", back.String()
	})
	again := c.etcdctl(t, left, "member", "list", "-w", "json")
	if err := json.Unmarshal([]byte(again.stdout), &list); err != nil || len(list.Members) != 2 {
		t.Errorf("members after the lost host is back: %s, %v", again, err)
	}
	c.write(t, "again", "yes")
}
