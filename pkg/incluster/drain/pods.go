package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubectl/pkg/drain"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Pod is a pod that kubectl drain would move away from its node, if it may.
type Pod struct {
	corev1.Pod
	// Local says that it has data in emptyDir volumes, which end with it: kubectl
	// refuses it without --delete-emptydir-data.
	Local bool
	// Unmanaged says that nothing would make it again elsewhere: kubectl refuses it
	// without --force.
	Unmanaged bool
}

// Key is the pod's namespace/name.
func (p Pod) Key() string { return p.Namespace + "/" + p.Name }

// Leaving says that it was asked to end.
func (p Pod) Leaving() bool { return p.DeletionTimestamp != nil }

// Pods are those of a node that a drain is about, in the order of their names. Pods
// of daemon sets, static pods and kubectl-ha's own are not.
func Pods(ctx context.Context, kube kubernetes.Interface, node string) ([]Pod, error) {
	list, err := kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods on %s: %w", node, err)
	}
	s := newSnapshot(kube, list)
	// kubectl tells why it refuses a pod in a sentence only. Which it refuses for want
	// of which flag is what there is more with the flag; of one and the same list, so
	// that nothing comes or goes in between.
	all, err := s.ask(ctx, node, true, true)
	if err != nil {
		return nil, err
	}
	persistent, err := s.ask(ctx, node, true, false)
	if err != nil {
		return nil, err
	}
	managed, err := s.ask(ctx, node, false, true)
	if err != nil {
		return nil, err
	}
	var out []Pod
	for uid, p := range all {
		_, keeps := persistent[uid]
		_, again := managed[uid]
		out = append(out, Pod{Pod: p, Local: !keeps, Unmanaged: !again})
	}
	slices.SortFunc(out, func(a, b Pod) int { return strings.Compare(a.Key(), b.Key()) })
	return out, nil
}

// ask asks kubectl which pods a drain with these flags would move away.
func (s *snapshot) ask(ctx context.Context, node string, force, deleteEmptyDirData bool) (map[types.UID]corev1.Pod, error) {
	h := drain.Helper{
		Ctx: ctx, Client: s, Force: force, DeleteEmptyDirData: deleteEmptyDirData,
		IgnoreAllDaemonSets: true, GracePeriodSeconds: -1, AdditionalFilters: []drain.PodFilter{notOurs},
	}
	list, errs := h.GetPodsForDeletion(node)
	// Without a flag its refusals are what is asked for; what it could not find out is
	// another matter.
	if s.failed != nil {
		return nil, s.failed
	}
	if list == nil {
		return nil, fmt.Errorf("find the pods that have to leave %s: %w", node, errors.Join(errs...))
	}
	out := map[types.UID]corev1.Pod{}
	for _, p := range list.Pods() {
		out[p.UID] = p
	}
	return out, nil
}

// notOurs leaves kubectl-ha's own pods where they are: a coordinator tolerates every
// node, so that it would only be made again on the same one, and what it does survives
// the kubelet's restart.
func notOurs(p corev1.Pod) drain.PodDeleteStatus {
	if p.Namespace == v1alpha1.SystemNamespace && p.Labels["app.kubernetes.io/name"] == "kubectl-ha" {
		return drain.MakePodDeleteStatusSkip()
	}
	return drain.MakePodDeleteStatusOkay()
}

// Local are the names of the pods that lose what they have in emptyDir volumes. One
// that leaves anyway loses it to whoever asked for that.
func Local(pods []Pod) []string {
	return names(pods, func(p Pod) bool { return p.Local && !p.Leaving() })
}

// Unmanaged are the names of the pods that nothing would make again elsewhere, but for
// those that leave anyway.
func Unmanaged(pods []Pod) []string {
	return names(pods, func(p Pod) bool { return p.Unmanaged && !p.Leaving() })
}

func names(pods []Pod, which func(Pod) bool) []string {
	var out []string
	for _, p := range pods {
		if which(p) {
			out = append(out, p.Key())
		}
	}
	return out
}

// LosesData says of pods that they lose what they have in emptyDir volumes.
func LosesData(pods []string) string {
	loses := "pods lose"
	if len(pods) == 1 {
		loses = "pod loses"
	}
	return fmt.Sprintf("%d %s the data in emptyDir volumes: %s", len(pods), loses, Some(pods))
}

// Some names the first ones in a line, and says how many more there are.
func Some(names []string) string {
	const most = 10
	names = slices.Sorted(slices.Values(names))
	more := len(names) - most
	if more > 0 {
		names = names[:most]
	}
	text := joined(names)
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
