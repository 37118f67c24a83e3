package incluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/join"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/nodes"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

const deadline = 2 * time.Minute

// coordinatorUser is who the coordinator is, as the API knows it.
const coordinatorUser = "system:serviceaccount:ha-system:ha-coordinator"

// asCoordinator has the rights of the coordinator's service account, and is bounded by its policy.
func asCoordinator(t *testing.T, admin *rest.Config) *client.Clients {
	t.Helper()
	clients, err := client.New(kubetest.AsServiceAccount(admin, v1alpha1.SystemNamespace, "ha-coordinator"))
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// coordinate plays the coordinator's pod: with the rights of its service
// account it carries out each Operation that has a coordinator's Job.
func coordinate(t *testing.T, admin *rest.Config, f *fakeCluster) {
	t.Helper()
	clients := asCoordinator(t, admin)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait() })
	all.Go(func() {
		begun := map[string]bool{}
		for ctx.Err() == nil {
			jobs, err := f.kube.BatchV1().Jobs("ha-system").List(ctx, metav1.ListOptions{})
			for i := range jobs.Items {
				name, ok := strings.CutSuffix(jobs.Items[i].Name, "-coordinator")
				if err != nil || !ok || begun[string(jobs.Items[i].UID)] {
					continue
				}
				begun[string(jobs.Items[i].UID)] = true
				all.Go(func() { carryOut(ctx, t, clients, f, name) })
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

func carryOut(ctx context.Context, t *testing.T, clients *client.Clients, f *fakeCluster, name string) {
	stored, err := incluster.StoredCluster(ctx, clients.Kube)
	if err == nil {
		err = engine.Coordinate(ctx, engine.Config{
			Clients: clients, Operation: name, Identity: "test", Cluster: stored,
			Claim: func(ctx context.Context, operation string) error {
				return operations.New(clients.Dynamic).Claim(ctx, clients.Kube, operation)
			},
			Definitions: map[v1alpha1.OperationType]engine.Definition{
				v1alpha1.OperationJoin: join.Definition(), v1alpha1.OperationRemoveNode: nodes.RemoveDefinition(), v1alpha1.OperationUpgrade: upgrade.Definition(), v1alpha1.OperationRollbackNode: upgrade.RollbackDefinition(),
			},
			Runner: f.runner, Sink: report.SinkFunc(func(e report.Event) { t.Log(e.Kind, e.Step, e.Message, e.Error) }),
		})
	}
	if err != nil && ctx.Err() == nil {
		t.Errorf("coordinate %s: %v", name, err)
	}
}

func start(t *testing.T) (*kubetest.Server, *fakeCluster) {
	t.Helper()
	s := kubetest.Start(t)
	kube, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	return s, &fakeCluster{T: t, kube: kube, c: document(t), ran: map[string]int{}}
}

// versions are the resourceVersions of everything that kubectl-ha may write.
func versions(t *testing.T, config *rest.Config) map[string]string {
	t.Helper()
	clients, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "nodes"}, {Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "secrets"},
		{Version: "v1", Resource: "namespaces"}, {Version: "v1", Resource: "serviceaccounts"},
		{Group: "apps", Version: "v1", Resource: "daemonsets"}, {Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "batch", Version: "v1", Resource: "jobs"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
		{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: v1alpha1.OperationResource},
	} {
		list, err := clients.Dynamic.Resource(r).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			out[r.Resource+" "+u.GetNamespace()+"/"+u.GetName()] = u.GetResourceVersion()
		}
	}
	return out
}

func TestJoin(t *testing.T) {
	s, f := start(t)
	f.create()
	f.play()
	coordinate(t, s.Config, f)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	waited := awaitCondition(ctx, t, s)
	var mu sync.Mutex
	var told []string
	sink := report.SinkFunc(func(e report.Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(e.Kind, " ", e.Step, " ", e.Message))
	})
	if err := incluster.Join(ctx, s.Config, f.c, v1alpha1.Agents{{Image: "agent:1"}}, sink); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"upload-certs cp1": 1, "promote cp2": 1, "promote cp3": 1}
	if got := f.tasks(); !maps.Equal(got, want) {
		t.Errorf("tasks were %v, want %v", got, want)
	}
	checkSettings(t, f)
	checkSecrets(t, s, f)
	mu.Lock()
	all := strings.Join(told, "\n")
	mu.Unlock()
	for _, e := range []string{"done promote/cp2", "done promote/cp3", "done network", "done nodes-ready", "done coredns-ready", "done clean-up", "info  all 11 steps done"} {
		if !strings.Contains(all, e) {
			t.Errorf("%q was not told:\n%s", e, all)
		}
	}
	checkColumns(t, s)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	checkTold(t, s)
	again(t, s, f)
}

// again joins a cluster that is as it should be.
func again(t *testing.T, s *kubetest.Server, f *fakeCluster) {
	t.Helper()
	if needs, why, err := incluster.NeedsJoin(t.Context(), s.Config, f.c); needs || err != nil {
		t.Errorf("a join is needed: %v, %v", why, err)
	}
	before := versions(t, s.Config)
	if err := incluster.Join(t.Context(), s.Config, f.c, v1alpha1.Agents{{Image: "agent:1"}}, report.SinkFunc(func(report.Event) {})); err != nil {
		t.Fatal(err)
	}
	after := versions(t, s.Config)
	for k, v := range after {
		// cluster-info is written by the test itself all the time.
		if before[k] != v && k != "configmaps kube-public/cluster-info" {
			t.Errorf("the second join wrote %s", k)
		}
	}
	if len(before) != len(after) {
		t.Errorf("there were %d objects, now there are %d", len(before), len(after))
	}
}

func checkSettings(t *testing.T, f *fakeCluster) {
	t.Helper()
	ctx := t.Context()
	for _, c := range []struct{ ns, name, key string }{
		{"kube-system", "kube-proxy", "kubeconfig.conf"}, {"kube-public", "cluster-info", "kubeconfig"}, {"kube-system", "kubeadm-config", "ClusterConfiguration"},
	} {
		m, err := f.kube.CoreV1().ConfigMaps(c.ns).Get(ctx, c.name, metav1.GetOptions{})
		if err != nil || !strings.Contains(m.Data[c.key], "10.77.0.100:6443") || strings.Contains(m.Data[c.key], "10.77.0.11:") {
			t.Errorf("%s is %s, %v", c.name, m.Data[c.key], err)
		}
	}
	d, err := f.kube.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spread := d.Spec.Template.Spec.TopologySpreadConstraints
	if *d.Spec.Replicas != 3 || len(spread) != 1 || *spread[0].MinDomains != 3 || spread[0].LabelSelector.MatchLabels["k8s-app"] != "kube-dns" {
		t.Errorf("CoreDNS is %+v", d.Spec)
	}
	if d.Spec.Template.Annotations["kubectl-ha.dev/spread-by"] == "" {
		t.Error("CoreDNS, all on one node, was not restarted")
	}
	for name, label := range map[string]string{"w1": "node-role.kubernetes.io/worker", "cp2": "zone"} {
		n, err := f.kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if _, ok := n.Labels[label]; err != nil || !ok {
			t.Errorf("%s has labels %v, %v", name, n.Labels, err)
		}
	}
}

// checkSecrets looks for what should be gone, and for secrets where none
// should be.
func checkSecrets(t *testing.T, s *kubetest.Server, f *fakeCluster) {
	t.Helper()
	for _, ns := range []string{"kube-system", "ha-system"} {
		left, err := f.kube.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(left.Items) > 0 {
			t.Errorf("secrets left in %s: %v, %v", ns, left.Items, err)
		}
	}
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := ops.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("operations: %v, %v", all, err)
	}
	text, err := json.Marshal(all)
	if err != nil || len(f.secrets) != 5 {
		t.Fatalf("%d secrets were seen, %v", len(f.secrets), err)
	}
	for _, secret := range f.secrets {
		if strings.Contains(string(text), secret) {
			t.Errorf("a secret is in the operation: %s", text)
		}
	}
}

func checkColumns(t *testing.T, s *kubetest.Server) {
	t.Helper()
	kubectl := os.Getenv("KUBECTL")
	if kubectl == "" {
		t.Log("KUBECTL doesn't name a kubectl, its columns are not tested")
		return
	}
	out, err := exec.Command(kubectl, "--kubeconfig", s.Kubeconfig, "get", "op").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME TYPE PHASE PROGRESS MESSAGE AGE" {
		t.Errorf("columns are %s", got)
	}
	if row := strings.Join(strings.Fields(lines[1])[1:4], " "); row != "Join Succeeded 11/11" {
		t.Errorf("the row is %s", lines[1])
	}
}

func TestOperations(t *testing.T) {
	s, f := start(t)
	if changed, err := incluster.Install(t.Context(), s.Config, f.c); err != nil || len(changed) == 0 {
		t.Fatalf("installed %v, %v", changed, err)
	}
	if changed, err := incluster.Install(t.Context(), s.Config, f.c); err != nil || len(changed) > 0 {
		t.Errorf("a second time %v changed, %v", changed, err)
	}
	ops, err := incluster.NewOperations(s.Config, v1alpha1.Agents{{Image: "agent:1"}})
	if err != nil {
		t.Fatal(err)
	}
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationJoin, Join: &v1alpha1.JoinSpec{Source: "cp1", ControlPlanes: []string{"cp2"}}}
	name := creators(t, ops, spec)
	checkCoordinatorJob(t, f, name)
	checkImmutable(t, s, name)
	checkUpgradeRules(t, s)
	checkStatusRules(t, s)
	if err := ops.Pause(t.Context(), name); err != nil {
		t.Error(err)
	}
	if op, err := ops.Get(t.Context(), name); err != nil || !op.Spec.Paused {
		t.Errorf("not paused: %v, %v", op, err)
	}
	if err := ops.Resume(t.Context(), name); err != nil {
		t.Error(err)
	}
	if op, err := ops.Get(t.Context(), name); err != nil || op.Spec.Paused {
		t.Errorf("still paused: %v, %v", op, err)
	}
	coordinate(t, s.Config, f)
	if err := ops.Abort(t.Context(), name); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	var failed *incluster.FailedError
	if err := ops.Watch(ctx, name, report.SinkFunc(func(report.Event) {})); !errors.As(err, &failed) || failed.Phase != v1alpha1.OperationAborted {
		t.Errorf("it ended with %v", err)
	}
	for verb, do := range map[string]func(context.Context, string) error{"pause": ops.Pause, "resume": ops.Resume, "abort": ops.Abort} {
		if err := do(t.Context(), name); err == nil || !strings.Contains(err.Error(), "Aborted") {
			t.Errorf("%s of an aborted operation: %v", verb, err)
		}
	}
	// The way is free for the next one.
	if op, err := ops.Create(t.Context(), spec); err != nil || op.Name == name {
		t.Errorf("the next one: %v, %v", op, err)
	}
}

// creators creates five Operations at once: one is there in the end, the
// others are told who won.
func creators(t *testing.T, ops *incluster.Operations, spec v1alpha1.OperationSpec) string {
	t.Helper()
	type made struct {
		op  *v1alpha1.Operation
		err error
	}
	results := make(chan made, 5)
	for range cap(results) {
		go func() {
			op, err := ops.Create(context.Background(), spec)
			results <- made{op, err}
		}()
	}
	name, busy := "", 0
	for range cap(results) {
		m := <-results
		var b *operations.BusyError
		switch {
		case m.err == nil && name == "":
			name = m.op.Name
		case m.err == nil:
			t.Errorf("%s and %s were both created", name, m.op.Name)
		case errors.As(m.err, &b):
			busy++
		default:
			t.Error(m.err)
		}
	}
	all, err := ops.List(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != name || busy != 4 {
		t.Fatalf("%q won, %d were told so, and there are %d: %v", name, busy, len(all), err)
	}
	return name
}

func checkCoordinatorJob(t *testing.T, f *fakeCluster, name string) {
	t.Helper()
	j, err := f.kube.BatchV1().Jobs("ha-system").Get(t.Context(), name+"-coordinator", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := j.Spec.Template.Spec
	env := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if env["KUBERNETES_SERVICE_HOST"] != "10.77.0.100" || env["KUBERNETES_SERVICE_PORT"] != "6443" {
		t.Errorf("its environment is %v", env)
	}
	if c := pod.Containers[0].SecurityContext; *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || c.Privileged != nil {
		t.Errorf("its security context is %+v", c)
	}
	if args := strings.Join(pod.Containers[0].Args, " "); args != "agent coordinate --operation "+name+" --agent-image agent:1" {
		t.Errorf("its arguments are %s", args)
	}
	if *j.Spec.PodReplacementPolicy != batchv1.TerminatingOrFailed || len(j.OwnerReferences) != 1 || j.OwnerReferences[0].Name != name {
		t.Errorf("the job is %+v", j)
	}
}

// checkImmutable asks the real apiserver about the rules of the CRD.
func checkImmutable(t *testing.T, s *kubetest.Server, name string) {
	t.Helper()
	clients, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	ri := clients.Dynamic.Resource(schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: v1alpha1.OperationResource})
	for patch, want := range map[string]string{
		`{"spec":{"type":"Upgrade"}}`:               "spec.type",
		`{"spec":{"join":{"source":"cp2"}}}`:        "spec.join can't be changed",
		`{"spec":{"join":null}}`:                    "spec.join is required",
		`{"spec":{"join":{"controlPlanes":["x"]}}}`: "spec.join can't be changed",
	} {
		_, err := ri.Patch(t.Context(), name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", patch, err)
		}
	}
}
