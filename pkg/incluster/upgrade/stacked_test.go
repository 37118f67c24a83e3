package upgrade

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// TestStackedFloors: kubeadm brings its own etcd across a minor version from any patch release; upstream wants
// every member at one that lets go of members that were removed.
func TestStackedFloors(t *testing.T) {
	for name, tc := range map[string]struct {
		have, version, named string
		external             bool
		only                 v1alpha1.UpgradeScope
		want                 string
	}{
		"within a minor version":               {have: "3.6.6", version: "v1.36.3"},
		"to 3.6 from one too old":              {have: "3.5.24", version: "v1.36.3", want: "3.5.26 or later"},
		"to 3.6 from the floor":                {have: "3.5.26", version: "v1.36.3"},
		"to 3.7 from one too old":              {have: "3.6.8", version: "v1.37.2", want: "3.6.11 or later"},
		"to 3.7 from a later one":              {have: "3.6.16", version: "v1.37.2"},
		"to a version that the document names": {have: "3.6.8", version: "v1.37.2", named: "v3.6.16"},
		"workers alone":                        {have: "3.6.8", version: "v1.37.2", only: v1alpha1.UpgradeNodes},
		"external":                             {have: "3.6.8", version: "v1.37.2", external: true},
		"what is not known":                    {have: "", version: "v1.37.2"},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := storedDocument(), well("v1.36.3")
			if !tc.external {
				c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
			}
			c.Spec.Etcd.Version, o.EtcdTag = tc.named, v1alpha1.EtcdImageTag(tc.named)
			o = change(o, "cp2", func(n *Node) { n.Etcd = tc.have })
			found := checkStackedEtcd(c, &v1alpha1.UpgradeSpec{Version: tc.version, Only: tc.only}, o)
			if tc.want == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || !found[0].Blocks || found[0].Node != "cp2" || !strings.Contains(found[0].Message, tc.want) || found[0].Hint == "" {
				t.Errorf("found %+v, want %q", found, tc.want)
			}
		})
	}
}

// TestStackedMember: a node tells its own etcd's version and whether it is ready, and a member that is not is waited for.
func TestStackedMember(t *testing.T) {
	pod := func(ready corev1.ConditionStatus) []corev1.Pod {
		return []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"component": "etcd"}},
			Spec:   corev1.PodSpec{NodeName: "cp1", Containers: []corev1.Container{{Image: "registry.k8s.io/etcd:3.6.8-0"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}}
	}
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1"}}
	c := storedDocument()
	for _, ready := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse} {
		n := nodeOf(node, nil, pod(ready), time.Now())
		if n.Etcd != "3.6.8" || n.StaticReady[etcdPod] != (ready == corev1.ConditionTrue) {
			t.Errorf("%s: %+v", ready, n)
		}
	}
	n := nodeOf(node, nil, pod(corev1.ConditionFalse), time.Now())
	if waits, err := memberUnwell(t.Context(), c, c.Spec.Hosts[0], n); waits != "" || err != nil {
		t.Errorf("external: %q, %v", waits, err)
	}
	c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
	if waits, err := memberUnwell(t.Context(), c, c.Spec.Hosts[0], n); waits != "its etcd member is not ready" || err != nil {
		t.Errorf("%q, %v", waits, err)
	}
	// Nobody answers at the loopback's port.
	c.Spec.Hosts[0].Address = "127.0.7.99"
	n = nodeOf(node, nil, pod(corev1.ConditionTrue), time.Now())
	if waits, err := memberUnwell(t.Context(), c, c.Spec.Hosts[0], n); !strings.HasPrefix(waits, "its etcd member does not answer") || err != nil {
		t.Errorf("%q, %v", waits, err)
	}
}

// TestStackedCertificates: those of kubeadm's own etcd are renewed by the upgrade itself, and by their own name before.
func TestStackedCertificates(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	c, o := storedDocument(), well("v1.35.4")
	c.Spec.Etcd.Topology = v1alpha1.EtcdStacked
	o.Etcd = []Endpoint{{Node: "cp2", Address: "10.0.0.12:2379", Etcd: true, Due: true, NotAfter: now.Add(100 * 24 * time.Hour)}}
	if found := checkCertificates(c, o, now); len(found) != 0 {
		t.Errorf("in its second half: %+v", found)
	}
	o.Etcd[0].NotAfter = now.Add(24 * time.Hour)
	if found := checkCertificates(c, o, now); len(found) != 1 || found[0].Blocks || found[0].Hint != "the upgrade renews it" {
		t.Errorf("ends soon: %+v", found)
	}
	o.Ending = []Ending{{Node: "cp2", Name: certs.LocalEtcdServer, Renewed: true}}
	if found := checkCertificates(c, o, now); len(found) != 0 {
		t.Errorf("is renewed before: %+v", found)
	}
}

// TestStackedVersion: a version that only one of the two documents has is told of, before kubeadm goes its own way.
func TestStackedVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		document, tag string
		blocks        bool
	}{
		"kubeadm's choice":   {},
		"the same":           {document: "v3.6.16", tag: "3.6.16-0"},
		"another build":      {document: "v3.6.16", tag: "3.6.16-1"},
		"another one":        {document: "v3.6.16", tag: "3.6.8-0", blocks: true},
		"in the file alone":  {document: "v3.6.16", blocks: true},
		"in kubeadm's alone": {tag: "3.6.16-0", blocks: true},
		"a tag of their own": {tag: "ours"},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := storedDocument(), well("v1.36.3")
			c.Spec.Etcd.Topology, c.Spec.Etcd.Version, o.EtcdTag = v1alpha1.EtcdStacked, tc.document, tc.tag
			found := Blocking(checkStackedEtcd(c, &v1alpha1.UpgradeSpec{Version: "v1.36.4"}, o))
			if (len(found) == 1) != tc.blocks {
				t.Errorf("found %+v", found)
			}
			c.Spec.Etcd.Topology = v1alpha1.EtcdExternal
			if found := checkStackedEtcd(c, &v1alpha1.UpgradeSpec{Version: "v1.36.4"}, o); len(found) > 0 {
				t.Errorf("external: %+v", found)
			}
		})
	}
}

// TestConfigured reads both versions of kubeadm's own document.
func TestConfigured(t *testing.T) {
	kube := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"},
		Data: map[string]string{"ClusterConfiguration": "kubernetesVersion: v1.36.3\netcd:\n  local:\n    imageTag: 3.6.16-0\n"}})
	if v, tag, err := configured(t.Context(), kube); v != "v1.36.3" || tag != "3.6.16-0" || err != nil {
		t.Errorf("%q, %q, %v", v, tag, err)
	}
}
