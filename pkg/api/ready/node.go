package ready

import (
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
)

// LeaseDuration is the kubelet's: a lease that is older was not renewed in time.
// https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ (nodeLeaseDurationSeconds)
const LeaseDuration = 40 * time.Second

// NodeCondition is a node's condition Ready; nil when its kubelet never posted one.
func NodeCondition(n *corev1.Node) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// Away tells whether a node of this name is there and is not Ready, by its condition.
func Away(nodes []corev1.Node, name string) bool {
	at := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == name })
	if at < 0 {
		return false
	}
	c := NodeCondition(&nodes[at])
	return c == nil || c.Status != corev1.ConditionTrue
}

// Node says why a node is not Ready: by its condition, and by its lease.
func Node(n *corev1.Node, lease *coordinationv1.Lease, now time.Time) string {
	switch c := NodeCondition(n); {
	case c == nil:
		return "it has no Ready condition"
	case c.Status != corev1.ConditionTrue:
		return c.Reason + ", " + c.Message
	}
	return Lease(lease, LeaseDuration, now)
}

// Reports tells whether a node's kubelet posts its status, be it a bad one: the node lifecycle
// controller makes the condition unknown when it does not.
func Reports(n *corev1.Node) bool {
	c := NodeCondition(n)
	return c != nil && c.Status != corev1.ConditionUnknown
}

// Silent says since when nothing was heard of a node's kubelet; empty when it is heard of, or
// never was. The node lifecycle controller says so: it goes by the changes of the lease that it
// sees itself, for node-monitor-grace-period (50 s since 1.32), and compares no two clocks.
// https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
func Silent(n *corev1.Node) string {
	if c := NodeCondition(n); c != nil && c.Status == corev1.ConditionUnknown {
		return "its kubelet has not been heard of since " + c.LastTransitionTime.UTC().Format(time.RFC3339)
	}
	return ""
}

// Pressures are a node's conditions by which the kubelet evicts pods and takes no more.
func Pressures(n *corev1.Node) []corev1.NodeCondition {
	var out []corev1.NodeCondition
	for _, c := range n.Status.Conditions {
		switch c.Type {
		case corev1.NodeDiskPressure, corev1.NodeMemoryPressure, corev1.NodePIDPressure:
			if c.Status == corev1.ConditionTrue {
				out = append(out, c)
			}
		}
	}
	return out
}

// Lease says that a node's lease was not renewed for longer than some time; empty when it was.
// It compares the clock of the node with now.
func Lease(lease *coordinationv1.Lease, within time.Duration, now time.Time) string {
	switch age, known := LeaseAge(lease, now); {
	case !known:
		return "its kubelet has no lease yet"
	case age > within:
		return "its kubelet was last heard of at " + lease.Spec.RenewTime.UTC().Format(time.RFC3339)
	}
	return ""
}

// LeaseAge is how long ago a lease was renewed, and false when there is none or it never was.
// It is negative where the holder's clock is ahead of now.
func LeaseAge(lease *coordinationv1.Lease, now time.Time) (time.Duration, bool) {
	if lease == nil || lease.Spec.RenewTime == nil {
		return 0, false
	}
	return now.Sub(lease.Spec.RenewTime.Time), true
}
