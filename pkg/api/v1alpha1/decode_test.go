package v1alpha1

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

const minimal = `apiVersion: kubectl-ha.dev/v1alpha1
kind: Cluster
spec:
  kubernetesVersion: v1.36.3
  virtualIP: 10.0.0.10
  hosts:
    - {name: cp1, address: 10.0.0.11, roles: [control-plane]}
    - {name: cp2, address: 10.0.0.12, roles: [control-plane]}
    - {name: cp3, address: 10.0.0.13, roles: [control-plane]}
    - {name: w1, address: 10.0.0.21}
`

func TestDecodeErrors(t *testing.T) {
	head := "apiVersion: kubectl-ha.dev/v1alpha1\nkind: Cluster\n"
	for _, tc := range []struct {
		name, data string
		want       []string
	}{
		{"empty", "", []string{`c.yaml:1: apiVersion: is missing`, `c.yaml:1: kind: is missing`}},
		{"kind", "apiVersion: v1\nkind: ConfigMap\n", []string{
			`c.yaml:1: apiVersion: is "v1", only "kubectl-ha.dev/v1alpha1" is known here`, `c.yaml:2: kind: is "ConfigMap"`}},
		{"misspelt", head + "spec:\n  hosts:\n  - name: a\n  - name: b\n    adress: 1.2.3.4\n", []string{
			"c.yaml:7: unknown field spec.hosts[1].adress, did you mean address?"}},
		{"far from all", head + "spec:\n  zzzzzzzz: 1\n", []string{"c.yaml:4: unknown field spec.zzzzzzzz"}},
		{"all at once", head + "spek: {}\nspec:\n  virtualIp: x\n  apiServerPort: many\n", []string{
			"c.yaml:3: unknown field spek, did you mean spec?",
			"c.yaml:5: unknown field spec.virtualIp, did you mean virtualIP?",
			`c.yaml:6: spec.apiServerPort: expected a whole number, found the text "many"`}},
		{"duplicate", head + "spec:\n  virtualIP: a\n  virtualIP: b\n", []string{"c.yaml:5: spec.virtualIP: is given twice"}},
		{"duplicate in a raw part", head + "spec:\n  kubeadm:\n    clusterConfiguration:\n      a: 1\n      a: 2\n", []string{
			"c.yaml:7: spec.kubeadm.clusterConfiguration.a: is given twice"}},
		{"number for text", head + "spec:\n  kubernetesVersion: 1.30\n", []string{
			"c.yaml:4: spec.kubernetesVersion: expected text, found the number 1.30; put it in quotes"}},
		{"list for map", head + "spec: []\n", []string{"c.yaml:3: spec: expected fields (name: value), found a list"}},
		{"map for list", head + "spec:\n  hosts: {a: b}\n", []string{"c.yaml:4: spec.hosts: expected a list (- value), found fields"}},
		{"empty entry", head + "spec:\n  hosts:\n  -\n", []string{"c.yaml:5: spec.hosts[0]: is empty"}},
		{"raw part no map", head + "spec:\n  kubeadm:\n    clusterConfiguration: 5\n", []string{"c.yaml:5: spec.kubeadm.clusterConfiguration: expected names with values"}},
		{"port out of range", head + "spec:\n  apiServerPort: 99999999999\n", []string{"c.yaml:4: spec.apiServerPort: the number 99999999999 is out of range"}},
		{"boolean", head + "spec:\n  ssh:\n    sudo: perhaps\n", []string{`c.yaml:5: spec.ssh.sudo: expected true or false, found the text "perhaps"`}},
		{"syntax", head + "spec: {\n", []string{"c.yaml:", "malformed YAML"}},
		{"tab", head + "spec:\n\thosts: []\n", []string{"c.yaml:4: malformed YAML"}},
		{"two documents", minimal + "---\n" + minimal, []string{"a second document starts here"}},
		{"scalar", "hello", []string{`expected fields (name: value), found the text "hello"`}},
		{"self-containing alias", head + "spec: &a\n  kubeadm:\n    clusterConfiguration:\n      x: *a\n", []string{"the alias *a contains itself"}},
		{"binary", "\x00\x01\x02", []string{"malformed YAML"}},
		{"custom tag", head + "spec:\n  kubeadm:\n    clusterConfiguration:\n      x: !foo bar\n", []string{"is not supported"}},
		{"infinity", head + "spec:\n  kubeadm:\n    clusterConfiguration:\n      x: .inf\n", []string{"is no usable number"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Decode([]byte(tc.data), "c.yaml")
			if err == nil {
				t.Fatalf("decoded to %+v, want an error", c)
			}
			var list FieldErrors
			if !errors.As(err, &list) {
				t.Fatalf("error is a %T, want FieldErrors", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\nlacks %q", err, want)
				}
			}
			if len(tc.want) > 1 && strings.HasPrefix(tc.want[1], "c.yaml") && len(list) != len(tc.want) {
				t.Errorf("%d errors, want %d:\n%v", len(list), len(tc.want), err)
			}
		})
	}
}

func TestDecodeBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("spec:\n  kubeadm:\n    clusterConfiguration:\n      a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		n := string(rune('0' + i))
		p := string(rune('0' + i - 1))
		laughs.WriteString("      a" + n + ": &a" + n + " [" + strings.TrimSuffix(strings.Repeat("*a"+p+",", 10), ",") + "]\n")
	}
	for name, data := range map[string]string{
		"aliases":      laughs.String(),
		"deep":         "spec: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"deep kubeadm": "spec: {kubeadm: {clusterConfiguration: " + strings.Repeat("{a: ", 500) + strings.Repeat("}", 500) + "}}",
		"large":        strings.Repeat("#", 3<<20),
		"merges":       strings.ReplaceAll(strings.ReplaceAll(laughs.String(), "[*", "{<<: [*"), "]\n", "]}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode([]byte(data), ""); err == nil {
				t.Error("decoded, want an error")
			}
		})
	}
}

func TestDecodeKeepsWhatRawPartsSay(t *testing.T) {
	data := minimal + `  kubeadm:
    kubeletConfiguration:
      maxPods: 1000000
      ratio: 0.5
      quoted: "12"
      on1: yes
      off1: "no"
      date: 2024-01-02
      nothing: null
      empty: []
`
	c, err := Decode([]byte(data), "")
	if err != nil {
		t.Fatal(err)
	}
	want := RawMap{"maxPods": int64(1000000), "ratio": 0.5, "quoted": "12", "on1": true, "off1": "no",
		"date": "2024-01-02", "nothing": nil, "empty": []any{}}
	if got := c.Spec.Kubeadm.KubeletConfiguration; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestDecodeAnchorsAndMerges(t *testing.T) {
	data := `apiVersion: kubectl-ha.dev/v1alpha1
kind: Cluster
spec:
  hosts:
    - &h {name: a, address: 10.0.0.1, labels: {x: "1"}, roles: &r [control-plane]}
    - {<<: *h, name: b, address: 10.0.0.2}
    - {name: c, address: 10.0.0.3, roles: *r}
`
	c, err := Decode([]byte(data), "")
	if err != nil {
		t.Fatal(err)
	}
	b := c.Spec.Hosts[1]
	if b.Name != "b" || b.Labels["x"] != "1" || !b.Has(RoleControlPlane) || !c.Spec.Hosts[2].Has(RoleControlPlane) {
		t.Errorf("hosts %+v", c.Spec.Hosts)
	}
}

func TestLoadGivesLinesToValidation(t *testing.T) {
	data := strings.Replace(minimal, "address: 10.0.0.12", "address: 10.0.0.11", 1)
	_, _, err := Load([]byte(data), "c.yaml")
	want := "c.yaml:8: spec.hosts[1].address: the address 10.0.0.11 is also that of spec.hosts[0] (cp1); each host needs its own"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	for _, data := range []string{minimal, minimal + `  ssh: {user: admin, sudo: false}
  extraSANs: ["1.2.3.4", k8s.example.com]
  network:
    plugin: manifest
    manifest: a.yaml
    manifestContent: "a: b\n\nc: |\n  d\n"
  kubeadm:
    initConfiguration: {nodeRegistration: {taints: []}}
    kubeletConfiguration: {a: "yes", b: "0o14", c: "1e3", d: "2024-01-02", e: "", f: null, g: "~", h: " x", i: "a: b #c", j: 1.5, k: "<<", l: "y"}
    patches: {kube-apiserver0+merge.yaml: "spec:\n  a: b\n"}
`} {
		c, err := Decode([]byte(data), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, defaults := range []bool{false, true} {
			if defaults {
				c.SetDefaults()
			}
			out, err := Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Decode(out, "")
			if err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			if !reflect.DeepEqual(c, back) {
				t.Errorf("changed:\n%#v\n%#v\n%s", c, back, out)
			}
			if strings.Contains(string(out), "null\n") && !strings.Contains(data, "null") || strings.Contains(string(out), "proxy: {}") {
				t.Errorf("has empty fields:\n%s", out)
			}
		}
	}
}

func TestTemplate(t *testing.T) {
	data, err := Template(TemplateParams{})
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Load(data, "cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	if len(c.ControlPlanes()) != 3 || len(c.EtcdMembers()) != 3 || len(c.Workers()) != 1 {
		t.Errorf("hosts %+v", c.Spec.Hosts)
	}
	data, err = Template(TemplateParams{Name: "prod", VirtualIP: "10.0.0.1", KubernetesVersion: "v1.35.4",
		Hosts: []Host{{Name: "one", Address: "10.0.0.2", Roles: []Role{RoleControlPlane, RoleWorker}}}})
	if err != nil {
		t.Fatal(err)
	}
	c, _, err = Load(data, "")
	if err != nil {
		t.Fatal(err)
	}
	if h := c.Spec.Hosts; c.Metadata.Name != "prod" || c.Spec.VirtualIP != "10.0.0.1" || len(h) != 1 || !h[0].Has(RoleWorker) {
		t.Errorf("template ignored its parameters:\n%s", data)
	}
}

func TestTemplateIPv6(t *testing.T) {
	data, err := Template(TemplateParams{VirtualIP: "2001:db8::", Hosts: []Host{
		{Name: "a", Address: "2001:db8:1::", Roles: []Role{RoleControlPlane}}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(data, "")
	if err != nil || c.Spec.VirtualIP != "2001:db8::" || c.Spec.Hosts[0].Address != "2001:db8:1::" {
		t.Errorf("%v in\n%s", err, data)
	}
}

// Every commented-out setting of the template must be a setting that exists.
func TestTemplateComments(t *testing.T) {
	data, err := Template(TemplateParams{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		trimmed := strings.TrimLeft(line, " ")
		rest, isComment := strings.CutPrefix(trimmed, "# ")
		field := strings.TrimSpace(rest)
		key, _, isField := strings.Cut(field, ":")
		if isComment && (isField && !strings.Contains(key, " ") || strings.HasPrefix(field, "- name")) {
			line = line[:len(line)-len(trimmed)] + rest
		}
		out = append(out, line)
	}
	c, err := Decode([]byte(strings.Join(out, "\n")), "template.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(out, "\n"))
	}
	if c.Spec.Proxy.HTTPProxy == "" || c.Spec.Kubeadm.Patches == nil || c.Spec.Keepalived.RouterID != 51 || c.Spec.Hosts[3].SSH == nil {
		t.Errorf("the test no longer reads the comments: %+v", c.Spec)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Add([]byte("spec: {<<: [{}, 5], hosts: [{<<: {name: x}}]}"))
	if data, err := os.ReadFile("template.yaml"); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := Load(data, "f.yaml")
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		out, err := Marshal(c)
		if err != nil {
			t.Fatalf("valid, but not writable: %v", err)
		}
		back, _, err := Load(out, "")
		if err != nil {
			t.Fatalf("valid, but not after writing: %v\n%s", err, out)
		}
		if !reflect.DeepEqual(c, back) {
			t.Fatalf("changed by writing:\n%#v\n%#v", c, back)
		}
	})
}
