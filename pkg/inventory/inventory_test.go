package inventory

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// folder is a folder beside an inventory, by path.
func folder(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

const dashesAll = `---
#CLUSTER_NAME: (abstract)
HAS_LB: no
HOST_ARCH: amd64
MASTER_READY_WAIT_SEC: 30
NETWORK_PLUGIN: calico
POD_NETWORK_CIDR: 10.244.0.0/16
CALICO_YAML_URL: "https://example.com/calico.yaml"
KUBERNETES_VERSION: "1.9.2"
KUBERNETES_DNS_VERSION: "1.14.7"
ETCD_VERSION: "3.2.7"
CERT_COUNTRY: "XX"
DOCKER_IMAGES: [ { name: "example.com/a-{{ HOST_ARCH }}", tag: "v{{ KUBERNETES_VERSION }}" } ]
MY_OWN: x
`

const dashesBlue = `
CLUSTER_NAME: Blue_Cluster
MASTER_VIP: 10.1.0.10
NETWORK_PLUGIN: flannel
PROXY_SERVER: http://proxy.example.com:3128
NO_PROXY_LIST: registry,.example.com
`

const underscoresAll = `
APISERVER_VIP: "{{ groups['apiserver_vip'][0] }}"
APISERVER_LB_PORT: 8444
LOAD_BALANCING: "haproxy"
KUBE_VIP: "arp"
KEEPALIVED_ROUTER_ID: 77
KEEPALIVED_AUTH_PASS: 0123secret
ETCD_HOSTING: external
KUBERNETES_MAJOR_VERSION: "1"
KUBERNETES_MINOR_VERSION: "35"
KUBERNETES_PATCH_VERSION: "4"
KUBERNETES_VERSION: "{{ KUBERNETES_MAJOR_VERSION }}.{{ KUBERNETES_MINOR_VERSION }}.{{KUBERNETES_PATCH_VERSION}}"
VAULTED: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  3033
COMPUTED: "{{ hostvars['x'] | default('y') }}"
EXTRA: x
SERVICE_CIDR: "{{ lookup('env', 'X') }}"
`

// report is everything that a conversion says, for the golden files.
func report(t *testing.T, r Result) []byte {
	t.Helper()
	data, err := v1alpha1.Marshal(r.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.Write(data)
	out.WriteString("--- unmapped\n")
	for _, s := range r.Unmapped {
		fmt.Fprintf(&out, "%s (%s): %s\n", s.Name, s.Where, s.Why)
	}
	out.WriteString("--- notes\n")
	for _, n := range r.Notes {
		fmt.Fprintln(&out, n)
	}
	return out.Bytes()
}

func TestConvertGolden(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		"dashes": {"group_vars/all.yaml": dashesAll, "group_vars/blue.yaml": dashesBlue, "group_vars/stranger.yml": "A: b",
			"group_vars/all.yaml~": "MASTER_VIP: 10.9.9.9"},
		"underscores": {"group_vars/all.yml": underscoresAll, "group_vars/green.yaml": "CLUSTER_NAME: green\n",
			"group_vars/workers.yml": "POD_NETWORK_CIDR: 10.99.0.0/16\n", "host_vars/green-e1.yml": "RACK: 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Convert(read(t, name+".inventory"), name+".inventory", folder(vars))
			if err != nil {
				t.Fatal(err)
			}
			got := report(t, r)
			golden.Compare(t, name+".golden", string(got))
			for _, secret := range []string{"hunter2", "0123secret"} {
				if bytes.Contains(got, []byte(secret)) {
					t.Errorf("a password is repeated: %s", secret)
				}
			}
		})
	}
}

// A complete inventory makes a Cluster that is valid as it is.
func TestConvertedIsValid(t *testing.T) {
	r, err := Convert(read(t, "underscores.inventory"), "green.inventory", folder(map[string]string{"group_vars/all.yml": underscoresAll}))
	if err != nil {
		t.Fatal(err)
	}
	data, err := v1alpha1.Marshal(r.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := v1alpha1.Load(data, "")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v in\n%s", err, warnings, data)
	}
	if c.First().Name != "green-m1" || len(c.EtcdMembers()) != 3 || c.EtcdMembers()[0].Name != "green-e1" || len(c.Workers()) != 1 {
		t.Errorf("roles: %+v", c.Spec.Hosts)
	}
}

func TestConvertErrors(t *testing.T) {
	masters := "[masters]\nm1 ansible_host=10.0.0.1\n"
	for _, tc := range []struct {
		name, inventory string
		vars            map[string]string
		want            []string
	}{
		{"empty", "", nil, []string{"no host is in the groups primary-master, secondary-masters or masters"}},
		{"YAML without masters", "---\nall: {}\n", nil, []string{"no host is in the groups"}},
		{"broken YAML", "all:\n  hosts: {\n", nil, []string{"i:", "malformed YAML"}},
		{"YAML of a plugin", "plugin: aws_ec2\n", nil, []string{"i:1: this configures a plugin", "ansible-inventory -i"}},
		{"YAML with a list of hosts", "all:\n  hosts:\n  - m1\n", nil, []string{"i:2: hosts of the group all must be names"}},
		{"YAML with a number for a host", "all:\n  hosts:\n    1:\n", nil, []string{"i:3: the host's name 1 is no text"}},
		{"YAML within itself", "a:\n  children:\n    b:\n      children:\n        a:\n", nil, []string{"can't be within"}},
		{"encrypted", "$ANSIBLE_VAULT;1.1;AES256\n3030\n", nil, []string{"i is encrypted"}},
		{"a program", "#!/usr/bin/python3\n", nil, []string{"a program that makes an inventory"}},
		{"groups in a circle", "[a:children]\nb\n[b:children]\na\n", nil, []string{"can't be within"}},
		{"an unknown child", "[masters]\nm1\n[a:children]\nb\n", nil, []string{"i:4: [a:children] has the group b, which is nowhere defined"}},
		{"variables of nobody", "[a:vars]\nb=c\n", nil, []string{"i:1: [a:vars] is for a group that is nowhere defined"}},
		{"a port is missing", "[masters]\nm1:\n", nil, []string{`i:2: "m1:" ends in a colon`}},
		{"no priority", "[masters]\nm1\n[masters:vars]\nansible_group_priority=high\n", nil, []string{"i:4: ansible_group_priority"}},
		{"all errors", "[a:b]\n[x y]\nh1 oops\nh[1:\nh[3:1]\nh[a:3]\nh 'x\n[c:children]\na b\n[c:vars]\nnothing\n", nil, []string{
			`i:1: unknown kind of section "b"`, `i:2: "[x y]" is no section`, "i:3: expected NAME=VALUE after the host h1",
			"i:4: \"h[1:\": a bracket is not closed", "i:5: \"h[3:1]\": [3:1] is empty", "i:6: \"h[a:3]\": [a:3]: a range goes from",
			"i:7: a quote is not closed", `i:9: "a b" is no group's name`, "i:11: expected NAME=VALUE"}},
		{"many hosts", "[masters]\nm[1:2000]\n", nil, []string{"more than 1000 hosts"}},
		{"many hosts by product", "[masters]\nm[1:500][1:500][1:500]\n", nil, []string{"more than 1000 hosts"}},
		{"many hosts by lines", "[masters]\nm[1:600]\nn[1:600]\n", nil, []string{"i:3: ", "the host ranges make more than 1000 hosts"}},
		{"many groups", manyGroups(), nil, []string{"more than 1000 groups"}},
		{"range overflow", "[masters]\nm[9223372036854775800:9223372036854775807:9223372036854775807]\n[", nil, []string{"i:"}},
		{"variables", masters, map[string]string{"group_vars/all.yaml": "a: [\n"}, []string{"all.yaml:", "malformed YAML"}},
		{"variables are a list", masters, map[string]string{"group_vars/all.yaml": "- a\n"}, []string{"group_vars/all.yaml:1: expected names with values"}},
		{"variables are text", masters, map[string]string{"host_vars/m1/README": "Our first host\n"}, []string{"host_vars/m1/README:1: expected names with values"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Convert([]byte(tc.inventory), "i", folder(tc.vars))
			if err == nil {
				t.Fatal("converted, want an error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\nlacks %q", err, want)
				}
			}
		})
	}
}

func manyGroups() string {
	var b strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&b, "[g%d]\n", i)
	}
	return b.String()
}

func TestTemplatesAreBounded(t *testing.T) {
	vars := "A: '{{ A }}'\n"
	for c := 'B'; c < 'Z'; c++ {
		vars += fmt.Sprintf("%c: '%s'\n", c, strings.Repeat(fmt.Sprintf("{{ %c }}", c+1), 9))
	}
	vars += "Z: x\nCLUSTER_NAME: '{{ B }}'\nMASTER_VIP: '{{ A }}'\nAPISERVER_VIP: \"{{ groups['nobody'][7] }}\"\n"
	r, err := Convert([]byte("[masters]\nm1 ansible_host=10.0.0.1\n"), "i", folder(map[string]string{"group_vars/all.yaml": vars}))
	if err != nil {
		t.Fatal(err)
	}
	why := map[string]string{}
	for _, s := range r.Unmapped {
		why[s.Name] = s.Why
	}
	for name, want := range map[string]string{"CLUSTER_NAME": "its template", "MASTER_VIP": "refers to itself", "APISERVER_VIP": "that the group nobody has not"} {
		if !strings.Contains(why[name], want) {
			t.Errorf("%s: %q, want %q", name, why[name], want)
		}
	}
}

func TestExpand(t *testing.T) {
	for pattern, want := range map[string]string{
		"m": "m", "m[1:3]": "m1 m2 m3", "m[08:10]x": "m08x m09x m10x", "m[y:B]": "my mz mA mB", "m[1:9:4]": "m1 m5 m9",
		"r[a:c]": "ra rb rc", "r[a:b]-[1:2]": "ra-1 ra-2 rb-1 rb-2", "m[:2]": "m0 m1 m2", "[1:1]": "1",
	} {
		got, err := expand(pattern, 100)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v, want %s", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{"m[", "m[]", "m[1]", "m[1:2:0]", "m[1:2:x]", "m[1:b]", "m[-1:2]", "m[ab:cd]", "m[1:2:3:4]", "m[1:101]", "m[08:100]", "m[1:]"} {
		if got, err := expand(pattern, 100); err == nil {
			t.Errorf("%s: %v, want an error", pattern, got)
		}
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string]string{
		`h a=b  c=d`: "h|a=b|c=d", `h a='b c' # x`: "h|a=b c", `h a="b \" c"`: `h|a=b " c`, `h a=b#c`: "h|a=b", `h a="b\n"`: `h|a=b\n`, `h a='b\'`: `h|a=b\`,
		`h a=''`: "h|a=", `h a\ b`: "h|a b", `# x`: "",
	} {
		got, err := split(line)
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
}

func TestPorts(t *testing.T) {
	for s, want := range map[string]string{"h:22": "h 22", "m[1:3]:22": "m[1:3] 22", "m[1:3]": "", "2001:db8::1": "", "h": "", "h:x": "", ":22": "", "[2001:db8::1]:22": "2001:db8::1 22",
		"[h]:22": "h 22", "h_:22": "", "10.0.0.[1:3]:22": "10.0.0.[1:3] 22", "a,b:22": ""} {
		host, port, ok := cutPort(s)
		if got := strings.TrimSpace(host + " " + port); got != want || ok != (want != "") {
			t.Errorf("%s: %q", s, got)
		}
	}
}

func TestSharedSSH(t *testing.T) {
	r, err := Convert([]byte(`[masters]
a ansible_host=10.0.0.1 ansible_user=u ansible_port=22
b ansible_host=10.0.0.2 ansible_user=u ansible_port=2222 ansible_become=no
[minions]
c ansible_host=c.example.com ansible_user=u
`), "i", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Cluster.Spec
	if s.SSH.User != "u" || s.SSH.Port != 0 || s.Hosts[0].SSH != nil {
		t.Errorf("shared %+v, the first's own %+v", s.SSH, s.Hosts[0].SSH)
	}
	if own := s.Hosts[1].SSH; own == nil || own.Port != 2222 || own.User != "" || own.Sudo == nil || *own.Sudo {
		t.Errorf("the second's own %+v", own)
	}
	if own := s.Hosts[2].SSH; own == nil || own.Host != "c.example.com" || s.Hosts[2].Address != "" {
		t.Errorf("the third's own %+v", own)
	}
}

func FuzzConvert(f *testing.F) {
	for _, name := range []string{"dashes", "underscores"} {
		f.Add(read(f, name+".inventory"), name+".inventory", []byte(underscoresAll))
	}
	f.Add([]byte("[masters]\nm[1:3]:22 a='b'\n[x:children]\nx\n[x:vars]\na={{b}}\n"), "x", []byte(dashesAll))
	f.Fuzz(func(t *testing.T, inventory []byte, name string, vars []byte) {
		r, err := Convert(inventory, name, folder(map[string]string{"group_vars/all.yaml": string(vars), "group_vars/masters.yaml": string(vars), "host_vars/m1/x": string(vars)}))
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if len(r.Cluster.ControlPlanes()) == 0 || len(r.Cluster.Spec.Hosts) > maxHosts {
			t.Errorf("hosts %d", len(r.Cluster.Spec.Hosts))
		}
		data, err := v1alpha1.Marshal(r.Cluster)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v1alpha1.Decode(data, ""); err != nil {
			t.Fatalf("converted to what can't be read: %v\n%s", err, data)
		}
	})
}
