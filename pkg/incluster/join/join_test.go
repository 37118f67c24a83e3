package join

import (
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// cluster is three control planes, the third a worker as well, and a worker.
func cluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{
		KubernetesVersion: "v1.36.3", VirtualIP: "10.0.0.100",
		Hosts: []v1alpha1.Host{
			{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
			{Name: "cp2", Address: "10.0.0.2", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
			{Name: "cp3", Address: "10.0.0.3", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleWorker}},
			{Name: "w1", Address: "10.0.0.4", Labels: map[string]string{"disk": "fast"}},
			{Name: "etcd1", Address: "10.0.0.5", Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}},
		},
	}}
	c.SetDefaults()
	return c
}

// healthy is how that cluster looks when all is done.
func healthy() Observation {
	return Observation{Nodes: map[string]Node{
		"cp1": {ControlPlane: true}, "cp2": {ControlPlane: true},
		"cp3": {ControlPlane: true, Labels: map[string]string{labelWorker: ""}},
		"w1":  {Labels: map[string]string{labelWorker: "", "disk": "fast"}},
	}}
}

// joined is how it looks when the bootstrap hands over.
func joined() Observation {
	o := healthy()
	for name := range o.Nodes {
		o.Nodes[name] = Node{ControlPlane: name == "cp1", NotReady: "no network"}
	}
	o.Network, o.CoreDNS, o.CoreDNSReady = []string{"DaemonSet x"}, "CoreDNS is wrong", "CoreDNS waits"
	return o
}

func TestReasonsAndSpec(t *testing.T) {
	node := func(o Observation, name string, n Node) Observation { o.Nodes[name] = n; return o }
	without := func(o Observation, name string) Observation { delete(o.Nodes, name); return o }
	proxy := healthy()
	proxy.KubeProxy = "kube-proxy is wrong"
	for name, c := range map[string]struct {
		o       Observation
		reasons string
		spec    string
	}{
		"healthy":       {healthy(), "", "cp1: "},
		"joined":        {joined(), "cp1 is not ready: no network; cp2 is no control plane yet; cp2 is not ready", "cp1: cp2 cp3"},
		"one missing":   {without(healthy(), "w1"), "w1 is no node of the cluster", "cp1: "},
		"one to go":     {node(healthy(), "cp2", Node{}), "cp2 is no control plane yet", "cp1: cp2"},
		"first is lost": {node(healthy(), "cp1", Node{}), "cp1 is no control plane yet", "cp2: cp1"},
		"a ready source rather than one that is not": {node(healthy(), "cp1", Node{ControlPlane: true, NotReady: "it is down"}), "cp1 is not ready: it is down", "cp2: "},
		"label":      {node(healthy(), "w1", Node{Labels: map[string]string{labelWorker: "", "disk": "slow"}}), "w1 lacks the labels disk=fast", "cp1: "},
		"kube-proxy": {proxy, "kube-proxy is wrong", "cp1: "},
		"no source":  {node(node(node(healthy(), "cp1", Node{}), "cp2", Node{}), "cp3", Node{}), "cp1 is no control plane yet", "error"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(Reasons(cluster(), c.o), "; ")
			if !strings.HasPrefix(got, c.reasons) || (c.reasons == "") != (got == "") {
				t.Errorf("reasons are %q, want %q", got, c.reasons)
			}
			spec, err := Spec(cluster(), c.o)
			text := "error"
			if err == nil {
				text = spec.Source + ": " + strings.Join(spec.ControlPlanes, " ")
			}
			if text != c.spec {
				t.Errorf("spec is %q (%v), want %q", text, err, c.spec)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	none := cluster()
	none.Spec.Network.Plugin = v1alpha1.NetworkPluginNone
	half := joined()
	half.Nodes["cp2"] = Node{ControlPlane: true}
	stacked := cluster()
	stacked.Spec.Etcd.Topology, stacked.Spec.Hosts = v1alpha1.EtcdStacked, stacked.Spec.Hosts[:4]
	for name, c := range map[string]struct {
		c     *v1alpha1.Cluster
		o     Observation
		nodes []string
		want  string
	}{
		"first time": {cluster(), joined(), []string{"cp2", "cp3"},
			"coredns network kube-proxy- cluster-info- labels upload-certs/cp1 promote/cp2<upload-certs/cp1 promote/cp3<upload-certs/cp1 " +
				"nodes-ready<promote/cp2,promote/cp3,network coredns-ready<promote/cp2,promote/cp3,coredns,network clean-up"},
		"half": {cluster(), half, []string{"cp2", "cp3"},
			"coredns network kube-proxy- cluster-info- labels upload-certs/cp1 promote/cp2- promote/cp3<upload-certs/cp1 " +
				"nodes-ready<promote/cp3,network coredns-ready<promote/cp3,coredns,network clean-up"},
		"stacked: one learner at a time": {stacked, joined(), []string{"cp2", "cp3"},
			"coredns network kube-proxy- cluster-info- labels upload-certs/cp1 promote/cp2<upload-certs/cp1 promote/cp3<upload-certs/cp1,promote/cp2 " +
				"nodes-ready<promote/cp2,promote/cp3,network coredns-ready<promote/cp2,promote/cp3,coredns,network clean-up"},
		"stacked, half": {stacked, half, []string{"cp2", "cp3"},
			"coredns network kube-proxy- cluster-info- labels upload-certs/cp1 promote/cp2- promote/cp3<upload-certs/cp1 " +
				"nodes-ready<promote/cp3,network coredns-ready<promote/cp3,coredns,network clean-up"},
		"nothing": {cluster(), healthy(), nil,
			"coredns- network- kube-proxy- cluster-info- labels- nodes-ready<network coredns-ready<coredns,network"},
		"no plugin": {none, healthy(), nil,
			"coredns- network- kube-proxy- cluster-info- labels- nodes-ready<network coredns-ready<coredns,network"},
	} {
		t.Run(name, func(t *testing.T) {
			op := &v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Join: &v1alpha1.JoinSpec{Source: "cp1", ControlPlanes: c.nodes}}}
			steps, err := Plan(op, c.c, c.o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range steps {
				text := s.ID
				if s.State == v1alpha1.StepSkipped {
					text += "-"
				}
				if len(s.After) > 0 {
					text += "<" + strings.Join(s.After, ",")
				}
				got = append(got, text)
				if s.Title == "" || Definition().Steps[strings.Split(s.ID, "/")[0]] == nil || (s.State == v1alpha1.StepSkipped && s.Message == "") {
					t.Errorf("step %+v", s)
				}
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got\n%s, want\n%s", text, c.want)
			}
		})
	}
}

func TestPlanErrors(t *testing.T) {
	for name, spec := range map[string]*v1alpha1.JoinSpec{
		"no spec":          nil,
		"unknown host":     {Source: "cp1", ControlPlanes: []string{"cp9"}},
		"no control plane": {Source: "cp1", ControlPlanes: []string{"w1"}},
	} {
		if _, err := Plan(&v1alpha1.Operation{Spec: v1alpha1.OperationSpec{Join: spec}}, cluster(), joined()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNetConf(t *testing.T) {
	const conf = `{"Network":"10.244.0.0/16","EnableNFTables":false,"Backend":{"Type":"vxlan"}}`
	for subnet, want := range map[string]string{
		"10.1.0.0/16":          `{"Backend":{"Type":"vxlan"},"EnableNFTables":false,"Network":"10.1.0.0/16"}`,
		"fd00::/56":            `{"Backend":{"Type":"vxlan"},"EnableIPv4":false,"EnableIPv6":true,"EnableNFTables":false,"IPv6Network":"fd00::/56"}`,
		"10.1.0.0/16,fd00::/8": `{"Backend":{"Type":"vxlan"},"EnableIPv6":true,"EnableNFTables":false,"IPv6Network":"fd00::/8","Network":"10.1.0.0/16"}`,
		"10.1.0.0":             "error",
	} {
		got, err := netConf(conf, subnet)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: got %s (%v), want %s", subnet, got, err, want)
		}
	}
}

func TestNetworkObjects(t *testing.T) {
	c := cluster()
	c.Spec.Network.PodSubnet = "10.9.0.0/16"
	objects, err := NetworkObjects(c)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(objects)
	if err != nil || !strings.Contains(string(text), `10.9.0.0/16`) || strings.Contains(string(text), "10.244.0.0") {
		t.Errorf("the subnet is not in %s, %v", text, err)
	}
	// The node's address, and not the default route, says which interface flannel takes.
	if !strings.Contains(string(text), `"--iface=$(NODE_IP)"`) || !strings.Contains(string(text), `{"name":"NODE_IP","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}}`) {
		t.Errorf("flannel may take any interface: %s", text)
	}
	c.Spec.Network.Plugin = v1alpha1.NetworkPluginManifest
	for content, want := range map[string]int{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n": 2,
		"": -1, "kind: Namespace\n": -1, "a: [": -1,
	} {
		c.Spec.Network.ManifestContent = content
		objects, err := NetworkObjects(c)
		if (err != nil) != (want < 0) || (err == nil && len(objects) != want) {
			t.Errorf("%q: %d objects, %v", content, len(objects), err)
		}
	}
}

func TestServer(t *testing.T) {
	const old = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority: /ca.crt\n    server: https://10.0.0.1:6443\n  name: default\nusers:\n- name: default\n  user:\n    tokenFile: /token\n"
	got, changed, err := server(old, "https://10.0.0.100:6443")
	if err != nil || !changed || !strings.Contains(got, "server: https://10.0.0.100:6443") || !strings.Contains(got, "/ca.crt") || !strings.Contains(got, "tokenFile: /token") {
		t.Errorf("got %s, %v, %v", got, changed, err)
	}
	if again, changed, err := server(got, "https://10.0.0.100:6443"); again != got || changed || err != nil {
		t.Errorf("a second time: %s, %v, %v", again, changed, err)
	}
	for _, bad := range []string{"", "{", "apiVersion: v1\nkind: Config\n"} {
		if _, _, err := server(bad, "x"); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestCoreDNS(t *testing.T) {
	patch, err := coreDNSPatch(5)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"replicas":5`, `"minDomains":5`, `"k8s-app":"kube-dns"`} {
		if !strings.Contains(string(patch), want) {
			t.Errorf("%s is not in %s", want, patch)
		}
	}
	// Empty fields of the type would take away what kubeadm has set.
	for _, no := range []string{`"containers"`, `"status"`, `"selector"`, `"strategy"`} {
		if strings.Contains(string(patch), no) {
			t.Errorf("%s is in %s", no, patch)
		}
	}
	on := func(nodes ...string) []corev1.Pod {
		var out []corev1.Pod
		for _, n := range nodes {
			out = append(out, corev1.Pod{Spec: corev1.PodSpec{NodeName: n}})
		}
		return out
	}
	if crowded(on("a", "b", "c"), 3) != "" || crowded(on("a"), 1) != "" || crowded(on("a", "a", "b"), 3) == "" || crowded(on("a", "a"), 1) != "" {
		t.Error("crowded is wrong")
	}
}

// A roll-out that was begun is waited for; a node that is gone and has nothing to replace
// is not.
func TestReplaceWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		status appsv1.DaemonSetStatus
		waits  bool
	}{
		"just changed":       {appsv1.DaemonSetStatus{ObservedGeneration: 1, UpdatedNumberScheduled: 3, DesiredNumberScheduled: 3, NumberAvailable: 3}, true},
		"under way":          {appsv1.DaemonSetStatus{ObservedGeneration: 2, UpdatedNumberScheduled: 1, DesiredNumberScheduled: 3, NumberAvailable: 2}, true},
		"all are replaced":   {appsv1.DaemonSetStatus{ObservedGeneration: 2, UpdatedNumberScheduled: 3, DesiredNumberScheduled: 3, NumberAvailable: 3}, false},
		"a node went away":   {appsv1.DaemonSetStatus{ObservedGeneration: 2, UpdatedNumberScheduled: 3, DesiredNumberScheduled: 3, NumberAvailable: 2}, false},
		"nobody has one yet": {appsv1.DaemonSetStatus{}, true},
	} {
		ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: tt.status}
		if got := replaceWaits(ds); (got != "") != tt.waits {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRollOutDue(t *testing.T) {
	annotated := func(v string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Annotations: map[string]string{annotationEndpoint: v}}
	}
	ds := func(m metav1.ObjectMeta) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{ObjectMeta: m}}}
	}
	if rollOutDue(&corev1.ConfigMap{}, ds(metav1.ObjectMeta{})) {
		t.Error("nobody changed anything")
	}
	if !rollOutDue(&corev1.ConfigMap{ObjectMeta: annotated("x")}, ds(metav1.ObjectMeta{})) {
		t.Error("an interrupted roll-out is forgotten")
	}
	if rollOutDue(&corev1.ConfigMap{ObjectMeta: annotated("x")}, ds(annotated("x"))) {
		t.Error("it was rolled out")
	}
}
