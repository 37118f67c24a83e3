package drain

import (
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// mostReturns is how many pods of one controller are evicted that have come to a
// cordoned node without tolerating that. The scheduler brings such only if it has
// decided before it saw the cordon, and those are few; who names the node itself, or
// has a scheduler of his own, brings them for ever.
const mostReturns = 3

// newcomers tells the pods that were on a node when its drain began from those that
// came after. To evict one of the latter that tolerates the cordon helps nobody: its
// controller makes it again, and the scheduler prefers the same node as before.
//
// Its zero value is that of a drain that has not looked yet.
type newcomers struct {
	// there are the pods that were there at the beginning; nil before the first look.
	there map[types.UID]bool
	// asked are those that this drain has asked to leave.
	asked map[types.UID]bool
	// returns counts, by controller, the newcomers that were evicted.
	returns map[types.UID]int
}

// part parts pods into those that have to leave and those that stay. since is when the
// drain began, by the clock of the coordinator that began it: what one who takes it
// over finds may have come long after.
func (n *newcomers) part(pods []Pod, since time.Time) (leave, stay []Pod) {
	if n.there == nil {
		n.there, n.asked, n.returns = map[types.UID]bool{}, map[types.UID]bool{}, map[types.UID]int{}
		for _, p := range pods {
			n.there[p.UID] = !arrived(p).After(since)
		}
	}
	for _, p := range pods {
		if n.stays(p) {
			stay = append(stay, p)
		} else {
			leave = append(leave, p)
		}
	}
	return leave, stay
}

func (n *newcomers) stays(p Pod) bool {
	if n.there[p.UID] || n.asked[p.UID] {
		return false
	}
	owner := metav1.GetControllerOf(&p.Pod)
	return toleratesCordon(p) || owner != nil && n.returns[owner.UID] >= mostReturns
}

// evicted notes that a pod was asked to leave.
func (n *newcomers) evicted(p Pod) {
	n.asked[p.UID] = true
	if owner := metav1.GetControllerOf(&p.Pod); owner != nil && !n.there[p.UID] {
		n.returns[owner.UID]++
	}
}

// arrived is when a pod came to its node, as the API server has noted it, in seconds.
func arrived(p Pod) time.Time {
	i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue
	})
	if i < 0 || p.Status.Conditions[i].LastTransitionTime.IsZero() {
		return p.CreationTimestamp.Time
	}
	return p.Status.Conditions[i].LastTransitionTime.Time
}

// toleratesCordon tells whether the scheduler may put the pod onto a cordoned node.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#node-kubernetes-io-unschedulable
func toleratesCordon(p Pod) bool {
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	return slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool {
		// Of the operators that compare numbers none is fulfilled by a taint without a value.
		return t.ToleratesTaint(logr.Discard(), &cordon, false)
	})
}
