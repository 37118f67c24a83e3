//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// stepDeadline bounds the wait for one step of an upgrade to begin or to end.
	stepDeadline = 12 * time.Minute
	// drainWithin is the drain's time where a budget never yields.
	drainWithin = time.Minute
	// coordinatorKills is how often a coordinator is killed on the way.
	coordinatorKills = 10
)

// withstand is one cluster that is upgraded while everything happens to it that an
// upgrade has to withstand.
type withstand struct {
	*cluster
	bundle string
	// first, second and third are the control planes in the order of their turns.
	first, second, third string
}

// TestUpgradeWithstands upgrades one cluster from the older version to the newer one
// while one thing after the other goes wrong. After each the cluster serves, and the
// upgrade is gone on with, ended, or begun anew; in the end every node is upgraded.
func TestUpgradeWithstands(t *testing.T) {
	w := newWithstand(t)
	from := os.Getenv("E2E_PART")
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a wrong checksum in the bundle", w.damagedBundle},
		{"an etcd member down at the start", w.memberDownAtStart},
		{"the workstation gone and the disk of the second control plane full", w.fullDisk},
		{"the first control plane put back", w.rollback},
		{"the operation deleted in the middle", w.deleted},
		{"coordinators killed, the node under upgrade power-cycled, a member down, a node stopped, a budget that never yields", w.storm},
		{"a worker that never becomes ready", w.neverReady},
		{"the rest", w.rest},
		{"a Cluster file of before", w.oldFile},
		{"a restore of the backup", w.restore},
	} {
		if from != "" && !strings.Contains(part.name, from) {
			continue // Of a cluster that was kept, the parts before were run before.
		}
		from = ""
		start := time.Now()
		// Each goes on from where the one before it has left the cluster.
		if !t.Run(part.name, part.run) {
			t.FailNow()
		}
		t.Logf("%s: %s", part.name, time.Since(start).Round(time.Second))
	}
}

// newWithstand makes the cluster, or takes the one of E2E_REUSE, whose control planes'
// turns are E2E_FIRST, E2E_SECOND and E2E_THIRD.
func newWithstand(t *testing.T) *withstand {
	t.Helper()
	if dir := os.Getenv("E2E_REUSE"); dir != "" {
		return reusedWithstand(t, dir)
	}
	l := ownLab(t, "e2e-withstand", suite.other, labSize{controlPlanes: 3, workers: 2})
	c := l.cluster(t, "withstand", "")
	c.bootstrap(t)
	c.settled(t)
	newer := &lab{name: l.name, dir: l.dir, version: suite.version, cached: l.cached}
	c.write(t, "before", "all of it")
	return &withstand{cluster: c, bundle: newer.bundle(t)}
}

func (w *withstand) args(more ...string) []string {
	return append([]string{"upgrade", suite.version, "--bundle", w.bundle, "--kubeconfig", w.kubeconfig, "--yes"}, more...)
}

// serves: all is well, nothing is cordoned, one host has the virtual IP, writes are
// taken, and what was written before is there.
func (w *withstand) serves(t *testing.T) {
	t.Helper()
	w.settled(t)
	nodes, err := w.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		if n.Spec.Unschedulable {
			t.Errorf("%s is left cordoned", n.Name)
		}
	}
	for _, h := range w.names("control-plane") {
		if got := strings.TrimSpace(w.exec(t, h, "cat", "/run/kubectl-ha/drain")); got != "0" {
			t.Errorf("%s may not have the virtual IP: %q", h, got)
		}
	}
	w.write(t, "served-"+fmt.Sprint(time.Now().UnixNano()), "yes")
	if got := w.read(t, "before"); got != "all of it" {
		t.Errorf("what was written before reads %q", got)
	}
}

// operation reads an Operation, nil when it is not there; the API may be on its way.
func (w *withstand) operation(t *testing.T, name string) *v1alpha1.Operation {
	t.Helper()
	var op *v1alpha1.Operation
	eventually(t, time.Minute, "the API tells of "+name, func() (bool, string) {
		raw, err := w.client.RESTClient().Get().AbsPath("/apis/kubectl-ha.dev/v1alpha1/operations/" + name).DoRaw(context.Background())
		if apierrors.IsNotFound(err) {
			op = nil
			return true, ""
		}
		if err != nil {
			return false, err.Error()
		}
		op = &v1alpha1.Operation{}
		return json.Unmarshal(raw, op) == nil, string(raw)
	})
	return op
}

// upgrades are the names of the Upgrade Operations that are not finished.
func (w *withstand) upgrades(t *testing.T) (names []string) {
	t.Helper()
	raw, err := w.client.RESTClient().Get().AbsPath("/apis/kubectl-ha.dev/v1alpha1/operations").DoRaw(context.Background())
	if err != nil {
		return nil // The next look tells.
	}
	var list v1alpha1.OperationList
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	for _, op := range list.Items {
		if op.Spec.Upgrade != nil && !op.Status.Phase.Final() {
			names = append(names, op.Name)
		}
	}
	return names
}

func stepOf(op *v1alpha1.Operation, id string) v1alpha1.StepStatus {
	if op != nil {
		for _, s := range op.Status.Steps {
			if s.ID == id {
				return s
			}
		}
	}
	return v1alpha1.StepStatus{}
}

// until waits for a step to be in a state, and fails when the Operation ends before.
func (w *withstand) until(t *testing.T, name, id string, state v1alpha1.StepState) {
	t.Helper()
	eventually(t, stepDeadline, id+" is "+string(state), func() (bool, string) {
		op := w.operation(t, name)
		s := stepOf(op, id)
		if op == nil || op.Status.Phase.Final() && s.State != state {
			t.Fatalf("waiting for %s to be %s: %s", id, state, told(op))
		}
		return s.State == state, told(op)
	})
}

// untilPhase waits for the end of an Operation.
func (w *withstand) untilPhase(t *testing.T, name string, phase v1alpha1.OperationPhase) *v1alpha1.Operation {
	t.Helper()
	var op *v1alpha1.Operation
	eventually(t, 2*stepDeadline, name+" is "+string(phase), func() (bool, string) {
		op = w.operation(t, name)
		// One that has failed stays so until a coordinator sees that it is to be aborted.
		onTheWay := op != nil && op.Status.Phase == v1alpha1.OperationFailed && phase == v1alpha1.OperationAborted
		if op == nil || op.Status.Phase.Final() && op.Status.Phase != phase && !onTheWay {
			t.Fatalf("waiting for %s to be %s: %s", name, phase, told(op))
		}
		return op.Status.Phase == phase, told(op)
	})
	return op
}

// told is what an Operation says of itself.
func told(op *v1alpha1.Operation) string {
	if op == nil {
		return "it is gone"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is %s, %s: %s", op.Name, op.Status.Phase, op.Status.Progress, op.Status.Message)
	for _, s := range op.Status.Steps {
		if s.State == v1alpha1.StepRunning || s.State == v1alpha1.StepFailed {
			fmt.Fprintf(&b, "\n  %s %s (%d): %s", s.ID, s.State, s.Attempt, s.Message)
		}
	}
	return b.String()
}

// begin begins an upgrade and leaves, and returns its name.
func (w *withstand) begin(t *testing.T, more ...string) string {
	t.Helper()
	r := w.ha(t, 10*time.Minute, w.args(append(more, "--detach")...)...)
	if r.code != 0 {
		t.Fatalf("the upgrade is not begun: %s", r)
	}
	name := ""
	eventually(t, time.Minute, "an upgrade is under way", func() (bool, string) {
		names := w.upgrades(t)
		if len(names) == 1 {
			name = names[0]
		}
		return name != "", fmt.Sprint(names)
	})
	return name
}

// verb tells an Operation what to do.
func (w *withstand) verb(t *testing.T, verb, name string) {
	t.Helper()
	if r := w.ha(t, suiteDeadline, "operation", verb, name, "--kubeconfig", w.kubeconfig); r.code != 0 {
		t.Fatalf("%s %s: %s", verb, name, r)
	}
}

// kubeletOf is a node's version.
func (w *withstand) kubeletOf(t *testing.T, name string) string {
	t.Helper()
	n, err := w.client.CoreV1().Nodes().Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n.Status.NodeInfo.KubeletVersion
}

// damagedBundle: nothing is begun with a bundle of which a byte is another.
func (w *withstand) damagedBundle(t *testing.T) {
	data, err := os.ReadFile(w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)*3/5] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged.tar")
	if err := os.WriteFile(damaged, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.ha(t, suiteDeadline, "upgrade", suite.version, "--bundle", damaged, "--kubeconfig", w.kubeconfig, "--yes")
	if r.code == 0 || !strings.Contains(r.stderr, "sha256:") {
		t.Errorf("with a damaged bundle: %s", r)
	}
	if names := w.upgrades(t); len(names) > 0 {
		t.Errorf("begun with a damaged bundle: %v", names)
	}
	w.serves(t)
}

// memberDownAtStart: nothing is begun without all members.
func (w *withstand) memberDownAtStart(t *testing.T) {
	w.exec(t, "cp2", "systemctl", "stop", "etcd")
	r := w.ha(t, suiteDeadline, w.args()...)
	w.exec(t, "cp2", "systemctl", "start", "--no-block", "etcd")
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "etcd member") || !strings.Contains(r.stdout+r.stderr, "cp2") {
		t.Errorf("with a member down: %s", r)
	}
	if names := w.upgrades(t); len(names) > 0 {
		t.Errorf("begun with a member down: %v", names)
	}
	w.serves(t)
}

// fullDisk kills the CLI once the Operation is under way, which goes on without it,
// refuses a second upgrade, and ends at the second control plane, where kubeadm finds
// no room for its files. The first has been upgraded, and all serve.
func (w *withstand) fullDisk(t *testing.T) {
	argv := w.haArgv(w.args()...)
	run := exec.Command(argv[0], argv[1:]...)
	run.Dir = w.dir
	var out strings.Builder
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	gone := sync.OnceFunc(func() {
		_ = run.Process.Kill() // It may have ended.
		_ = run.Wait()
	})
	defer gone()
	name := ""
	eventually(t, 5*time.Minute, "the upgrade is under way", func() (bool, string) {
		if names := w.upgrades(t); len(names) == 1 {
			op := w.operation(t, names[0])
			w.turns(op)
			if name = op.Name; len(op.Status.Steps) > 0 && w.second != "" {
				return true, ""
			}
		}
		return false, "no plan yet"
	})
	gone()
	t.Logf("the turns: %s, %s, %s", w.first, w.second, w.third)
	if r := w.ha(t, suiteDeadline, w.args()...); r.code == 0 || !strings.Contains(r.stderr, name) {
		t.Errorf("a second upgrade beside %s: %s", name, r)
	}
	const room = "/etc/kubernetes/tmp"
	w.exec(t, w.second, "mkdir", "-p", room)
	w.exec(t, w.second, "mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs", room)
	defer w.exec(t, w.second, "umount", room)
	op := w.untilPhase(t, name, v1alpha1.OperationFailed)
	s := stepOf(op, "control-plane/"+w.second)
	if s.State != v1alpha1.StepFailed || !strings.Contains(s.Message, "no space left on device") {
		t.Errorf("%s", told(op))
	}
	t.Logf("it says: %s", s.Message)
	w.serves(t)
	if got := w.kubeletOf(t, w.first); got != suite.version {
		t.Errorf("%s was to be upgraded, and is at %s", w.first, got)
	}
	if got := w.kubeletOf(t, w.second); got != suite.other {
		t.Errorf("%s was to stay, and is at %s", w.second, got)
	}
}

// turns reads the order of the control planes from the plan.
func (w *withstand) turns(op *v1alpha1.Operation) {
	var order []string
	for _, s := range op.Status.Steps {
		if kind, node, _ := strings.Cut(s.ID, "/"); kind == "apply" || kind == "control-plane" {
			order = append(order, node)
		}
	}
	if len(order) == 3 {
		w.first, w.second, w.third = order[0], order[1], order[2]
	}
}

// rollback puts the first control plane back to the older minor version, which the
// others have not left; then the upgrade that failed can't be resumed.
func (w *withstand) rollback(t *testing.T) {
	failed := w.latest(t)
	if r := w.ha(t, 10*time.Minute, "upgrade", "rollback-node", w.first, "--kubeconfig", w.kubeconfig, "--yes"); r.code != 0 {
		t.Fatalf("rollback-node: %s", r)
	}
	w.serves(t)
	if got := w.kubeletOf(t, w.first); got != suite.other {
		t.Errorf("%s was to go back, and is at %s", w.first, got)
	}
	if manifest := w.exec(t, w.first, "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml"); !strings.Contains(manifest, ":"+suite.other) {
		t.Errorf("%s's apiserver is not %s", w.first, suite.other)
	}
	w.configured(t, suite.other)
	if r := w.ha(t, suiteDeadline, "operation", "resume", failed, "--kubeconfig", w.kubeconfig); r.code == 0 || !strings.Contains(r.stderr, w.first) {
		t.Errorf("resumed after a node was put back: %s", r)
	}
	w.verb(t, "abort", failed)
	w.untilPhase(t, failed, v1alpha1.OperationAborted)
}

// latest is the name of the newest Upgrade.
func (w *withstand) latest(t *testing.T) string {
	t.Helper()
	raw, err := w.client.RESTClient().Get().AbsPath("/apis/kubectl-ha.dev/v1alpha1/operations").DoRaw(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var list v1alpha1.OperationList
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(op v1alpha1.Operation) bool { return op.Spec.Upgrade == nil })
	if len(list.Items) == 0 {
		t.Fatal("there is no Upgrade")
	}
	return slices.MaxFunc(list.Items, func(a, b v1alpha1.Operation) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	}).Name
}

// configured is kubeadm's own version.
func (w *withstand) configured(t *testing.T, want string) {
	t.Helper()
	m, err := w.client.CoreV1().ConfigMaps("kube-system").Get(context.Background(), "kubeadm-config", metav1.GetOptions{})
	if err != nil || !strings.Contains(m.Data["ClusterConfiguration"], "kubernetesVersion: "+want+"\n") {
		t.Errorf("kubeadm-config is not at %s: %v %v", want, m.Data, err)
	}
}

// deleted deletes the Operation while kubeadm runs on the first control plane.
func (w *withstand) deleted(t *testing.T) {
	name := w.begin(t)
	op := w.operation(t, name)
	eventually(t, stepDeadline, "there is a plan", func() (bool, string) {
		op = w.operation(t, name)
		return op != nil && len(op.Status.Steps) > 0, told(op)
	})
	w.turns(op)
	w.until(t, name, "apply/"+w.first, v1alpha1.StepRunning)
	time.Sleep(5 * time.Second) // not a wait for anything: so that kubeadm is at work
	must(t, suiteDeadline, filepath.Join(suite.root, "bin/lab"), "kubectl", "--name", w.lab.name, "--", "--kubeconfig", w.kubeconfig,
		"delete", "operations.kubectl-ha.dev", name)
	eventually(t, 3*time.Minute, "nothing of it runs", func() (bool, string) {
		pods, err := w.client.CoreV1().Pods("ha-system").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		var left []string
		for _, p := range pods.Items {
			if strings.HasPrefix(p.Name, name) {
				left = append(left, p.Name)
			}
		}
		return len(left) == 0, strings.Join(left, " ")
	})
	// What a node's turn has left the next upgrade takes up; meanwhile all serve.
	w.settled(t)
}

// storm upgrades the control planes while coordinators are killed, and while the second
// is power-cycled, a member is down before the third, and the coordinator's node is
// stopped. It ends at a budget that never yields, and is resumed once it is gone.
func (w *withstand) storm(t *testing.T) {
	name := w.begin(t, "--drain-timeout", drainWithin.String())
	kills := w.killCoordinators(t, coordinatorKills, func(context.Context) string { return name })
	defer kills()
	w.until(t, name, "control-plane/"+w.second, v1alpha1.StepRunning)
	w.powerCycle(t, w.second)
	w.until(t, name, "gate/"+w.second, v1alpha1.StepSucceeded)
	w.exec(t, w.first, "systemctl", "stop", "etcd")
	eventually(t, 4*time.Minute, "it waits for the member", func() (bool, string) {
		op := w.operation(t, name)
		return strings.Contains(stepOf(op, "others/"+w.third).Message, "the etcd member on "+w.first), told(op)
	})
	w.exec(t, w.first, "systemctl", "start", "--no-block", "etcd")
	w.until(t, name, "control-plane/"+w.third, v1alpha1.StepRunning)
	w.stopCoordinatorsNode(t, name)
	lonely := w.lonely(t, "w1")
	w.until(t, name, "gate/"+w.third, v1alpha1.StepSucceeded)
	kills()
	op := w.untilPhase(t, name, v1alpha1.OperationFailed)
	s := stepOf(op, "drain/w1")
	if s.State != v1alpha1.StepFailed || !strings.Contains(s.Message, "default/lonely-") || !strings.Contains(s.Message, "disruption budget lonely") {
		t.Errorf("%s", told(op))
	}
	t.Logf("it says: %s", s.Message)
	w.serves(t)
	w.configured(t, suite.version)
	lonely()
}

// neverReady breaks the kubelet of w2, and resumes: w1 is upgraded, w2 is where it ends.
// It is aborted then.
func (w *withstand) neverReady(t *testing.T) {
	name := w.latest(t)
	const dropIn = "/etc/systemd/system/kubelet.service.d/99-broken.conf"
	w.verb(t, "resume", name)
	w.until(t, name, "kubelet/w2", v1alpha1.StepRunning)
	if r := w.try(t, "w2", []byte("[Service]\nExecStartPre=/bin/false\n"), "tee", dropIn); r.code != 0 {
		t.Fatal(r)
	}
	w.exec(t, "w2", "systemctl", "daemon-reload")
	op := w.untilPhase(t, name, v1alpha1.OperationFailed)
	if s := stepOf(op, "kubelet/w2"); s.State != v1alpha1.StepFailed {
		t.Errorf("%s", told(op))
	}
	t.Logf("it says: %s", stepOf(op, "kubelet/w2").Message)
	if got := w.kubeletOf(t, "w1"); got != suite.version {
		t.Errorf("w1 is at %s", got)
	}
	w.exec(t, "w2", "rm", dropIn)
	w.exec(t, "w2", "systemctl", "daemon-reload")
	w.exec(t, "w2", "systemctl", "restart", "kubelet")
	w.verb(t, "abort", name)
	w.untilPhase(t, name, v1alpha1.OperationAborted)
	w.serves(t)
}

// rest upgrades what is left.
func (w *withstand) rest(t *testing.T) {
	r := w.ha(t, upgradeDeadline, w.args("--only", "nodes")...)
	if r.code != 0 {
		t.Fatalf("the rest: %s", r)
	}
	w.serves(t)
	w.checkUpgraded(t)
	w.checkBackups(t)
	w.checkDNSSpread(t)
}

// oldFile: a bootstrap with the Cluster file of before says what to do, and passes
// once that was done.
func (w *withstand) oldFile(t *testing.T) {
	r := w.ha(t, suiteDeadline, "bootstrap", "-f", w.file, "--bundle", suite.bundles[suite.other], "--yes", "--kubeconfig-out", w.kubeconfig)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "write kubernetesVersion: "+suite.version) {
		t.Errorf("with the old file: %s", r)
	}
	w.checkUpgraded(t)
	text, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.file, []byte(strings.ReplaceAll(string(text), suite.other, suite.version)), 0o600); err != nil {
		t.Fatal(err)
	}
	r = w.ha(t, 5*time.Minute, "bootstrap", "-f", w.file, "--bundle", w.bundle, "--yes", "--kubeconfig-out", w.kubeconfig)
	if r.code != 0 {
		t.Errorf("with the new version in the file: %s", r)
	}
	w.serves(t)
}

// killCoordinators kills the process of the coordinator of the Operation that running names, empty for
// none, at random moments, until it was done often enough or what it returns is called, which tells how
// often that was, and wants it to have been at least once.
func (c *cluster) killCoordinators(t *testing.T, most int, running func(context.Context) string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	killed := 0
	done.Go(func() {
		for killed < most {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(3000+rand.IntN(17000)) * time.Millisecond):
			}
			if name := running(ctx); name != "" && c.killCoordinator(ctx, name) {
				killed++
			}
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		done.Wait()
		t.Logf("%d coordinators were killed", killed)
		if killed == 0 {
			t.Error("no coordinator was killed")
		}
	})
}

// killCoordinator kills the one that has the lease. The API may be away, or the pod
// gone: then none is killed.
func (c *cluster) killCoordinator(ctx context.Context, name string) bool {
	pod := c.coordinator(ctx, name)
	if pod == nil || len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	_, id, ok := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	if !ok {
		return false
	}
	argv := c.argv("exec", pod.Spec.NodeName, "--", "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", id)
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := command(within, "", nil, argv...)
	return err == nil && r.code == 0
}

// coordinator is the pod that carries an Operation out; nil when that can't be told.
func (c *cluster) coordinator(ctx context.Context, name string) *corev1.Pod {
	raw, err := c.client.RESTClient().Get().AbsPath("/apis/kubectl-ha.dev/v1alpha1/operations/" + name).DoRaw(ctx)
	if err != nil {
		return nil
	}
	var op v1alpha1.Operation
	if err := json.Unmarshal(raw, &op); err != nil || op.Status.Coordinator == "" {
		return nil
	}
	pod, err := c.client.CoreV1().Pods("ha-system").Get(ctx, op.Status.Coordinator, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return pod
}

// powerCycle cuts a host's power, and boots it.
func (w *withstand) powerCycle(t *testing.T, host string) {
	t.Helper()
	time.Sleep(time.Duration(rand.IntN(20)) * time.Second) // not a wait for anything: a random moment
	w.run(t, "kill", host)
	t.Logf("%s: the power of %s is cut", time.Now().Format("15:04:05"), host)
	w.run(t, "start", host)
}

// stopCoordinatorsNode shuts the coordinator's node down for a minute, unless it is the
// third control plane, which is under upgrade; then it is w2.
func (w *withstand) stopCoordinatorsNode(t *testing.T, name string) {
	t.Helper()
	node := ""
	eventually(t, 2*time.Minute, "there is a coordinator", func() (bool, string) {
		if pod := w.coordinator(context.Background(), name); pod != nil {
			node = pod.Spec.NodeName
		}
		return node != "", "none"
	})
	t.Logf("%s: %s, with the coordinator, is stopped for a minute", time.Now().Format("15:04:05"), node)
	if node == w.third {
		node = "w2"
	}
	w.run(t, "stop", node)
	time.Sleep(time.Minute)
	w.run(t, "start", node)
}

// lonely makes a Deployment of one pod on a node whose budget never lets it go. What it
// returns takes both away.
func (w *withstand) lonely(t *testing.T, node string) func() {
	t.Helper()
	ctx := context.Background()
	one, labels := intstr.FromInt32(1), map[string]string{"app": "lonely"}
	meta := metav1.ObjectMeta{Name: "lonely", Labels: labels}
	pause := w.pauseImage(t, node)
	eventually(t, 2*time.Minute, "a pod and its budget are there", func() (bool, string) {
		_, err := w.client.PolicyV1().PodDisruptionBudgets("default").Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: meta,
			Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return false, err.Error()
		}
		_, err = w.client.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				NodeSelector: map[string]string{corev1.LabelHostname: node},
				Containers:   []corev1.Container{{Name: "c", Image: pause, ImagePullPolicy: corev1.PullNever}},
			}}}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return false, err.Error()
		}
		d, err := w.client.AppsV1().Deployments("default").Get(ctx, "lonely", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		return d.Status.ReadyReplicas == 1, fmt.Sprintf("%+v", d.Status)
	})
	return func() {
		if err := w.client.PolicyV1().PodDisruptionBudgets("default").Delete(ctx, "lonely", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		if err := w.client.AppsV1().Deployments("default").Delete(ctx, "lonely", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
}
