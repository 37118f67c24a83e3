package adopt

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/endpoint"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/survey"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func node(name, address string, controlPlane, taint bool) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}}
	if controlPlane {
		n.Labels[controlPlaneLabel] = ""
	}
	if taint {
		n.Spec.Taints = []corev1.Taint{{Key: controlPlaneLabel, Effect: corev1.TaintEffectNoSchedule}}
	}
	return n
}

func observation(t *testing.T, config string) Observation {
	t.Helper()
	o := Observation{Nodes: []corev1.Node{node("a-worker", "192.0.2.9", false, false), node("m2", "192.0.2.2", true, true), node("m1", "192.0.2.1", true, false)}}
	if err := yaml.UnmarshalStrict([]byte(config), &o.Kubeadm); err != nil {
		t.Fatal(err)
	}
	return o
}

const stacked = `
clusterName: prod
controlPlaneEndpoint: 192.0.2.100:8443
kubernetesVersion: v1.35.4
imageRepository: registry.k8s.io
etcd: {local: {dataDir: /data/etcd}}
networking: {dnsDomain: c.local, podSubnet: 10.1.0.0/16, serviceSubnet: 10.2.0.0/16}
`

// TestEndpoints: every kind of endpoint is told from the others; the document is the truth about
// it, has nothing made up, and passes its own check.
func TestEndpoints(t *testing.T) {
	servers := map[string]string{"m1": "192.0.2.1:6443", "m2": "192.0.2.2:6443"}
	host := func(k *survey.Keepalived, addresses ...string) survey.Facts {
		return survey.Facts{Addresses: addresses, Keepalived: k}
	}
	foreign := &survey.Keepalived{RouterID: 77, Interface: "eth0", Addresses: []string{"192.0.2.100"}}
	ours := &survey.Keepalived{Ours: true, RouterID: 50, Seconds: 0.2, Addresses: []string{"192.0.2.100"}}
	for _, tt := range []struct {
		name, endpoint, given string
		edit                  func(*Observation)
		// virtualIP and address are the document's, at is where the API is.
		virtualIP, address, at string
		kind                   endpoint.Kind
		severity               report.Severity
		tells                  string
	}{
		{name: "a virtual IP, as far as the API tells", endpoint: "192.0.2.100:6443", virtualIP: "192.0.2.100", at: "192.0.2.100:6443", kind: endpoint.VirtualIP, severity: SeverityInfo, tells: "does not keep"},
		{name: "held by a control plane", endpoint: "192.0.2.100:6443", virtualIP: "192.0.2.100", at: "192.0.2.100:6443", kind: endpoint.VirtualIP, severity: SeverityInfo, tells: "does not keep",
			edit: func(o *Observation) {
				o.Hosts = map[string]survey.Facts{"m1": host(foreign, "192.0.2.1/24"), "m2": host(foreign, "192.0.2.2/24", "192.0.2.100/32")}
			}},
		{name: "held by none of those that were asked", endpoint: "192.0.2.100:6443", address: "192.0.2.100:6443", at: "192.0.2.100:6443", kind: endpoint.Elsewhere, severity: SeverityInfo, tells: "no control plane holds",
			edit: func(o *Observation) {
				o.Hosts = map[string]survey.Facts{"m1": host(nil, "192.0.2.1/24"), "m2": host(nil, "192.0.2.2/24")}
			}},
		{name: "one was not asked", endpoint: "192.0.2.100:6443", virtualIP: "192.0.2.100", at: "192.0.2.100:6443", kind: endpoint.VirtualIP, severity: SeverityInfo, tells: "does not keep",
			edit: func(o *Observation) { o.Hosts = map[string]survey.Facts{"m1": host(nil, "192.0.2.1/24")} }},
		{name: "a load balancer's port before it", endpoint: "192.0.2.100:8443", virtualIP: "192.0.2.100", address: "192.0.2.100:8443", at: "192.0.2.100:8443", kind: endpoint.VirtualIP, severity: SeverityInfo, tells: "8443"},
		{name: "without a port", endpoint: "192.0.2.100", virtualIP: "192.0.2.100", at: "192.0.2.100:6443", kind: endpoint.VirtualIP, severity: SeverityInfo, tells: "does not keep"},
		{name: "a node's own address", endpoint: "192.0.2.1:6443", address: "192.0.2.1:6443", at: "192.0.2.1:6443", kind: endpoint.Node, severity: report.SeverityWarning, tells: "own address of m1"},
		{name: "none", endpoint: "", address: "192.0.2.1:6443", at: "192.0.2.1:6443", kind: endpoint.Node, severity: report.SeverityWarning, tells: "controlPlaneEndpoint is empty"},
		{name: "none, and nodes join by another one", endpoint: "", address: "192.0.2.2:6443", at: "192.0.2.2:6443", kind: endpoint.Node, severity: report.SeverityWarning, tells: "own address of m2",
			edit: func(o *Observation) { o.ClusterInfo = "192.0.2.2:6443" }},
		{name: "none, with a virtual IP by hand", endpoint: "", given: "192.0.2.100", virtualIP: "192.0.2.100", at: "192.0.2.100:6443", kind: endpoint.VirtualIP, severity: SeverityInfo, tells: "does not keep"},
		{name: "localhost", endpoint: "localhost:6443", address: "localhost:6443", at: "localhost:6443", kind: endpoint.Local, severity: report.SeverityWarning, tells: "each host's own"},
		{name: "the loopback", endpoint: "127.0.0.1:6443", address: "127.0.0.1:6443", at: "127.0.0.1:6443", kind: endpoint.Local, severity: report.SeverityWarning, tells: "each host's own"},
		{name: "a name for one address", endpoint: "api.example:6443", address: "api.example:6443", at: "api.example:6443", kind: endpoint.Elsewhere, severity: SeverityInfo, tells: "for 192.0.2.77",
			edit: func(o *Observation) { o.Addresses = []string{"192.0.2.77"} }},
		{name: "a name for many", endpoint: "api.example:6443", address: "api.example:6443", at: "api.example:6443", kind: endpoint.Elsewhere, severity: report.SeverityWarning, tells: "2 addresses",
			edit: func(o *Observation) { o.Addresses = []string{"192.0.2.1", "192.0.2.2"} }},
		{name: "a name that does not resolve", endpoint: "api.example:6443", address: "api.example:6443", at: "api.example:6443", kind: endpoint.Elsewhere, severity: report.SeverityWarning, tells: "does not resolve"},
		{name: "a name for a virtual IP", endpoint: "api.example:6443", given: "192.0.2.100", virtualIP: "192.0.2.100", address: "api.example:6443", at: "api.example:6443", kind: endpoint.Elsewhere, severity: SeverityInfo, tells: "what is behind it",
			edit: func(o *Observation) { o.Addresses = []string{"192.0.2.100"} }},
		{name: "kubectl-ha's own", endpoint: "192.0.2.100:6443", virtualIP: "192.0.2.100", at: "192.0.2.100:6443", kind: endpoint.Ours,
			edit: func(o *Observation) {
				o.Hosts = map[string]survey.Facts{"m1": host(ours, "192.0.2.1/24"), "m2": host(ours, "192.0.2.2/24")}
			}},
		{name: "kubectl-ha's on one of two", endpoint: "192.0.2.100:6443", address: "192.0.2.100:6443", at: "192.0.2.100:6443", kind: endpoint.Elsewhere, severity: SeverityInfo, tells: "no control plane holds",
			edit: func(o *Observation) {
				o.Hosts = map[string]survey.Facts{"m1": host(ours, "192.0.2.1/24"), "m2": host(foreign, "192.0.2.2/24")}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := strings.Replace(stacked, "192.0.2.100:8443", "'"+tt.endpoint+"'", 1)
			if tt.kind == endpoint.Ours {
				config = strings.Replace(config, "{local: {dataDir: /data/etcd}}", `{external: {endpoints: ["https://192.0.2.1:2379"]}}`, 1)
			}
			o := observation(t, config)
			o.Servers = servers
			if tt.edit != nil {
				tt.edit(&o)
			}
			c, found, err := Cluster(o, tt.given)
			if err == nil {
				err = Check(c)
			}
			if err != nil {
				t.Fatal(err)
			}
			s := c.Spec
			if s.VirtualIP != tt.virtualIP || s.Endpoint.Address != tt.address || c.Endpoint() != tt.at || s.APIServerPort != 6443 || endpoint.Of(c) != tt.kind {
				t.Errorf("%q, %+v, at %s, port %d, %s", s.VirtualIP, s.Endpoint, c.Endpoint(), s.APIServerPort, endpoint.Of(c))
			}
			if want := (v1alpha1.Keepalived{RouterID: 50, AdvertisementInterval: 200}); tt.kind == endpoint.Ours {
				if s.Keepalived != want || len(found) > 0 || !c.KeepsVirtualIP() || Verbs(c) != nil {
					t.Errorf("%+v, %v", s.Keepalived, found)
				}
				return
			}
			if s.Keepalived != (v1alpha1.Keepalived{}) || s.LoadBalancer.Type != "" || s.LoadBalancer.Port != 0 || c.KeepsVirtualIP() {
				t.Errorf("settings are made up: %+v, %+v", s.Keepalived, s.LoadBalancer)
			}
			if len(found) != 1 || found[0].Severity != tt.severity || !strings.Contains(found[0].Message, tt.tells) {
				t.Errorf("found %+v", found)
			}
			if len(Verbs(c)) == 0 {
				t.Error("no word of what commands will do")
			}
			// What is stored is what is read again.
			text, err := v1alpha1.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			again, err := v1alpha1.Decode(text, "stored")
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			again.SetDefaults()
			if !reflect.DeepEqual(again.Spec, c.Spec) {
				t.Errorf("read again it is\n%+v\nnot\n%+v", again.Spec, c.Spec)
			}
		})
	}
}

// TestOursIPv6: an address is the same however it is written.
func TestOursIPv6(t *testing.T) {
	o := observation(t, stacked)
	k := &survey.Keepalived{Ours: true, RouterID: 50, Seconds: 0.2, Addresses: []string{"fd00::100"}}
	o.Hosts = map[string]survey.Facts{"m1": {Keepalived: k}, "m2": {Keepalived: k}}
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Hosts: hosts(o.Nodes)}}
	for host, want := range map[string]bool{"fd00::100": true, "fd00:0:0::0100": true, "FD00::100": true, "fd00::101": false, "api.example": false} {
		if got := o.ours(c, host) != nil; got != want {
			t.Errorf("%s is ours: %v, want %v", host, got, want)
		}
	}
}

func TestStacked(t *testing.T) {
	c, _, err := Cluster(observation(t, stacked), "")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Spec
	if c.Metadata.Name != "prod" || s.VirtualIP != "192.0.2.100" || s.APIServerPort != 8443 || s.KubernetesVersion != "v1.35.4" {
		t.Errorf("got %+v", c)
	}
	if s.Etcd.Topology != v1alpha1.EtcdStacked || s.Etcd.DataDir != "/data/etcd" || s.Network.Plugin != v1alpha1.NetworkPluginNone || s.Network.PodSubnet != "10.1.0.0/16" {
		t.Errorf("got %+v", s)
	}
	if len(s.Hosts) != 3 || s.Hosts[0].Name != "m1" || s.Hosts[1].Name != "m2" || s.Hosts[2].Name != "a-worker" {
		t.Fatalf("hosts: %+v", s.Hosts)
	}
	if s.Hosts[0].Tainted() || !s.Hosts[1].Tainted() || len(c.EtcdMembers()) != 2 || len(c.Workers()) != 1 {
		t.Errorf("roles: %+v", s.Hosts)
	}
}

func TestExternal(t *testing.T) {
	config := strings.Replace(stacked, "{local: {dataDir: /data/etcd}}", `{external: {endpoints: ["https://192.0.2.1:2379", "https://192.0.2.50:2379"]}}`, 1)
	c, _, err := Cluster(observation(t, config), "192.0.2.101")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range c.EtcdMembers() {
		names = append(names, h.Name+"="+h.Address)
	}
	if got := strings.Join(names, " "); got != "m1=192.0.2.1 etcd2=192.0.2.50" || c.Spec.VirtualIP != "192.0.2.101" || c.Spec.Etcd.Topology != v1alpha1.EtcdExternal {
		t.Errorf("got %s, %+v", got, c.Spec)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config, given, want string
		edit                func(*Observation)
	}{
		"bad port":         {config: "controlPlaneEndpoint: 'api.example:x'", want: "has no port"},
		"no host":          {config: "controlPlaneEndpoint: ':6443'", want: "has no host"},
		"bad etcd":         {config: "controlPlaneEndpoint: 192.0.2.1\netcd: {external: {endpoints: ['%']}}", want: "is no URL"},
		"no controlplane":  {config: "controlPlaneEndpoint: 192.0.2.1", want: "no node has", edit: func(o *Observation) { o.Nodes = o.Nodes[:1] }},
		"no virtual IP":    {config: stacked, given: "api.example", want: "is no address"},
		"dual stack":       {config: strings.Replace(stacked, "10.1.0.0/16", "'10.1.0.0/16,fd00::/56'", 1), want: "dual stack"},
		"too old a minor":  {config: strings.Replace(stacked, "v1.35.4", "v1.19.0", 1), want: "spec.kubernetesVersion"},
		"a node's address": {config: stacked, given: "192.0.2.2", want: "is the address of host m2"},
	} {
		t.Run(name, func(t *testing.T) {
			o := observation(t, c.config)
			if c.edit != nil {
				c.edit(&o)
			}
			found, _, err := Cluster(o, c.given)
			if err == nil {
				err = Check(found)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestEtcdsTag: the version that kubeadm's own etcd was told to have gets into the document.
func TestEtcdsTag(t *testing.T) {
	for tag, want := range map[string]string{"3.6.16-0": "v3.6.16", "3.5.26": "v3.5.26", "": "", "ours": ""} {
		o := observation(t, strings.Replace(stacked, "dataDir: /data/etcd", "dataDir: /data/etcd, imageTag: '"+tag+"'", 1))
		c := &v1alpha1.Cluster{}
		if err := addEtcd(c, o.Kubeadm); err != nil || c.Spec.Etcd.Version != want {
			t.Errorf("%q: %q, %v; want %q", tag, c.Spec.Etcd.Version, err, want)
		}
	}
}
