//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// TestBootstrapInterrupted: killed three times at random points, the bootstrap
// ends well, no CA was made anew and no etcd data was lost on the way.
func TestBootstrapInterrupted(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	if len(c.trail) == 0 {
		t.Fatal("the cluster was not bootstrapped by this run (E2E_REUSE): there is nothing to look at")
	}
	for i := 1; i < len(c.trail); i++ {
		before, after := c.trail[i-1], c.trail[i]
		for what, pair := range map[string][2]map[string]string{"cluster CA": {before.clusterCA, after.clusterCA}, "etcd CA": {before.etcdCA, after.etcdCA}} {
			for host, sum := range pair[0] {
				if pair[1][host] != sum {
					t.Errorf("%s on %s was %s when interrupted at %q and is %q after %q", what, host, sum, before.interruptedAt, pair[1][host], after.interruptedAt)
				}
			}
		}
		if before.etcdID != "" && before.etcdID != after.etcdID {
			t.Errorf("etcd's cluster id was %s at %q and is %s at %q", before.etcdID, before.interruptedAt, after.etcdID, after.interruptedAt)
		}
	}
	end := c.trail[len(c.trail)-1]
	if len(end.clusterCA) != 4 || len(end.etcdCA) != 3 {
		t.Errorf("CAs at the end: cluster %v, etcd %v", end.clusterCA, end.etcdCA)
	}
	for _, sums := range []map[string]string{end.clusterCA, end.etcdCA} {
		var all []string
		for _, s := range sums {
			all = append(all, s)
		}
		if slices.Sort(all); len(slices.Compact(all)) != 1 {
			t.Errorf("hosts have different CAs: %v", sums)
		}
	}
}

// TestClusterShape: what comes out is what was asked for.
func TestClusterShape(t *testing.T) {
	sharedCluster(t).checkShape(t)
}

// planes is how many control planes the cluster has: a lab with more than three hosts for
// them has spare ones.
func (c *cluster) planes() int { return min(3, len(c.names("control-plane"))) }

// checkShape is for several control planes and at least one worker.
func (c *cluster) checkShape(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "node-role.kubernetes.io/control-plane"})
	if err != nil || len(nodes.Items) != c.planes() {
		t.Fatalf("control planes: %d %v", len(nodes.Items), err)
	}
	for _, n := range nodes.Items {
		if n.Status.NodeInfo.KubeletVersion != c.version {
			t.Errorf("%s runs kubelet %s", n.Name, n.Status.NodeInfo.KubeletVersion)
		}
		// A control plane's kubelet uses its own apiserver (kubernetes#127316).
		conf := c.exec(t, n.Name, "cat", "/etc/kubernetes/kubelet.conf")
		if !strings.Contains(conf, "server: https://"+internalIP(n)+":6443") {
			t.Errorf("%s: the kubelet does not use its own apiserver:\n%s", n.Name, conf)
		}
	}
	proxy, err := c.client.CoreV1().ConfigMaps("kube-system").Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil || !strings.Contains(proxy.Data["kubeconfig.conf"], "server: https://"+c.vip+":6443") {
		t.Errorf("kube-proxy does not use the virtual IP: %v %v", err, proxy.Data["kubeconfig.conf"])
	}
	info, err := c.client.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{})
	if err != nil || !strings.Contains(info.Data["kubeconfig"], "server: https://"+c.vip+":6443") {
		t.Errorf("cluster-info does not name the virtual IP: %v", err)
	}
	stored, err := c.client.CoreV1().ConfigMaps("ha-system").Get(ctx, "cluster", metav1.GetOptions{})
	if err != nil || !strings.Contains(stored.Data["cluster.yaml"], c.vip) {
		t.Errorf("the Cluster is not stored: %v", err)
	}
	c.checkDNSSpread(t)
	c.checkServiceWorks(t)
}

func internalIP(n corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

func (c *cluster) checkDNSSpread(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "CoreDNS has a ready pod on each control plane", func() (bool, string) {
		pods, err := c.client.CoreV1().Pods("kube-system").List(context.Background(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
		if err != nil {
			return false, err.Error()
		}
		on := map[string]bool{}
		for _, p := range pods.Items {
			for _, cond := range p.Status.Conditions {
				if cond.Type == corev1.PodReady && cond.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
					on[p.Spec.NodeName] = true
				}
			}
		}
		seen, _ := json.Marshal(on) // a map of booleans always encodes
		return len(on) == c.planes() && len(pods.Items) == c.planes(), string(seen)
	})
}

// checkServiceWorks resolves a name through the cluster's DNS service from the
// worker and reaches the API through its service address: pod network, kube-proxy and CoreDNS at work.
func (c *cluster) checkServiceWorks(t *testing.T) {
	t.Helper()
	worker := c.names("worker")[0]
	dns, err := c.client.CoreV1().Services("kube-system").Get(context.Background(), "kube-dns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	api, err := c.client.CoreV1().Services("default").Get(context.Background(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "DNS and the API's service address answer on the worker", func() (bool, string) {
		name, err := resolve(c, t, worker, dns.Spec.ClusterIP)
		if err != nil {
			return false, err.Error()
		}
		r := c.try(t, worker, nil, "curl", "-sk", "--max-time", "3", "https://"+api.Spec.ClusterIP+"/version")
		return name == api.Spec.ClusterIP && strings.Contains(r.stdout, c.version), name + " " + r.String()
	})
}

// TestSecondRunChangesNothing: on a healthy cluster the bootstrap changes
// nothing, neither objects nor files, and says so.
func TestSecondRunChangesNothing(t *testing.T) {
	sharedCluster(t).checkSecondRun(t)
}

func (c *cluster) checkSecondRun(t *testing.T) {
	t.Helper()
	c.settled(t)
	c.jobsEnded(t)
	before, files := c.ownedVersions(t), c.files(t)
	start := time.Now()
	r := c.ha(t, 5*time.Minute, c.bootstrapArgs()...)
	t.Logf("the second run took %s", time.Since(start).Round(100*time.Millisecond))
	if r.code != 0 {
		t.Fatalf("second run: %s", r)
	}
	if !strings.Contains(r.stdout, "nothing to do") {
		t.Errorf("the second run does not say that there was nothing to do: %s", r)
	}
	for name, v := range c.ownedVersions(t) {
		if before[name] != v {
			t.Errorf("%s changed: resourceVersion %s, then %s", name, before[name], v)
		}
	}
	for name, v := range c.files(t) {
		if files[name] != v {
			t.Errorf("%s changed:\n%s\n%s", name, files[name], v)
		}
	}
}

// jobsEnded waits until every Job has ended: a standby coordinator takes some
// seconds for it when the Operation has ended already.
func (c *cluster) jobsEnded(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "every Job in ha-system has ended", func() (bool, string) {
		jobs, err := c.client.BatchV1().Jobs("ha-system").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, j := range jobs.Items {
			if !slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
				return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
			}) {
				return false, fmt.Sprintf("%s: %+v", j.Name, j.Status)
			}
		}
		return true, ""
	})
}

// ownedVersions lists the resourceVersions of what kubectl-ha owns in the cluster.
func (c *cluster) ownedVersions(t *testing.T) map[string]string {
	t.Helper()
	dyn, err := dynamic.NewForConfig(c.config)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, x := range []struct{ group, version, resource, namespace, name string }{
		{"", "v1", "namespaces", "", "ha-system"}, {"", "v1", "configmaps", "ha-system", "cluster"},
		{"", "v1", "serviceaccounts", "ha-system", ""}, {"batch", "v1", "jobs", "ha-system", ""}, {"", "v1", "secrets", "ha-system", ""},
		{"kubectl-ha.dev", "v1alpha1", "operations", "", ""},
		{"", "v1", "configmaps", "kube-system", "kube-proxy"}, {"", "v1", "configmaps", "kube-system", "kubeadm-config"},
		{"", "v1", "configmaps", "kube-public", "cluster-info"}, {"apps", "v1", "daemonsets", "kube-flannel", ""},
		{"apiextensions.k8s.io", "v1", "customresourcedefinitions", "", "operations.kubectl-ha.dev"},
	} {
		opts := metav1.ListOptions{}
		if x.name != "" {
			opts.FieldSelector = "metadata.name=" + x.name
		}
		list, err := dyn.Resource(schema.GroupVersionResource{Group: x.group, Version: x.version, Resource: x.resource}).Namespace(x.namespace).List(context.Background(), opts)
		if err != nil {
			t.Fatalf("%s: %v", x.resource, err)
		}
		for _, o := range list.Items {
			v := o.GetResourceVersion()
			if x.resource == "daemonsets" {
				v = string(o.GetUID()) + "/" + string(rune('0'+o.GetGeneration()))
			}
			out[x.resource+"/"+o.GetNamespace()+"/"+o.GetName()] = v
		}
	}
	return out
}

// files lists mode, owner, time and content of what is on the hosts' disks.
func (c *cluster) files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range c.names() {
		roots := []string{"/etc", "/usr/local", "/var/lib/kubectl-ha"}
		if !slices.Contains(c.names("etcd"), h) {
			roots = append(roots, "/opt/cni", "/var/lib/kubelet/config.yaml")
		}
		list := c.exec(t, h, slices.Concat([]string{"find"}, roots, []string{"-type", "f", "-printf", "%p %m %u:%g %s %T@\n"})...)
		for line := range strings.Lines(list) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			// The lock names its last holder; it is not a setting.
			if !strings.HasSuffix(name, "/lock") && name != "/etc/mtab" {
				out[h+":"+name] = rest
			}
		}
	}
	return out
}

// TestKubeconfigFileOfBootstrap: it is 0600, names the cluster and works.
func TestKubeconfigFileOfBootstrap(t *testing.T) {
	c := sharedCluster(t)
	info, err := os.Stat(c.kubeconfig)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if _, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
}
