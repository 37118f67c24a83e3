package addon_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

const agentImage = "agent.kubectl-ha.invalid/agent:v1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func facts() addon.Facts {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "test"}}
	c.Spec.VirtualIP = "10.0.0.100"
	for i, name := range []string{"cp1", "cp2", "cp3"} {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: "10.0.0.1" + string(rune('1'+i)), Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	c.SetDefaults()
	return addon.Facts{Cluster: c, AgentImage: agentImage, AgentArch: "arm64"}
}

func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range objects {
		if u.GetKind() == kind && u.GetName() == name {
			return u
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// TestBuiltIn renders every addon that comes with the program.
func TestBuiltIn(t *testing.T) {
	all, err := addon.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(all.Names(), " "); got != "dashboard etcd-operator metrics-server monitoring" {
		t.Errorf("there are %s", got)
	}
	for name, a := range all {
		if len(a.Descriptor.Files) > 0 {
			continue // Upstream's file is not there.
		}
		var variants []string
		for v := range a.Descriptor.Variants {
			variants = append(variants, v)
		}
		objects, err := a.Render(facts(), variants)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, u := range objects {
			if u.GetLabels()[addon.Label] != name {
				t.Errorf("%s: %s %s has no label", name, u.GetKind(), u.GetName())
			}
		}
		packed, digest, err := a.Pack()
		if err != nil {
			t.Fatal(err)
		}
		again, err := addon.Unpack(packed, digest)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same, err := again.Render(facts(), variants)
		if err != nil || len(same) != len(objects) {
			t.Errorf("%s: after packing %d objects instead of %d, %v", name, len(same), len(objects), err)
		}
	}
}

// TestKeysToEtcd: what has a login to etcd may change all that is in it, so that it runs where a
// node's root has one anyway.
func TestKeysToEtcd(t *testing.T) {
	all, err := addon.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, a := range all {
		for _, cert := range a.Descriptor.Certificates {
			if cert.Authority != addon.AuthorityEtcd {
				continue
			}
			objects, err := a.Render(facts(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range objects {
				pod, found, err := unstructured.NestedMap(u.Object, "spec", "template", "spec")
				if err != nil || !found {
					continue
				}
				var spec corev1.PodSpec
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(pod, &spec); err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == cert.Secret }) {
					continue
				}
				seen++
				if !onControlPlanes(spec) {
					t.Errorf("%s: %s %s has a key to etcd, and may run on any node", name, u.GetKind(), u.GetName())
				}
			}
		}
	}
	if seen == 0 {
		t.Error("nothing has a key to etcd; is it read?")
	}
}

// onControlPlanes tells whether each way to be scheduled asks for a control plane.
func onControlPlanes(spec corev1.PodSpec) bool {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	terms := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return r.Key == "node-role.kubernetes.io/control-plane" && r.Operator == corev1.NodeSelectorOpExists
		})
	})
}

func TestSettings(t *testing.T) {
	all, err := addon.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	dashboard, err := all["dashboard"].Render(facts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	headlamp := find(t, dashboard, "Deployment", "headlamp")
	if n, _, err := unstructured.NestedInt64(headlamp.Object, "spec", "replicas"); n != 3 || err != nil {
		t.Errorf("%d replicas, %v", n, err)
	}
	if text, err := json.Marshal(headlamp); err != nil || !strings.Contains(string(text), `"ghcr.io/headlamp-k8s/headlamp:v0.45.0"`) {
		t.Errorf("the image has no tag: %s, %v", text, err)
	}
	for _, u := range dashboard {
		if u.GetName() == manifests.DashboardAdmin {
			t.Error("there is an administrator whom nobody asked for")
		}
	}
	admin, err := all["dashboard"].Render(facts(), []string{"admin-user"})
	if err != nil {
		t.Fatal(err)
	}
	if u := find(t, admin, "ServiceAccount", manifests.DashboardAdmin); u.GetNamespace() != manifests.DashboardNamespace {
		t.Errorf("it is in %s", u.GetNamespace())
	}
	find(t, dashboard, "ServiceAccount", manifests.DashboardViewer)
	service := &corev1.Service{}
	if err := apply.Typed(find(t, dashboard, "Service", "headlamp"), service); err != nil || service.Spec.Ports[0].NodePort != manifests.DashboardNodePort {
		t.Errorf("it is on %d, %v", service.Spec.Ports[0].NodePort, err)
	}
	monitoring, err := all["monitoring"].Render(facts(), []string{"grafana"})
	if err != nil {
		t.Fatal(err)
	}
	targets := find(t, monitoring, "ConfigMap", "prometheus-targets")
	data, _, err := unstructured.NestedStringMap(targets.Object, "data")
	want := `[{"targets":["10.0.0.11:2379"],"labels":{"member":"cp1"}},{"targets":["10.0.0.12:2379"],"labels":{"member":"cp2"}},{"targets":["10.0.0.13:2379"],"labels":{"member":"cp3"}}]`
	if err != nil || data["etcd.json"] != want {
		t.Errorf("etcd's are %s, %v", data["etcd.json"], err)
	}
	if data["virtual-ip.json"] != `[{"targets":["10.0.0.100:6443"],"labels":{"address":"10.0.0.100"}}]` {
		t.Errorf("the virtual IP's are %s", data["virtual-ip.json"])
	}
	dashboards, _, err := unstructured.NestedStringMap(find(t, monitoring, "ConfigMap", "grafana-dashboards").Object, "data")
	if err != nil || len(dashboards) != 4 {
		t.Errorf("%d dashboards, %v", len(dashboards), err)
	}
	for name, text := range dashboards {
		if !json.Valid([]byte(text)) {
			t.Errorf("%s is not JSON", name)
		}
	}
	approver, err := all["kubelet-certificates"].Render(facts(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(find(t, approver, "Deployment", "csr-approver"))
	if err != nil || !strings.Contains(string(text), `"image":"`+agentImage+`"`) || !strings.Contains(string(text), `"key":"node-role.kubernetes.io/control-plane"`) || !strings.Contains(string(text), `"nodeSelector":{"kubernetes.io/arch":"arm64"}`) {
		t.Errorf("got %s, %v", text, err)
	}
}

const own = `apiVersion: kubectl-ha.dev/v1alpha1
kind: Addon
name: mine
description: my own
version: v1
images: {registry.example.com/team/app: v2}
`

const pod = `apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: c, image: registry.example.com/team/app}]}
`

func folder(descriptor string, files ...string) fstest.MapFS {
	out := fstest.MapFS{addon.DescriptorFile: {Data: []byte(descriptor)}}
	for i := 0; i+1 < len(files); i += 2 {
		out[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return out
}

func TestLoad(t *testing.T) {
	const sum = "0000000000000000000000000000000000000000000000000000000000000000"
	for name, c := range map[string]struct {
		dir  fstest.MapFS
		want string
	}{
		"good":                    {folder(own, "a.yaml", pod), ""},
		"no descriptor":           {fstest.MapFS{"a.yaml": {Data: []byte(pod)}}, "no addon.yaml"},
		"unknown field":           {folder(own+"imagess: {}\n", "a.yaml", pod), "imagess"},
		"no manifest":             {folder(own), "no manifest"},
		"another kind":            {folder(strings.Replace(own, "kind: Addon", "kind: Cluster", 1), "a.yaml", pod), "apiVersion and kind"},
		"a bad name":              {folder(strings.Replace(own, "name: mine", "name: Mine", 1), "a.yaml", pod), `name "Mine"`},
		"no version":              {folder(strings.Replace(own, "version: v1\n", "", 1), "a.yaml", pod), "version is needed"},
		"an image without a host": {folder(strings.Replace(own, "registry.example.com/team/app", "app", 1), "a.yaml", pod), "full name of an image"},
		"plain http":              {folder(own + "files: [{url: 'http://example.com/a.yaml', sha256: '" + sum + "'}]\n"), "https URL"},
		"a bad sum":               {folder(own + "files: [{url: 'https://example.com/a.yaml', sha256: abc}]\n"), "SHA-256"},
		"an unknown fact":         {folder(own+"settings: [{kind: Pod, name: p, path: [spec], value: everything}]\n", "a.yaml", pod), `"everything" is not known`},
		"a variant's file":        {folder(own+"variants: {x: {description: x, manifests: [b.yaml]}}\n", "a.yaml", pod), "no file b.yaml"},
		"a login by certificate":  {folder(own+"certificates: [{secret: s, namespace: n, authority: cluster, commonName: admin}]\n", "a.yaml", pod), "signs no client"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := addon.Load(c.dir)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		dir      fstest.MapFS
		variants []string
		want     string
	}{
		"an image that is not listed": {folder(own, "a.yaml", strings.Replace(pod, "team/app", "team/other", 1)), nil, "none of those that are listed"},
		"another tag":                 {folder(own, "a.yaml", strings.Replace(pod, "team/app", "team/app:v3", 1)), nil, "none of those that are listed"},
		"an object twice":             {folder(own, "a.yaml", pod, "b.yaml", pod), nil, "there twice"},
		"a setting of nothing":        {folder(own+"settings: [{kind: Pod, name: q, path: [spec], value: virtualIP}]\n", "a.yaml", pod), nil, "no manifest has"},
		"a path to nowhere":           {folder(own+"settings: [{kind: Pod, name: p, path: [spec, x, y], value: virtualIP}]\n", "a.yaml", pod), nil, "there is no x"},
		"an index too far":            {folder(own+"settings: [{kind: Pod, name: p, path: [spec, containers, '1', image], value: virtualIP}]\n", "a.yaml", pod), nil, "no index"},
		"a variant":                   {folder(own, "a.yaml", pod), []string{"x"}, "no variant x"},
		"a file that is not fetched":  {folder(own + "files: [{url: 'https://example.com/a.yaml', sha256: '" + strings.Repeat("0", 64) + "'}]\n"), nil, "not fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := addon.Load(c.dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Render(facts(), c.variants); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFetched(t *testing.T) {
	sum := sha256.Sum256([]byte(pod))
	a, err := addon.Load(folder(own + "files: [{url: 'https://example.com/pod.yaml', sha256: '" + hex.EncodeToString(sum[:]) + "'}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Add([]byte(pod + "x")); err == nil {
		t.Error("another file was taken for it")
	}
	if _, _, err := a.Pack(); err == nil {
		t.Error("it was packed without its file")
	}
	if err := a.Add([]byte(pod)); err != nil || len(a.Missing()) > 0 {
		t.Errorf("missing are %v, %v", a.Missing(), err)
	}
	packed, digest, err := a.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := addon.Unpack(append(slices.Clone(packed), 0), digest); err == nil {
		t.Error("a changed one was unpacked")
	}
	objects, err := a.Render(facts(), nil)
	if err != nil || len(objects) != 1 {
		t.Errorf("got %v, %v", objects, err)
	}
}

func TestOrder(t *testing.T) {
	made := func(needs map[string][]string) addon.Catalogue {
		out := addon.Catalogue{}
		for name, n := range needs {
			out[name] = &addon.Addon{Descriptor: addon.Descriptor{Name: name, Needs: n}}
		}
		return out
	}
	for name, c := range map[string]struct {
		needs map[string][]string
		names []string
		want  string
	}{
		"needs first": {map[string][]string{"a": {"b"}, "b": {"c"}, "c": nil, "d": nil}, []string{"a"}, "c b a"},
		"shared":      {map[string][]string{"a": {"c"}, "b": {"c"}, "c": nil}, []string{"a", "b"}, "c a b"},
		"missing":     {map[string][]string{"a": {"b"}}, []string{"a"}, "error: a needs the addon b"},
		"unknown":     {nil, []string{"a"}, "error: there is no addon a"},
		"a circle":    {map[string][]string{"a": {"b"}, "b": {"a"}}, []string{"a"}, "error: b and a need each other"},
	} {
		t.Run(name, func(t *testing.T) {
			order, err := made(c.needs).Order(c.names...)
			var got []string
			for _, a := range order {
				got = append(got, a.Descriptor.Name)
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = "error: " + err.Error()
			}
			if !strings.HasPrefix(text, c.want) {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}
