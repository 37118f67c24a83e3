//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// takeover bounds how long an Operation may be without a coordinator: a standby
// needs 10 to 15 seconds. A replacement would come after the eviction from the
// dead node, which takes a minute at least, and never comes before there is a
// pod network.
const takeover = 40 * time.Second

// replacement bounds how long an Operation may be without a coordinator when there is no
// standby: the Job makes another pod, and the lease of the first one has to end.
const replacement = 90 * time.Second

// TestCoordinatorLost: the coordinator's pod is deleted before its first step, when there is
// one control plane that it may be on, and another takes over there. Once there are further
// control planes there is a standby on one of them; then the coordinator's host is killed,
// which is the first control plane. The standby takes over, the Join ends well, and the killed
// host is well once it is back. No coordinator is ever on a worker, whose kubelet could have
// its token.
func TestCoordinatorLost(t *testing.T) {
	l := ownLab(t, "e2e-join", suite.version, labSize{controlPlanes: 3, workers: 2})
	c := l.cluster(t, "join", "")
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
	j := c.watchJoin(t, "cp1")
	// Paused, it has a coordinator that leads it and has done nothing.
	j.pause(t, true)
	first := j.leader(t, 5*time.Minute)
	t.Logf("deleting the coordinator %s on %s", first.Name, first.Spec.NodeName)
	now := int64(0)
	if err := j.kube.CoreV1().Pods("ha-system").Delete(ctx, first.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	second := j.leader(t, replacement, first.Name)
	t.Logf("%s took over on %s", second.Name, second.Spec.NodeName)
	for _, p := range []corev1.Pod{first, second} {
		if p.Spec.NodeName != "cp1" {
			t.Errorf("the coordinator %s runs on %s, which is no control plane", p.Name, p.Spec.NodeName)
		}
	}
	// There may be no plan at all.
	if state := stepState(j.get(t), "network"); state != v1alpha1.StepPending && state != "" {
		t.Errorf("the network plugin is %s already: this was not the early moment that it was to be", state)
	}
	j.pause(t, false)
	// Once it runs: what comes after the control planes is done within seconds, and a pause is of
	// no effect when nothing is left.
	j.untilStep(t, "promote/cp2", v1alpha1.StepRunning)
	j.pause(t, true)
	j.untilPhase(t, v1alpha1.OperationPaused)
	j = c.watchJoin(t, "cp2")
	standby := j.untilStandby(t, second.Name)
	if standby.Spec.NodeName == "cp1" || !slices.Contains(c.names("control-plane"), standby.Spec.NodeName) {
		t.Errorf("the standby is on %s", standby.Spec.NodeName)
	}
	l.run(t, "kill", "cp1")
	third := j.leader(t, takeover, first.Name, second.Name)
	t.Logf("%s took over on %s", third.Name, third.Spec.NodeName)
	l.run(t, "start", "cp1")
	j.pause(t, false)
	if err := run.Wait(); err != nil {
		t.Fatalf("the bootstrap: %v\n%s", err, tail(out.String(), 4000))
	}
	if op := j.get(t); op.Status.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("the operation is %s: %s", op.Status.Phase, op.Status.Message)
	}
	c.connect(t)
	c.settled(t)
	c.checkDNSSpread(t)
	j.untilNoPod(t)
}

// join is the one Operation of a bootstrap.
type join struct {
	name string
	kube *kubernetes.Clientset
	ops  *operations.Client
}

// watchJoin waits for the Join, seen through a control plane of its own.
func (c *cluster) watchJoin(t *testing.T, host string) *join {
	t.Helper()
	cfg := c.adminConfig(t, host)
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	j := &join{kube: kube, ops: operations.New(dyn)}
	eventually(t, 5*time.Minute, "there is a Join", func() (bool, string) {
		all, err := j.ops.List(context.Background())
		if err != nil || len(all) == 0 {
			return false, fmt.Sprint(err)
		}
		j.name = all[0].Name
		return true, ""
	})
	return j
}

func (j *join) get(t *testing.T) *v1alpha1.Operation {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	op, err := j.ops.Get(ctx, j.name)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func (j *join) pause(t *testing.T, paused bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := j.ops.Modify(ctx, j.name, func(op *v1alpha1.Operation) error {
		op.Spec.Paused = paused
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// leader waits until the lease has a holder that is none of those named, which
// the Operation's status names as well, and returns its pod.
func (j *join) leader(t *testing.T, deadline time.Duration, but ...string) corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	eventually(t, deadline, "another coordinator than "+fmt.Sprint(but)+" has the lease", func() (bool, string) {
		ctx := context.Background()
		lease, err := j.kube.CoordinationV1().Leases("ha-system").Get(ctx, "operation-"+j.name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		holder := lease.Spec.HolderIdentity
		if holder == nil || *holder == "" || slices.Contains(but, *holder) {
			return false, j.pods()
		}
		op, err := j.ops.Get(ctx, j.name)
		if err != nil || op.Status.Coordinator != *holder {
			return false, fmt.Sprintf("%s has the lease: %v", *holder, err)
		}
		found, err = j.kube.CoreV1().Pods("ha-system").Get(ctx, *holder, metav1.GetOptions{})
		return err == nil, fmt.Sprint(err)
	})
	return *found
}

// untilStandby waits until there is a coordinator at work beside the leader, and returns it.
func (j *join) untilStandby(t *testing.T, leader string) corev1.Pod {
	t.Helper()
	var standby corev1.Pod
	eventually(t, time.Minute, leader+" has a standby", func() (bool, string) {
		pods, err := j.list()
		i := slices.IndexFunc(pods, func(p corev1.Pod) bool {
			return p.Name != leader && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil
		})
		if i >= 0 {
			standby = pods[i]
		}
		return i >= 0, fmt.Sprint(j.pods(), err)
	})
	return standby
}

// untilPhase waits until the Operation is in a phase.
func (j *join) untilPhase(t *testing.T, phase v1alpha1.OperationPhase) {
	t.Helper()
	eventually(t, 3*time.Minute, "the Operation is "+string(phase), func() (bool, string) {
		op, err := j.ops.Get(context.Background(), j.name)
		return err == nil && op.Status.Phase == phase, fmt.Sprint(err, j.pods())
	})
}

// untilStep waits until a step is in a state.
func (j *join) untilStep(t *testing.T, id string, state v1alpha1.StepState) {
	t.Helper()
	eventually(t, 3*time.Minute, "step "+id+" is "+string(state), func() (bool, string) {
		op, err := j.ops.Get(context.Background(), j.name)
		if err != nil {
			return false, err.Error()
		}
		return stepState(op, id) == state, op.Status.Message
	})
}

// stepState is empty for a step that is not planned.
func stepState(op *v1alpha1.Operation, id string) v1alpha1.StepState {
	for _, s := range op.Status.Steps {
		if s.ID == id {
			return s.State
		}
	}
	return ""
}

// untilNoPod waits until no coordinator is at work any more.
func (j *join) untilNoPod(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, "the coordinators have ended", func() (bool, string) {
		pods, err := j.list()
		return err == nil && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
		}), fmt.Sprint(j.pods(), err)
	})
}

func (j *join) list() ([]corev1.Pod, error) {
	pods, err := j.kube.CoreV1().Pods("ha-system").List(context.Background(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=coordinator"})
	if err != nil {
		return nil, err
	}
	return pods.Items, nil
}

// pods says where the coordinators are.
func (j *join) pods() string {
	pods, err := j.list()
	seen := []string{}
	for _, p := range pods {
		seen = append(seen, p.Name+" "+string(p.Status.Phase)+" on "+p.Spec.NodeName)
	}
	return fmt.Sprint(strings.Join(seen, ", "), err)
}

// adminConfig waits for a control plane's admin.conf and reads it.
func (c *cluster) adminConfig(t *testing.T, host string) *rest.Config {
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
	return cfg
}
