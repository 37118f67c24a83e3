package incluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// fakeCluster plays what a kubeadm cluster has besides its apiserver: kubelets,
// the controllers that matter here, and the agents. Whatever it is asked for
// that a Join does not need is a failure.
type fakeCluster struct {
	*testing.T
	kube kubernetes.Interface
	c    *v1alpha1.Cluster
	mu   sync.Mutex
	ran  map[string]int
	// secrets are the tokens and keys that were seen.
	secrets []string
	// other plays the tasks that a Join does not know; nil: none is expected.
	other func(ctx context.Context, on string, req node.Request) (node.Result, error)
}

func document(t *testing.T) *v1alpha1.Cluster {
	t.Helper()
	c, _, err := v1alpha1.Load([]byte(strings.Join([]string{
		"apiVersion: kubectl-ha.dev/v1alpha1", "kind: Cluster", "metadata: {name: test}",
		"spec:", "  kubernetesVersion: v1.36.3", "  virtualIP: 10.77.0.100", "  hosts:",
		"  - {name: cp1, address: 10.77.0.11, roles: [control-plane]}",
		"  - {name: cp2, address: 10.77.0.12, roles: [control-plane], labels: {zone: b}}",
		"  - {name: cp3, address: 10.77.0.13, roles: [control-plane]}",
		"  - {name: w1, address: 10.77.0.21}", "",
	}, "\n")), "cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fakeCluster) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// create makes what kubeadm init and the joining leave, with the first
// control plane's own address where the virtual IP should be.
func (f *fakeCluster) create() {
	f.Helper()
	ctx := f.Context()
	for _, h := range f.c.Nodes() {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: h.Name, Labels: map[string]string{}}}
		if h.Name == "cp1" {
			n.Labels["node-role.kubernetes.io/control-plane"] = ""
		}
		_, err := f.kube.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
		f.must(err)
		fresh := metav1.NewMicroTime(time.Now().Add(time.Hour))
		_, err = f.kube.CoordinationV1().Leases("kube-node-lease").Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: h.Name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &h.Name, RenewTime: &fresh},
		}, metav1.CreateOptions{})
		f.must(err)
	}
	ca, err := pki.NewCA("kubernetes", time.Hour)
	f.must(err)
	for _, m := range []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"}, Data: map[string]string{"kubeconfig": f.kubeconfig(ca.CertPEM)}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"}, Data: map[string]string{"ClusterConfiguration": "controlPlaneEndpoint: 10.77.0.11:6443\nkind: ClusterConfiguration\n"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-proxy"}, Data: map[string]string{"kubeconfig.conf": f.kubeconfig(nil), "config.conf": "mode: iptables\n"}},
	} {
		_, err := f.kube.CoreV1().ConfigMaps(m.Namespace).Create(ctx, m, metav1.CreateOptions{})
		f.must(err)
	}
	pod := func(name string) (metav1.ObjectMeta, *metav1.LabelSelector, corev1.PodTemplateSpec) {
		labels := map[string]string{"k8s-app": name}
		return metav1.ObjectMeta{Name: name}, &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: name}}},
		}
	}
	meta, selector, template := pod("kube-proxy")
	_, err = f.kube.AppsV1().DaemonSets("kube-system").Create(ctx, &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}, metav1.CreateOptions{})
	f.must(err)
	meta, selector, template = pod("kube-dns")
	meta.Name = "coredns"
	two := int32(2)
	_, err = f.kube.AppsV1().Deployments("kube-system").Create(ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: selector, Template: template}}, metav1.CreateOptions{})
	f.must(err)
}

func (f *fakeCluster) kubeconfig(ca []byte) string {
	f.Helper()
	c := api.NewConfig()
	c.Clusters["default"] = &api.Cluster{Server: "https://10.77.0.11:6443", CertificateAuthorityData: ca}
	data, err := clientcmd.Write(*c)
	f.must(err)
	return string(data)
}

// play is everybody else in the cluster, until the test ends.
func (f *fakeCluster) play() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, act := range []func(context.Context) error{f.kubelets, f.signer, f.daemonSets, f.coreDNS} {
				if err := act(ctx); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
					f.Error(err)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
}

// kubelets are Ready once there is a network plugin.
func (f *fakeCluster) kubelets(ctx context.Context) error {
	_, err := f.kube.AppsV1().DaemonSets("kube-flannel").Get(ctx, "kube-flannel-ds", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	nodes, err := f.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		if len(n.Status.Conditions) > 0 {
			continue
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if _, err := f.kube.CoreV1().Nodes().UpdateStatus(ctx, &n, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// signer signs cluster-info with each bootstrap token.
func (f *fakeCluster) signer(ctx context.Context) error {
	secrets, err := f.kube.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, s := range secrets.Items {
		id, ok := strings.CutPrefix(s.Name, "bootstrap-token-")
		if !ok {
			continue
		}
		patch := fmt.Sprintf(`{"data":{"jws-kubeconfig-%s":"signed"}}`, id)
		if _, err := f.kube.CoreV1().ConfigMaps("kube-public").Patch(ctx, "cluster-info", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeCluster) daemonSets(ctx context.Context) error {
	ds, err := f.kube.AppsV1().DaemonSets("kube-system").Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil || ds.Status.ObservedGeneration == ds.Generation {
		return err
	}
	ds.Status = appsv1.DaemonSetStatus{ObservedGeneration: ds.Generation, DesiredNumberScheduled: 4, CurrentNumberScheduled: 4, UpdatedNumberScheduled: 4, NumberAvailable: 4, NumberReady: 4}
	_, err = f.kube.AppsV1().DaemonSets("kube-system").UpdateStatus(ctx, ds, metav1.UpdateOptions{})
	return err
}

// coreDNS puts the pods all on one node until it is asked to spread them.
func (f *fakeCluster) coreDNS(ctx context.Context) error {
	d, err := f.kube.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil || d.Status.ObservedGeneration == d.Generation {
		return err
	}
	restarted := d.Spec.Template.Annotations["kubectl-ha.dev/spread-by"] != ""
	for i := range *d.Spec.Replicas {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("coredns-%d-%d", d.Generation, i), Labels: d.Spec.Template.Labels}, Spec: d.Spec.Template.Spec}
		p.Spec.NodeName = "cp1"
		if restarted {
			p.Spec.NodeName = fmt.Sprintf("cp%d", i+1)
		}
		if _, err := f.kube.CoreV1().Pods("kube-system").Create(ctx, p, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		zero := int64(0)
		old := fmt.Sprintf("coredns-%d-%d", d.Generation-1, i)
		if err := f.kube.CoreV1().Pods("kube-system").Delete(ctx, old, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"},
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}}}
	_, err = f.kube.AppsV1().Deployments("kube-system").UpdateStatus(ctx, d, metav1.UpdateOptions{})
	return err
}

// runner plays the agents.
func (f *fakeCluster) runner(j engine.Job) transport.Runner { return fakeAgent{f, j.Name} }

type fakeAgent struct {
	*fakeCluster
	job string
}

func (f fakeAgent) Run(ctx context.Context, on string, req node.Request, _ report.Sink) (node.Result, error) {
	f.mu.Lock()
	f.ran[req.Task+" "+on]++
	f.mu.Unlock()
	if req.Cluster != "test" {
		return node.Result{}, fmt.Errorf("the request is for cluster %q", req.Cluster)
	}
	switch req.Task {
	case tasks.UploadCerts:
		return f.uploadCerts(ctx, req)
	case tasks.Promote:
		return f.promote(ctx, on, req)
	}
	if f.other == nil {
		return node.Result{}, fmt.Errorf("nobody expected the task %q", req.Task)
	}
	return f.other(ctx, on, req)
}

func (f fakeAgent) uploadCerts(ctx context.Context, req node.Request) (node.Result, error) {
	var spec controlplane.UploadCertsSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil {
		return node.Result{}, err
	}
	f.remember(string(spec.Config), "certificateKey:")
	_, err := f.kube.CoreV1().Secrets("kube-system").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm-certs"}}, metav1.CreateOptions{})
	return node.Result{Changes: make([]host.Change, 1)}, err
}

func (f fakeAgent) promote(ctx context.Context, on string, req node.Request) (node.Result, error) {
	var spec controlplane.PromoteSpec
	if err := json.Unmarshal(req.Spec, &spec); err != nil {
		return node.Result{}, err
	}
	h, _ := f.c.Host(on)
	if spec.LocalEndpoint != "https://"+h.Address+":6443" || !strings.Contains(string(spec.Config), "10.77.0.100:6443") {
		return node.Result{}, fmt.Errorf("the request for %s is %s: %s", on, spec.LocalEndpoint, spec.Config)
	}
	f.remember(string(spec.Config), "certificateKey:")
	token := f.remember(string(spec.Config), "token:")
	id, _, _ := strings.Cut(token, ".")
	if _, err := f.kube.CoreV1().Secrets("kube-system").Get(ctx, "bootstrap-token-"+id, metav1.GetOptions{}); err != nil {
		return node.Result{}, fmt.Errorf("the cluster doesn't know the token: %w", err)
	}
	patch := `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}`
	_, err := f.kube.CoreV1().Nodes().Patch(ctx, on, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return node.Result{Changes: make([]host.Change, 1)}, err
}

// remember returns what stands behind a key in YAML.
func (f fakeAgent) remember(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
			value = strings.Trim(value, ` "'`)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.secrets = append(f.secrets, value)
			return value
		}
	}
	f.Errorf("there is no %s in %s", key, text)
	return ""
}

func (f *fakeCluster) tasks() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.ran)
}
