package drain

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// snapshot is the client through which kubectl looks at the pods of a node: it lists
// those that were listed once, and asks for each daemon set once.
type snapshot struct {
	kubernetes.Interface
	pods *corev1.PodList
	sets map[types.NamespacedName]daemonSet
	// failed is why a daemon set could not be asked for. kubectl makes a sentence of
	// that, of which nobody can tell whether it is worth another try.
	failed error
}

// daemonSet is an answer to whether there is one.
type daemonSet struct {
	set *appsv1.DaemonSet
	err error
}

func newSnapshot(kube kubernetes.Interface, pods *corev1.PodList) *snapshot {
	return &snapshot{Interface: kube, pods: pods, sets: map[types.NamespacedName]daemonSet{}}
}

// CoreV1 is the client's, but for the list of pods.
func (s *snapshot) CoreV1() coreclient.CoreV1Interface {
	return snapshotCore{s.Interface.CoreV1(), s.pods}
}

// AppsV1 is the client's, but for daemon sets.
func (s *snapshot) AppsV1() appsclient.AppsV1Interface {
	return snapshotApps{s.Interface.AppsV1(), s}
}

type snapshotCore struct {
	coreclient.CoreV1Interface
	list *corev1.PodList
}

// Pods is the client's, but for the list.
func (c snapshotCore) Pods(namespace string) coreclient.PodInterface {
	return snapshotPods{c.CoreV1Interface.Pods(namespace), c.list}
}

type snapshotPods struct {
	coreclient.PodInterface
	list *corev1.PodList
}

// List is what was listed.
func (p snapshotPods) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	return &corev1.PodList{Items: p.list.Items}, nil
}

type snapshotApps struct {
	appsclient.AppsV1Interface
	s *snapshot
}

// DaemonSets is the client's, but for Get.
func (a snapshotApps) DaemonSets(namespace string) appsclient.DaemonSetInterface {
	return snapshotSets{a.AppsV1Interface.DaemonSets(namespace), a.s, namespace}
}

type snapshotSets struct {
	appsclient.DaemonSetInterface
	s         *snapshot
	namespace string
}

// Get asks once.
func (d snapshotSets) Get(ctx context.Context, name string, opts metav1.GetOptions) (*appsv1.DaemonSet, error) {
	key := types.NamespacedName{Namespace: d.namespace, Name: name}
	answer, known := d.s.sets[key]
	if !known {
		answer.set, answer.err = d.DaemonSetInterface.Get(ctx, name, opts)
		d.s.sets[key] = answer
	}
	if answer.err != nil && !apierrors.IsNotFound(answer.err) {
		d.s.failed = fmt.Errorf("read the daemon set %s: %w", key, answer.err)
	}
	return answer.set, answer.err
}
