package upgrade

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/flagtable"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

// TestCutPatch: 1.37 has no AnyVolumeDataSource any more, and has NodeSwap.
func TestCutPatch(t *testing.T) {
	const whole = "spec:\n  containers:\n  - name: kube-apiserver\n    command: "
	for _, tc := range []struct {
		name, file, content string
		// want is the content then; empty when nothing changes.
		want string
		// found are the gates, with ! behind those that can't be taken out.
		found string
	}{
		{"kubelet", "kubeletconfiguration0+merge.yaml", "# why\nmaxPods: 9\nfeatureGates: {AnyVolumeDataSource: true, NodeSwap: true}\n",
			"featureGates:\n  NodeSwap: true\nmaxPods: 9\n", "AnyVolumeDataSource"},
		{"kubelet, the only one", "kubeletconfiguration.yaml", "featureGates: {AnyVolumeDataSource: true}\n", "{}\n", "AnyVolumeDataSource"},
		{"kubelet, taken out of what is there", "kubeletconfiguration+merge.yaml", "featureGates: {AnyVolumeDataSource: null}\n", "", ""},
		{"kubelet, locked", "kubeletconfiguration+merge.yaml", "featureGates: {NodeSwap: false}\n", "{}\n", "NodeSwap"},
		{"kubelet, as JSON", "kubeletconfiguration+merge.json", `{"featureGates":{"AnyVolumeDataSource":true,"NodeSwap":true}}`,
			"{\n  \"featureGates\": {\n    \"NodeSwap\": true\n  }\n}\n", "AnyVolumeDataSource"},
		{"nothing", "kubeletconfiguration+merge.yaml", "# kept\nmaxPods: 9\n", "", ""},
		{"kubelet, two documents", "kubeletconfiguration+merge.yaml", "maxPods: 9\n---\nfeatureGates: {AnyVolumeDataSource: true}\n", "maxPods: 9\n---\n{}\n", "AnyVolumeDataSource"},
		{"kubelet, by an operation", "kubeletconfiguration+json.yaml", "- {op: add, path: /featureGates/AnyVolumeDataSource, value: true}\n- {op: add, path: /maxPods, value: 9}\n",
			"- op: add\n  path: /maxPods\n  value: 9\n", "AnyVolumeDataSource"},
		{"kubelet, all by an operation", "kubeletconfiguration+json.yaml", "- {op: add, path: /featureGates, value: {AnyVolumeDataSource: true, NodeSwap: true}}\n",
			"- op: add\n  path: /featureGates\n  value:\n    NodeSwap: true\n", "AnyVolumeDataSource"},
		{"kubelet, removed by an operation", "kubeletconfiguration+json.yaml", "- {op: remove, path: /featureGates/AnyVolumeDataSource}\n", "[]\n", "AnyVolumeDataSource"},
		{"kubelet, removed, still there", "kubeletconfiguration+json.yaml", "- {op: remove, path: /featureGates/NodeSwap}\n", "", ""},
		{"kubelet, moved", "kubeletconfiguration+json.yaml", "- {op: move, from: /featureGates/AnyVolumeDataSource, path: /featureGates/NodeSwap}\n", "[]\n", "AnyVolumeDataSource!"},
		{"command", "kube-apiserver0+merge.yaml", whole + "[kube-apiserver, --v=2, \"--feature-gates=AnyVolumeDataSource=true,NodeSwap=true\"]\n",
			"spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --v=2\n    - --feature-gates=NodeSwap=true\n    name: kube-apiserver\n", "AnyVolumeDataSource"},
		{"command, the only one", "kube-scheduler.yaml", whole + "[kube-scheduler, --feature-gates=AnyVolumeDataSource=true, --v=2]\n",
			"spec:\n  containers:\n  - command:\n    - kube-scheduler\n    - --v=2\n    name: kube-apiserver\n", "AnyVolumeDataSource"},
		{"command, in two words", "kube-scheduler.yaml", whole + "[kube-scheduler, --feature-gates, AnyVolumeDataSource=true, --v=2]\n",
			"spec:\n  containers:\n  - command:\n    - kube-scheduler\n    - --v=2\n    name: kube-apiserver\n", "AnyVolumeDataSource"},
		{"command, with the component", "kube-apiserver.yaml", whole + "[kube-apiserver, \"--feature-gates=kube:AnyVolumeDataSource=true,kube:NodeSwap=true\"]\n",
			"spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --feature-gates=NodeSwap=true\n    name: kube-apiserver\n", "AnyVolumeDataSource"},
		{"command, without a value", "kube-scheduler.yaml", whole + "[kube-scheduler, --feature-gates=AnyVolumeDataSource=true, --feature-gates]\n",
			"spec:\n  containers:\n  - command:\n    - kube-scheduler\n    - --feature-gates\n    name: kube-apiserver\n", "AnyVolumeDataSource"},
		{"a list that is no command", "kube-scheduler.yaml", whole + "[--feature-gates, {a: b}, --feature-gates=AnyVolumeDataSource=true]\n",
			"spec:\n  containers:\n  - command:\n    - --feature-gates\n    - a: b\n    name: kube-apiserver\n", "AnyVolumeDataSource"},
		{"a script", "kube-apiserver.yaml", whole + "[sh, -c, exec kube-apiserver --feature-gates=AnyVolumeDataSource=true]\n",
			"spec:\n  containers:\n  - command:\n    - sh\n    - -c\n    - exec kube-apiserver --feature-gates=AnyVolumeDataSource=true\n    name: kube-apiserver\n", "AnyVolumeDataSource!"},
		{"one word more", "kube-controller-manager+json.yaml", "- {op: add, path: /spec/containers/0/command/-, value: --feature-gates=AnyVolumeDataSource=true}\n",
			"- op: add\n  path: /spec/containers/0/command/-\n  value: --feature-gates=\n", "AnyVolumeDataSource"},
		{"all words", "kube-controller-manager+json.yaml", "- {op: replace, path: /spec/containers/0/command, value: [x, --feature-gates=AnyVolumeDataSource=true]}\n",
			"- op: replace\n  path: /spec/containers/0/command\n  value:\n  - x\n", "AnyVolumeDataSource"},
		{"a word that is expected", "kube-controller-manager+json.yaml", "- {op: test, path: /spec/containers/0/command/3, value: --feature-gates=AnyVolumeDataSource=true}\n",
			"- op: test\n  path: /spec/containers/0/command/3\n  value: --feature-gates=\n", "AnyVolumeDataSource!"},
		{"an operation without a value", "kube-scheduler+json.yaml", "- {op: remove, path: /spec/priorityClassName}\n", "", ""},
		{"of etcd", "etcd.yaml", whole + "[etcd, --feature-gates=AnyVolumeDataSource=true]\n", "", ""},
		{"a newer one", "kube-apiserver.yaml", whole + "[kube-apiserver, --feature-gates=OfTomorrow=true]\n", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := tc.want
			if want == "" {
				want = tc.content
			}
			version := "v1.37.2"
			if tc.name == "a newer one" {
				version = "v1.38.0" // of which nothing is known
			}
			got, found, err := cutPatch(tc.file, tc.content, version)
			var names []string
			for _, g := range found {
				name := g.Name
				if g.Stuck {
					name += "!"
				}
				names = append(names, name)
				if !strings.HasPrefix(g.Place, "spec.kubeadm.patches["+tc.file+"]") || !strings.Contains(g.Problem, g.Name) {
					t.Errorf("%+v", g)
				}
			}
			if err != nil || got != want || strings.Join(names, " ") != tc.found {
				t.Fatalf("%v, %v:\n%s", err, names, got)
			}
			// What is left is taken.
			if _, again, err := cutPatch(tc.file, got, version); err != nil || len(again) > 0 && !strings.Contains(tc.found, "!") {
				t.Errorf("once more: %v, %v", again, err)
			}
		})
	}
	if _, _, err := cutPatch("kube-apiserver.yaml", ":", "v1.37.2"); err == nil || !strings.Contains(err.Error(), "spec.kubeadm.patches[kube-apiserver.yaml] can't be read") {
		t.Error(err)
	}
}

// patched is a stored document whose patches name gates that 1.37 has no more.
func patched(patches map[string]string) *v1alpha1.Cluster {
	c := storedDocument()
	c.APIVersion, c.Kind = v1alpha1.APIVersion, v1alpha1.ClusterKind
	c.Spec.Kubeadm.Patches = patches
	return c
}

// TestGatesOfPatches: the plan names them, what can't be taken out stands in the way
// also when it is to be, and a look changes nothing.
func TestGatesOfPatches(t *testing.T) {
	patches := func() map[string]string {
		return map[string]string{
			"kube-apiserver+json.yaml":         "- {op: add, path: /spec/containers/0/command/-, value: --feature-gates=AnyVolumeDataSource=true}\n",
			"kubeletconfiguration0+merge.yaml": "featureGates: {AnyVolumeDataSource: true}\n",
		}
	}
	stuck := patches()
	stuck["kube-scheduler.yaml"] = "spec: {containers: [{name: x, command: [sh, -c, exec x --feature-gates=AnyVolumeDataSource=true]}]}\n"
	broken := map[string]string{"kube-scheduler.yaml": ":"}
	for _, tc := range []struct {
		name    string
		patches map[string]string
		remove  bool
		// findings and how many of them stand in the way
		findings, blocking int
		removes            bool
	}{
		{"to be named", patches(), false, 2, 2, false},
		{"to be removed", patches(), true, 2, 0, true},
		{"one is stuck", stuck, true, 3, 1, true},
		{"can't be read", broken, true, 1, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			op := &v1alpha1.Operation{}
			op.Spec.Upgrade = &v1alpha1.UpgradeSpec{Version: "v1.37.2", RemoveFeatureGates: tc.remove}
			c := patched(tc.patches)
			before := fmt.Sprint(c.Spec.Kubeadm.Patches)
			got := checkGates(c, op.Spec.Upgrade, well("v1.36.3"))
			if len(got) != tc.findings || len(Blocking(got)) != tc.blocking {
				t.Errorf("%v", got)
			}
			for _, f := range got {
				if !strings.Contains(f.String(), "spec.kubeadm.patches[") {
					t.Errorf("%v does not say where", f)
				}
			}
			steps, err := Plan(op, c, well("v1.36.3"))
			if err != nil {
				t.Fatal(err)
			}
			removes := false
			for _, s := range steps {
				removes = removes || s.ID == stepFeatureGates
			}
			if removes != tc.removes || fmt.Sprint(c.Spec.Kubeadm.Patches) != before {
				t.Errorf("removes: %v; patches %v", removes, c.Spec.Kubeadm.Patches)
			}
		})
	}
}

func TestRemoveGatesOfPatches(t *testing.T) {
	data, err := v1alpha1.Marshal(patched(map[string]string{"kubeletconfiguration0+merge.yaml": "featureGates: {AnyVolumeDataSource: true}\nmaxPods: 9\n", "kube-scheduler.yaml": "# kept\nspec: {}\n"}))
	if err != nil {
		t.Fatal(err)
	}
	kube := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.SystemNamespace, Name: v1alpha1.ClusterConfigMap},
		Data: map[string]string{v1alpha1.ClusterConfigMapKey: string(data)}})
	op := &v1alpha1.Operation{}
	op.Spec.Upgrade = &v1alpha1.UpgradeSpec{Version: "v1.37.2"}
	out, err := removeGates(t.Context(), engine.Turn{Env: engine.Env{Clients: &client.Clients{Kube: kube}, Operation: op}})
	if err != nil || !strings.Contains(out.Message, "removed AnyVolumeDataSource of spec.kubeadm.patches[kubeletconfiguration0+merge.yaml]") {
		t.Fatalf("%+v, %v", out, err)
	}
	m, err := kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Get(t.Context(), v1alpha1.ClusterConfigMap, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v1alpha1.Decode([]byte(m.Data[v1alpha1.ClusterConfigMapKey]), "stored")
	if err != nil || c.Spec.Kubeadm.Patches["kubeletconfiguration0+merge.yaml"] != "maxPods: 9\n" || c.Spec.Kubeadm.Patches["kube-scheduler.yaml"] != "# kept\nspec: {}\n" {
		t.Errorf("%v: %q", err, c.Spec.Kubeadm.Patches)
	}
}

// TestPatchesOfRequests: the coordinator has read the document before the gates were
// taken out of it.
func TestPatchesOfRequests(t *testing.T) {
	c := patched(map[string]string{"kubeletconfiguration0+merge.yaml": "featureGates: {AnyVolumeDataSource: true}\nmaxPods: 9\n"})
	for remove, want := range map[bool]string{true: "maxPods: 9\n", false: "featureGates: {AnyVolumeDataSource: true}\nmaxPods: 9\n"} {
		op := &v1alpha1.Operation{}
		op.Spec.Upgrade = &v1alpha1.UpgradeSpec{Version: "v1.37.2", RemoveFeatureGates: remove}
		got, err := patches(engine.Turn{Env: engine.Env{Cluster: c, Operation: op}})
		if err != nil || got["kubeletconfiguration0+merge.yaml"] != want {
			t.Errorf("removing %v: %v, %q", remove, err, got)
		}
	}
	if !strings.Contains(c.Spec.Kubeadm.Patches["kubeletconfiguration0+merge.yaml"], "AnyVolumeDataSource") {
		t.Error("the coordinator's document was changed")
	}
}

// FuzzCutPatch: whatever a patch is, what is left of it is of the same kind and taken, but for what
// can't be taken out; and nothing but the gates that are named is lost.
func FuzzCutPatch(f *testing.F) {
	for _, content := range []string{"featureGates: {AnyVolumeDataSource: true}\n---\nmaxPods: 9\n", "- {op: add, path: /featureGates/AnyVolumeDataSource, value: true}\n",
		"spec: {containers: [{command: [x, --feature-gates, AnyVolumeDataSource=true]}]}\n", "- {op: test, path: /a, value: --feature-gates=NodeSwap=false}\n", "[--feature-gates=]",
		"- {op: add, path: /featureGates, value: {AnyVolumeDataSource: true, A: true}}\n- {op: add, path: '', value: {featureGates: {NodeSwap: false}, maxPods: 9}}\n",
		"[--feature-gates=AnyVolumeDataSource=true, --feature-gates]", "[--feature-gates, {a: b}, --feature-gates=AnyVolumeDataSource=true]", "{\"a\": [\"--feature-gates=kube:A=true,AnyVolumeDataSource=true\"]}"} {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		for _, file := range []string{"kubeletconfiguration+merge.yaml", "kubeletconfiguration+json.json", "kube-apiserver.yaml", "kube-scheduler+json.yaml"} {
			out, found, err := cutPatch(file, content, "v1.37.2")
			if err != nil {
				continue
			}
			if len(found) == 0 && out != content {
				t.Fatalf("%s: nothing was found, and %q became %q", file, content, out)
			}
			_, again, err := cutPatch(file, out, "v1.37.2")
			if err != nil {
				t.Fatalf("%s: what is left of %q can't be read: %v", file, content, err)
			}
			for _, g := range again {
				if !g.Stuck {
					t.Fatalf("%s: %q is left in %q", file, g.Name, out)
				}
			}
			if len(found) == 0 {
				continue
			}
			gone := map[string]bool{}
			for _, g := range found {
				gone[g.Name] = true
			}
			before, after := documentsOf(t, content, false), documentsOf(t, out, strings.HasSuffix(file, ".json"))
			for i := range before {
				before[i] = withoutGates(before[i], gone)
			}
			for i := range after {
				after[i] = withoutGates(after[i], gone)
			}
			if !reflect.DeepEqual(before, after) {
				t.Fatalf("%s: of %q more is lost than %v: %q", file, content, gone, out)
			}
		}
	})
}

// documentsOf are the documents of a patch file; asJSON holds that each is JSON.
func documentsOf(t *testing.T, content string, asJSON bool) []any {
	t.Helper()
	var docs []any
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(content)))
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return docs
		}
		var doc any
		if err == nil {
			err = yaml.Unmarshal(raw, &doc)
		}
		if err != nil || asJSON && !json.Valid(raw) {
			t.Fatalf("%q is no document: %v", raw, err)
		}
		if doc != nil {
			docs = append(docs, doc)
		}
	}
}

// withoutGates leaves out of a document all that is about some gates: it knows nothing of versions,
// and takes them out wherever one may stand.
func withoutGates(v any, gone map[string]bool) any {
	switch v := v.(type) {
	case map[string]any:
		if gates, is := v["value"].(map[string]any); is && v["path"] == "/featureGates" {
			maps.DeleteFunc(gates, func(name string, _ any) bool { return gone[name] })
		}
		for key, value := range v {
			v[key] = withoutGates(value, gone)
		}
		if gates, is := v["featureGates"].(map[string]any); is {
			maps.DeleteFunc(gates, func(name string, _ any) bool { return gone[name] })
			if len(gates) == 0 {
				delete(v, "featureGates")
			}
		}
		return v
	case []any:
		out := []any{}
		for i := 0; i < len(v); i++ {
			op, _ := v[i].(map[string]any)
			if about(op["path"], gone) || about(op["from"], gone) {
				continue
			}
			word, _ := v[i].(string)
			if word == gatesFlag && i+1 < len(v) {
				if next, is := v[i+1].(string); is {
					if gates := gatesBut(next, gone); gates != "" || next == "" {
						out = append(out, word, gates)
					}
					i++
					continue
				}
			}
			if gates, is := strings.CutPrefix(word, gatesFlag+"="); is && gates != "" && gatesBut(gates, gone) == "" {
				continue
			}
			out = append(out, withoutGates(v[i], gone))
		}
		return out
	case string:
		if gates, is := strings.CutPrefix(v, gatesFlag+"="); is {
			return gatesFlag + "=" + gatesBut(gates, gone)
		}
	}
	return v
}

// about tells whether a path of a JSON patch is one of the gates.
func about(path any, gone map[string]bool) bool {
	text, _ := path.(string)
	name, is := strings.CutPrefix(text, "/featureGates/")
	return is && gone[name]
}

// gatesBut is a flag's value without some gates, written as it is written anew.
func gatesBut(value string, gone map[string]bool) string {
	gates, err := flagtable.ParseGates(value)
	if err != nil {
		return value
	}
	maps.DeleteFunc(gates, func(name string, _ bool) bool { return gone[name] })
	return flagtable.FormatGates(gates)
}
