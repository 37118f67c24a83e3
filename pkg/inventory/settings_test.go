package inventory

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// What is decided, and what is named: each case is an inventory of m1, m2 and w1
// with something beside it.
func TestSettings(t *testing.T) {
	const hosts = "[primary_master]\nm1 ansible_host=10.0.0.1\n[secondary_masters]\nm2 ansible_host=10.0.0.2\n[masters:children]\nprimary_master\nsecondary_masters\n" +
		"[minions]\nw1 ansible_host=10.0.0.3\n[nodes:children]\nmasters\nminions\n"
	const vip = "[apiserver_vip]\n10.0.0.10\n"
	first := strings.NewReplacer("primary_master", "primary-master", "secondary_masters", "secondary-masters").Replace(hosts)
	for _, tc := range []struct {
		name, inventory string
		files           map[string]string
		got             func(v1alpha1.ClusterSpec) string
		want            string
		// told are notes and settings without a place, each by a part of it.
		told []string
	}{
		{"the group beats a leftover MASTER_VIP", hosts + vip, map[string]string{"group_vars/all.yml": "MASTER_VIP: 10.0.0.99\nAPISERVER_VIP: \"{{ groups['apiserver_vip'][0] }}\"\n"},
			virtualIPOf, "10.0.0.10", []string{"MASTER_VIP (group_vars/all.yml): APISERVER_VIP decides, and says otherwise"}},
		{"the group alone beats it too", hosts + vip, map[string]string{"group_vars/all.yml": "MASTER_VIP: 10.0.0.99\nVIRTUAL_IP: 10.0.0.10\n"},
			virtualIPOf, "10.0.0.10", []string{"MASTER_VIP (group_vars/all.yml): the group apiserver_vip decides"}},
		{"APISERVER_VIP beats the group", hosts + vip, map[string]string{"group_vars/all.yml": "APISERVER_VIP: 10.0.0.11\n"},
			virtualIPOf, "10.0.0.11", []string{"the group apiserver_vip (i): APISERVER_VIP decides"}},
		{"the first generation goes by MASTER_VIP", first, map[string]string{"group_vars/all.yml": "MASTER_VIP: 10.0.0.9\nAPISERVER_VIP: 10.0.0.99\n"},
			virtualIPOf, "10.0.0.9", []string{"APISERVER_VIP (group_vars/all.yml): MASTER_VIP decides"}},
		{"one that is not usable lets the next decide", hosts + vip, map[string]string{"group_vars/all.yml": "APISERVER_VIP: \"{{ lookup('env', 'VIP') }}\"\n"},
			virtualIPOf, "10.0.0.10", []string{"APISERVER_VIP (group_vars/all.yml): its template is not understood"}},
		{"a file of a name that no group has", hosts, map[string]string{"group_vars/all.yml": "MASTER_VIP: 10.0.0.9\n", "group_vars/i.yml": "MASTER_VIP: 10.0.0.99\n", "group_vars/primary-master.yml": "MASTER_VIP: 10.0.0.98\n"},
			virtualIPOf, "10.0.0.9", []string{"group_vars/i.yml was not read: the inventory has no group of that name", "group_vars/primary-master.yml was not read: the inventory has no group of that name (it has primary_master;"}},
		{"the second file of a group", hosts, map[string]string{"group_vars/all/x.yml": "MASTER_VIP: 10.0.0.9\n", "group_vars/all.yml": "MASTER_VIP: 10.0.0.99\n"},
			virtualIPOf, "10.0.0.9", []string{"group_vars/all.yml was not read: group_vars/all goes first, and Ansible reads one of them"}},
		{"what is passed over", hosts, map[string]string{"group_vars/all/x.yml": "MASTER_VIP: 10.0.0.9\n", "group_vars/all/x.txt": "", "group_vars/all/.x.yml.swp": "",
			"group_vars/all/.gitkeep": "", "group_vars/all/d.d/y.yml": "", "group_vars/masters.txt": "", "host_vars/gone.yml": "A: 1\n", "host_vars/M1": "A: 1\n"},
			virtualIPOf, "10.0.0.9", []string{"group_vars/all/x.txt was not read: Ansible reads files that end in .yml", "group_vars/all/.x.yml.swp was not read: Ansible ignores hidden",
				"group_vars/all/d.d was not read: Ansible passes over folders with a dot", "group_vars/masters.txt was not read: Ansible reads files for the group masters that end in",
				"host_vars/gone.yml was not read: the inventory has no host of that name", "host_vars/M1 was not read: the inventory has no host of that name (it has m1;"}},
		{"an encrypted file", hosts, map[string]string{"group_vars/all/vars.yml": "MASTER_VIP: 10.0.0.9\n", "group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n3030\n"},
			virtualIPOf, "10.0.0.9", []string{"group_vars/all/vault.yml was not read: it is encrypted"}},
		{"an encrypted value", hosts, map[string]string{"group_vars/all.yml": "MASTER_VIP: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3033\n"},
			virtualIPOf, "", []string{"MASTER_VIP (group_vars/all.yml): the value is encrypted", "no virtual IP was found"}},
		{"a name that is given twice", hosts, map[string]string{"group_vars/all.yml": "MASTER_VIP: 10.0.0.99\nMASTER_VIP: 10.0.0.9\n"},
			virtualIPOf, "10.0.0.9", []string{"group_vars/all.yml, line 2: MASTER_VIP is given twice, the last value counts"}},
		{"a value of an unknown kind", hosts, map[string]string{"group_vars/all.yml": "MASTER_VIP: !mine x\n"},
			virtualIPOf, "", []string{"MASTER_VIP (group_vars/all.yml:1): the value can't be read"}},
		{"the first master's view counts", hosts, map[string]string{"group_vars/minions.yml": "POD_NETWORK_CIDR: 10.9.0.0/16\n", "group_vars/masters.yml": "POD_NETWORK_CIDR: 10.8.0.0/16\n", "group_vars/all.yml": "POD_NETWORK_CIDR: 10.7.0.0/16\n"},
			podSubnetOf, "10.8.0.0/16", []string{"POD_NETWORK_CIDR (group_vars/minions.yml): holds for w1; a Cluster has one value for all hosts, and that of m1 counts"}},
		{"one number in two forms is no version", hosts, map[string]string{"group_vars/all.yml": "KUBERNETES_VERSION: 1.30\n"},
			func(s v1alpha1.ClusterSpec) string { return s.KubernetesVersion }, v1alpha1.DefaultKubernetesVersion, []string{`KUBERNETES_VERSION "1.3" is outside`}},
		{"variables of a group without hosts", hosts + "[nfs]\n[nfs:vars]\nNFS_SHARE=/x\n", nil, virtualIPOf, "", []string{"NFS_SHARE (i): no host is in the group nfs"}},
		{"a variable of one host", hosts, map[string]string{"host_vars/w1.yml": "RACK: 3\nZONE_TOKEN: x\n"}, virtualIPOf, "",
			[]string{"RACK (host_vars/w1.yml): has no counterpart for a single host", "ZONE_TOKEN (host_vars/w1.yml): has no counterpart for a single host"}},
		{"templates see the host's own variables", hosts, map[string]string{"group_vars/all.yml": "ansible_user: \"{{ login }}-{{ inventory_hostname }}\"\nlogin: a\n", "host_vars/m2.yml": "login: b\n"},
			func(s v1alpha1.ClusterSpec) string {
				return s.Hosts[0].SSH.User + " " + s.Hosts[1].SSH.User + " " + s.Hosts[2].SSH.User
			}, "a-m1 b-m2 a-w1", nil},
		{"the name with ssh in it decides", hosts + "[all:vars]\nansible_ssh_user=old\nansible_user=new\nansible_ssh_port=22\nansible_port=2222\n", nil,
			func(s v1alpha1.ClusterSpec) string { return s.SSH.User + " " + string(rune('0'+s.SSH.Port)) }, "old 0", nil},
		{"text without templates", hosts, map[string]string{"group_vars/all.yml": "DNS_DOMAIN: !unsafe 'a{{b'\n"},
			func(s v1alpha1.ClusterSpec) string { return s.Network.DNSDomain }, "a{{b", nil},
		{"two names of users' own", hosts, map[string]string{"group_vars/all.yml": "ROUTER_ID: 7\nKEEPALIVED_ROUTER_ID: 8\nHTTP_PROXY: http://a\nPROXY_SERVER: http://b\nNO_PROXY: x\nno_proxy: y\n"},
			func(s v1alpha1.ClusterSpec) string {
				return string(rune('0'+s.Keepalived.RouterID)) + s.Proxy.HTTPProxy + s.Proxy.NoProxy[0]
			}, "8http://bx", []string{"ROUTER_ID (group_vars/all.yml): KEEPALIVED_ROUTER_ID decides", "HTTP_PROXY (group_vars/all.yml): PROXY_SERVER decides", "no_proxy (group_vars/all.yml): NO_PROXY decides"}},
		{"YAML by a name that Ansible does not take", "all:\n  vars: {MASTER_VIP: 10.0.0.9}\n  children:\n    masters:\n      hosts: {m1: }\n      host: {m2: }\n", nil,
			virtualIPOf, "10.0.0.9", []string{"i.inventory is a YAML inventory, which Ansible itself takes only from", "i.inventory:6: host of the group masters was not read"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := "i"
			if strings.HasPrefix(tc.inventory, "all:") {
				name = "i.inventory"
			}
			r, err := Convert([]byte(tc.inventory), name, folder(tc.files))
			if err != nil {
				t.Fatal(err)
			}
			if got := tc.got(r.Cluster.Spec); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			told := string(report(t, r))
			for _, want := range tc.told {
				if !strings.Contains(told, want) {
					t.Errorf("%q is not told in\n%s", want, told)
				}
			}
		})
	}
}

func virtualIPOf(s v1alpha1.ClusterSpec) string { return s.VirtualIP }
func podSubnetOf(s v1alpha1.ClusterSpec) string { return s.Network.PodSubnet }

// A file in the place of a folder is told.
func TestFoldersThatAreNone(t *testing.T) {
	r, err := Convert([]byte("[masters]\nm1\n"), "i", folder(map[string]string{"group_vars": "text", "host_vars/m1.yml": "MASTER_VIP: 10.0.0.9\n"}))
	if err != nil || r.Cluster.Spec.VirtualIP != "10.0.0.9" || !strings.Contains(strings.Join(r.Notes, "\n"), "group_vars was not read: it is no folder") {
		t.Errorf("%v %+v", err, r)
	}
}
