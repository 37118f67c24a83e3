package install

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
)

func testNode(name string, ready corev1.ConditionStatus) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
}

func testCluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{}
	c.Spec.VirtualIP = "10.0.0.100"
	for _, name := range []string{"cp1", "cp2"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	return c
}

func made(d addon.Descriptor) *addon.Addon { return &addon.Addon{Descriptor: d} }

func TestPlan(t *testing.T) {
	seen := Seen{
		Nodes: []corev1.Node{testNode("cp1", corev1.ConditionFalse), testNode("cp2", corev1.ConditionTrue)},
		Addons: map[string]*addon.Addon{
			"kubelets": made(addon.Descriptor{Name: "kubelets", KubeletCertificates: true}),
			"metrics":  made(addon.Descriptor{Name: "metrics", Needs: []string{"kubelets"}}),
			"board": made(addon.Descriptor{Name: "board", Certificates: []addon.Certificate{
				{Secret: "tls", Authority: addon.AuthorityCluster, Server: true}, {Secret: "etcd", Authority: addon.AuthorityEtcd}}}),
		},
		Installed: map[string]Inventory{
			"old":   {Name: "old", KubeletCertificates: true},
			"needy": {Name: "needy", Needs: []string{"needed"}}, "needed": {Name: "needed"},
		},
	}
	for name, c := range map[string]struct {
		action v1alpha1.AddonAction
		addons []string
		want   string
	}{
		"kubelets first": {v1alpha1.AddonInstall, []string{"kubelets", "metrics"},
			"apply/kubelets healthy/kubelets kubelet-config kubelet/cp1=Skipped kubelet/cp2 record/kubelets apply/metrics healthy/metrics record/metrics tidy"},
		// cp1 is not ready: what it would sign is signed on cp2; etcd's CA signs elsewhere.
		"a certificate":     {v1alpha1.AddonInstall, []string{"board"}, "certificate/board/tls@cp2 apply/board healthy/board record/board tidy"},
		"a need":            {v1alpha1.AddonInstall, []string{"metrics"}, "error: the addon metrics needs kubelets"},
		"not handed over":   {v1alpha1.AddonInstall, []string{"x"}, "error: the addon x was not handed over"},
		"uninstall":         {v1alpha1.AddonUninstall, []string{"old"}, "kubelet-config kubelet/cp1=Skipped kubelet/cp2 remove/old tidy"},
		"gone already":      {v1alpha1.AddonUninstall, []string{"x"}, "tidy"},
		"still needed":      {v1alpha1.AddonUninstall, []string{"needed"}, "error: needed stays"},
		"with who needs it": {v1alpha1.AddonUninstall, []string{"needy", "needed"}, "remove/needy remove/needed tidy"},
		"nothing":           {v1alpha1.AddonInstall, nil, "error: operation"},
	} {
		t.Run(name, func(t *testing.T) {
			op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Addon: &v1alpha1.AddonSpec{Action: c.action}}}
			for _, a := range c.addons {
				op.Spec.Addon.Addons = append(op.Spec.Addon.Addons, v1alpha1.AddonItem{Name: a})
			}
			steps, err := Plan(op, testCluster(), seen)
			if got := tell(steps, err); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			known := Definition().Steps
			earlier := map[string]bool{}
			for _, s := range steps {
				kind, _, _ := strings.Cut(s.ID, "/")
				if known[kind] == nil {
					t.Errorf("nothing carries out %s", s.ID)
				}
				for _, a := range s.After {
					if !earlier[a] {
						t.Errorf("%s comes after %s, which is not before it", s.ID, a)
					}
				}
				earlier[s.ID] = true
			}
		})
	}
}

func tell(steps []v1alpha1.StepStatus, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, s := range steps {
		text := s.ID
		if strings.HasPrefix(s.ID, stepCertificate) {
			text += "@" + s.Node
		}
		if s.State == v1alpha1.StepSkipped {
			text += "=Skipped"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestDependents(t *testing.T) {
	board := Inventory{Name: "board", Needs: []string{"metrics"}}
	metrics := Inventory{Name: "metrics", Needs: []string{"kubelets"}, For: "board"}
	kubelets := Inventory{Name: "kubelets", For: "metrics"}
	monitoring := Inventory{Name: "monitoring", Needs: []string{"kubelets"}}
	companion := Inventory{Name: "monitoring", Needs: []string{"kubelets"}, For: "board"}
	asked := Inventory{Name: "metrics", Needs: []string{"kubelets"}}
	for name, c := range map[string]struct {
		installed []Inventory
		names     []string
		want      string
	}{
		"all that came with it":  {[]Inventory{board, metrics, kubelets}, []string{"board"}, "board metrics kubelets"},
		"a companion as well":    {[]Inventory{board, metrics, kubelets, companion}, []string{"board"}, "board metrics monitoring kubelets"},
		"somebody else needs it": {[]Inventory{board, metrics, kubelets, monitoring}, []string{"board"}, "board metrics"},
		"it was asked for":       {[]Inventory{board, asked, kubelets}, []string{"board"}, "board"},
		"the last that needs it": {[]Inventory{kubelets, monitoring}, []string{"monitoring"}, "monitoring kubelets"},
		"alone":                  {[]Inventory{board, metrics, kubelets, monitoring}, []string{"monitoring"}, "monitoring"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, inv := range Dependents(c.installed, c.names...) {
				got = append(got, inv.Name)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

func TestUnwell(t *testing.T) {
	const available = "conditions: [{type: Available, status: 'True'}]"
	groups := map[string]string{"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}
	for name, c := range map[string]struct{ object, want string }{
		"a deployment":     {"kind: Deployment\nmetadata: {generation: 2}\nspec: {replicas: 2}\nstatus: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2, " + available + "}", ""},
		"not seen":         {"kind: Deployment\nmetadata: {generation: 2}\nspec: {replicas: 2}\nstatus: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2, " + available + "}", "generation is 2, but latest observed generation is 1"},
		"new":              {"kind: Deployment\nmetadata: {generation: 1}", "not seen it"},
		"rolling out":      {"kind: Deployment\nspec: {replicas: 2}\nstatus: {observedGeneration: 1, replicas: 3, updatedReplicas: 1, readyReplicas: 2}", "Updated: 1/2"},
		"old ones":         {"kind: Deployment\nspec: {replicas: 2}\nstatus: {observedGeneration: 1, replicas: 3, updatedReplicas: 2, readyReplicas: 2}", "Pending termination: 1"},
		"not ready":        {"kind: StatefulSet\nspec: {replicas: 2}\nstatus: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 1}", "Ready: 1/2"},
		"none is wanted":   {"kind: Deployment\nspec: {replicas: 0}\nstatus: {observedGeneration: 1, " + available + "}", ""},
		"a daemon":         {"kind: DaemonSet\nmetadata: {generation: 1}\nstatus: {observedGeneration: 1, desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 3, numberAvailable: 3}", ""},
		"a daemon less":    {"kind: DaemonSet\nmetadata: {generation: 1}\nstatus: {observedGeneration: 1, desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2}", "Available: 2/3"},
		"an API":           {"kind: APIService\nstatus: {conditions: [{type: Available, status: 'True'}]}", ""},
		"an API not yet":   {"kind: APIService\nstatus: {conditions: [{type: Available, status: 'False', message: no endpoints}]}", "no endpoints"},
		"a definition":     {"kind: CustomResourceDefinition\nstatus: {conditions: [{type: Established, status: 'True'}]}", ""},
		"a new definition": {"kind: CustomResourceDefinition", "Install in progress"},
		"a job":            {"kind: Job\nstatus: {conditions: [{type: Complete, status: 'True'}]}", ""},
		"whatever else":    {"kind: ConfigMap", ""},
		"on its way out":   {"kind: ConfigMap\nmetadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}", "being removed"},
	} {
		t.Run(name, func(t *testing.T) {
			content := map[string]any{}
			if err := yaml.Unmarshal([]byte(c.object), &content); err != nil {
				t.Fatal(err)
			}
			if group := groups[content["kind"].(string)]; group != "" {
				content["apiVersion"] = group
			}
			got := unwell(&unstructured.Unstructured{Object: integers(content).(map[string]any)})
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// integers makes numbers what they are in objects of the API.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	case float64:
		return int64(v)
	}
	return v
}

func TestStamp(t *testing.T) {
	objects := func(value string) []*unstructured.Unstructured {
		config := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "n"},
			"data": map[string]any{"k": value}}}
		workload := func(name, reads string) *unstructured.Unstructured {
			return &unstructured.Unstructured{Object: map[string]any{"kind": "Deployment", "metadata": map[string]any{"name": name, "namespace": "n"},
				"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
					"volumes": []any{map[string]any{"name": "v", "configMap": map[string]any{"name": reads}}}}}}}}
		}
		return []*unstructured.Unstructured{config, workload("reader", "c"), workload("other", "somebody-elses")}
	}
	sum := func(value string, i int) string {
		all := objects(value)
		if err := stamp(all); err != nil {
			t.Fatal(err)
		}
		s, _, err := unstructured.NestedString(all[i].Object, "spec", "template", "metadata", "annotations", configurationAnnotation)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, again, other := sum("a", 1), sum("a", 1), sum("b", 1)
	if first == "" || first != again || first == other {
		t.Errorf("the same content gives %s and %s, other content %s", first, again, other)
	}
	if sum("a", 2) != "" {
		t.Error("one that reads nothing of the addon is stamped")
	}
}
