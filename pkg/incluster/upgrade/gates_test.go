package upgrade

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	oldCluster = `apiServer:
  extraArgs:
  - {name: feature-gates, value: "AnyVolumeDataSource=true,NodeSwap=true"}
  - {name: v, value: "2"}
scheduler:
  extraArgs:
  - {name: feature-gates, value: AnyVolumeDataSource=true}
featureGates: {NodeLocalCRISocket: true}
kubernetesVersion: v1.36.3
`
	oldKubelet = "featureGates: {AnyVolumeDataSource: true, NodeSwap: true}\nmaxPods: 200\n"
)

// oldGates is a cluster of 1.36 with gates that 1.37 has no more.
func oldGates() Observation {
	o := well("v1.36.3")
	o.Gates = map[string]string{"kubeadm-config": oldCluster, "kubelet-config": oldKubelet, "kube-proxy": "mode: nftables\n"}
	return o
}

func TestCheckGates(t *testing.T) {
	stored := storedDocument()
	stored.Spec.Kubeadm.ClusterConfiguration = v1alpha1.RawMap{"featureGates": map[string]any{"NodeLocalCRISocket": true}}
	locked := well("v1.35.4")
	locked.Gates = map[string]string{"kubeadm-config": "featureGates: {NodeLocalCRISocket: false}\n"}
	broken := well("v1.36.3")
	broken.Gates = map[string]string{"kubelet-config": ":"}
	for _, tc := range []struct {
		name string
		spec v1alpha1.UpgradeSpec
		c    *v1alpha1.Cluster
		o    Observation
		want []string
		free bool
	}{
		{"gone", v1alpha1.UpgradeSpec{Version: "v1.37.2"}, storedDocument(), oldGates(), []string{
			"kubeadm-config.featureGates: kubeadm 1.37 has no feature gate NodeLocalCRISocket any more, 1.36 was the last with it",
			"kubeadm-config.apiServer.extraArgs: Kubernetes 1.37 has no feature gate AnyVolumeDataSource any more",
			"kubeadm-config.scheduler.extraArgs: ", "kubelet-config.featureGates: "}, false},
		{"to be removed", v1alpha1.UpgradeSpec{Version: "v1.37.2", RemoveFeatureGates: true}, storedDocument(), oldGates(), []string{
			"NodeLocalCRISocket is removed there", "AnyVolumeDataSource is removed there", "AnyVolumeDataSource is removed there", "AnyVolumeDataSource is removed there"}, true},
		{"still there", v1alpha1.UpgradeSpec{Version: "v1.36.3"}, storedDocument(), oldGates(), nil, true},
		{"in the document alone", v1alpha1.UpgradeSpec{Version: "v1.37.2"}, stored, well("v1.36.3"), []string{"spec.kubeadm.clusterConfiguration.featureGates: "}, false},
		{"locked", v1alpha1.UpgradeSpec{Version: "v1.36.3"}, storedDocument(), locked, []string{"locked to true in kubeadm 1.36"}, false},
		{"can't be read", v1alpha1.UpgradeSpec{Version: "v1.37.2", RemoveFeatureGates: true}, storedDocument(), broken, []string{"kubelet-config can't be read"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := checkGates(tc.c, &tc.spec, tc.o)
			if len(got) != len(tc.want) || tc.free != (len(Blocking(got)) == 0) {
				t.Fatalf("%v, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.Contains(got[i].String(), want) {
					t.Errorf("%q, want %q", got[i], want)
				}
			}
		})
	}
	if len(stored.Spec.Kubeadm.ClusterConfiguration) != 1 {
		t.Error("a look has changed the document")
	}
}

// TestPlanRemovesGates: before anything is upgraded, and only when told to.
func TestPlanRemovesGates(t *testing.T) {
	for _, remove := range []bool{true, false} {
		op := &v1alpha1.Operation{}
		op.Spec.Upgrade = &v1alpha1.UpgradeSpec{Version: "v1.37.2", RemoveFeatureGates: remove}
		steps, err := Plan(op, storedDocument(), oldGates())
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]int{}
		for i, s := range steps {
			at[s.ID] = i + 1
		}
		gates := at[stepFeatureGates]
		if (gates > 0) != remove {
			t.Fatalf("removing %v: the step is number %d", remove, gates)
		}
		if remove && (gates < at[id(stepBackup, "cp1")] || gates > at[id(stepOthers, "cp1")] || !strings.Contains(fmt.Sprint(steps[at[id(stepOthers, "cp1")]-1].After), stepFeatureGates)) {
			t.Errorf("the step is at the wrong place: %v", at)
		}
	}
}

func TestRemoveGates(t *testing.T) {
	data, err := v1alpha1.Marshal(func() *v1alpha1.Cluster {
		c := storedDocument()
		c.APIVersion, c.Kind = v1alpha1.APIVersion, v1alpha1.ClusterKind
		c.Spec.Kubeadm.ClusterConfiguration = v1alpha1.RawMap{"featureGates": map[string]any{"NodeLocalCRISocket": true}}
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	config := func(namespace, name, key, text string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{key: text, "other": "kept"}}
	}
	kube := fake.NewClientset(config("kube-system", "kubeadm-config", "ClusterConfiguration", oldCluster), config("kube-system", "kubelet-config", "kubelet", oldKubelet),
		config(v1alpha1.SystemNamespace, v1alpha1.ClusterConfigMap, v1alpha1.ClusterConfigMapKey, string(data)))
	op := &v1alpha1.Operation{}
	op.Spec.Upgrade = &v1alpha1.UpgradeSpec{Version: "v1.37.2"}
	turn := engine.Turn{Env: engine.Env{Clients: &client.Clients{Kube: kube}, Operation: op}}
	out, err := removeGates(t.Context(), turn)
	if err != nil || !strings.Contains(out.Message, "removed NodeLocalCRISocket of kubeadm-config.featureGates, AnyVolumeDataSource of kubeadm-config.apiServer.extraArgs") {
		t.Fatalf("%+v, %v", out, err)
	}
	for name, want := range map[string]struct {
		namespace, key, text string
	}{
		"kubeadm-config": {"kube-system", "ClusterConfiguration", "apiServer:\n  extraArgs:\n  - name: feature-gates\n    value: NodeSwap=true\n  - name: v\n    value: \"2\"\nkubernetesVersion: v1.36.3\nscheduler:\n  extraArgs: []\n"},
		"kubelet-config": {"kube-system", "kubelet", "featureGates:\n  NodeSwap: true\nmaxPods: 200\n"},
	} {
		m, err := kube.CoreV1().ConfigMaps(want.namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || m.Data[want.key] != want.text || m.Data["other"] != "kept" {
			t.Errorf("%s: %v\n%s", name, err, m.Data[want.key])
		}
	}
	m, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Get(t.Context(), v1alpha1.ClusterConfigMap, metav1.GetOptions{})
	if err != nil || strings.Contains(m.Data[v1alpha1.ClusterConfigMapKey], "NodeLocalCRISocket") {
		t.Errorf("the stored document: %v\n%v", err, m.Data)
	}
	if out, err := removeGates(t.Context(), turn); err != nil || out.Message != "already up to date" {
		t.Errorf("once more: %+v, %v", out, err)
	}
}
