//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// TestRotateCAWithstands replaces the CA of Kubernetes in a cluster with a load balancer: the
// coordinator is killed again and again in each phase, and between the phases a worker leaves,
// is as bare as it was, and joins. No request fails, through either address.
func TestRotateCAWithstands(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.installBalancer(t, "haproxy")
	c.settled(t)
	former := c.hostCA(t, "cp1", "ca.crt")[0]
	for _, phase := range []string{"trust", "issue", "finish"} {
		direct := c.prober(t, c.vip)
		if err := direct.likeClientGo(); err != nil {
			t.Fatal(err)
		}
		lossless(t, direct, phase, func() {
			lossless(t, c.balanced(t), phase+", through the load balancer", func() {
				stop := c.killCoordinators(t, math.MaxInt, c.operationThatRuns)
				c.rotated(t, "kubernetes", "--until", phase)
				stop()
				c.settled(t)
				c.reaches(t)
			})
		})
		c.connect(t)
		if phase == "finish" {
			break
		}
		c.leavesAndJoins(t, "w1")
	}
	now := c.hostCA(t, "cp1", "ca.crt")[0]
	if pki.Same(now, former) {
		t.Error("the CA is the former one")
	}
	c.trusts(t, now)
	c.leavesAndJoins(t, "w1")
	c.trusts(t, now)
	c.checkBalancer(t)
}

// leavesAndJoins removes a node and adds it again.
func (c *cluster) leavesAndJoins(t *testing.T, node string) {
	t.Helper()
	c.removeWell(t, node)
	c.added(t, node)
	c.settled(t)
	c.reaches(t)
}

// operationThatRuns is the name of an Operation that runs, empty when there is none or the API
// does not tell.
func (c *cluster) operationThatRuns(ctx context.Context) string {
	raw, err := c.client.RESTClient().Get().AbsPath("/apis/kubectl-ha.dev/v1alpha1/operations").DoRaw(ctx)
	if err != nil {
		return ""
	}
	var list struct {
		Items []struct {
			Metadata metav1.ObjectMeta
			Status   struct{ Phase v1alpha1.OperationPhase }
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return ""
	}
	for _, op := range list.Items {
		if op.Status.Phase == v1alpha1.OperationRunning {
			return op.Metadata.Name
		}
	}
	return ""
}
