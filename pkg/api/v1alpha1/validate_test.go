package v1alpha1

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func load(t *testing.T) *Cluster {
	t.Helper()
	c, _, err := Load([]byte(minimal), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestValidateErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*ClusterSpec)
		want   string
	}{
		{"no version", func(s *ClusterSpec) { s.KubernetesVersion = "" }, "spec.kubernetesVersion: is required"},
		{"version syntax", func(s *ClusterSpec) { s.KubernetesVersion = "v1.36" }, `spec.kubernetesVersion: "v1.36" is no version`},
		{"too old", func(s *ClusterSpec) { s.KubernetesVersion = "v1.33.9" }, "v1.33.9 is not supported; choose one of v1.34 to v1.37"},
		{"too new", func(s *ClusterSpec) { s.KubernetesVersion = "v1.38.0" }, "v1.38.0 is not supported"},
		{"no VIP", func(s *ClusterSpec) { s.VirtualIP = "" }, "spec.virtualIP: is required"},
		{"VIP no address", func(s *ClusterSpec) { s.VirtualIP = "api.example.com" }, "is no IP address"},
		{"VIP of a host", func(s *ClusterSpec) { s.VirtualIP = "10.0.0.12" }, "spec.virtualIP: 10.0.0.12 is the address of host cp2"},
		{"VIP of another family", func(s *ClusterSpec) { s.VirtualIP = "2001:db8::1" }, "different address families"},
		{"VIP among the pods", func(s *ClusterSpec) { s.VirtualIP = "10.244.3.4" }, "spec.virtualIP: 10.244.3.4 lies in the pod subnet 10.244.0.0/16"},
		{"VIP among the services", func(s *ClusterSpec) { s.VirtualIP = "10.97.0.1" }, "lies in the service subnet"},
		{"host among the pods", func(s *ClusterSpec) { s.Network.PodSubnet = "10.0.0.0/16" }, "spec.hosts[0].address: 10.0.0.11 lies in the pod subnet"},
		{"loopback", func(s *ClusterSpec) { s.Hosts[0].Address = "127.0.0.1" }, "spec.hosts[0].address: 127.0.0.1 can't be reached from other hosts"},
		{"zone", func(s *ClusterSpec) { s.Hosts[0].Address = "fe80::1%eth0" }, "has a zone"},
		{"duplicate name", func(s *ClusterSpec) { s.Hosts[1].Name = "cp1" }, "spec.hosts[1].name: the name cp1 is also that of spec.hosts[0]"},
		{"duplicate address", func(s *ClusterSpec) { s.Hosts[3].Address = "10.0.0.11" }, "spec.hosts[3].address: the address 10.0.0.11 is also that of"},
		{"duplicate login", func(s *ClusterSpec) {
			s.Hosts[0].SSH, s.Hosts[1].SSH = &SSH{Host: "nat"}, &SSH{Host: "nat"}
		}, "spec.hosts[1].ssh.host: the login"},
		{"host name", func(s *ClusterSpec) { s.Hosts[0].Name = "CP_1" }, `spec.hosts[0].name: "CP_1" is no node name`},
		{"upper case", func(s *ClusterSpec) { s.Hosts[0].Name = "CP1" }, "; write cp1"},
		{"long name", func(s *ClusterSpec) { s.Hosts[0].Name = strings.Repeat("a", 64) }, "has 64 characters"},
		{"no name", func(s *ClusterSpec) { s.Hosts[0].Name = "" }, "spec.hosts[0].name: is required"},
		{"role", func(s *ClusterSpec) { s.Hosts[3].Roles = []Role{"wroker"} }, `spec.hosts[3].roles[0]: "wroker" is unknown, did you mean worker?`},
		{"role twice", func(s *ClusterSpec) { s.Hosts[3].Roles = []Role{RoleWorker, RoleWorker} }, "spec.hosts[3].roles[1]: worker is given twice"},
		{"label", func(s *ClusterSpec) { s.Hosts[3].Labels = map[string]string{"a b": "x"} }, `spec.hosts[3].labels: "a b" is no label name`},
		{"label value", func(s *ClusterSpec) { s.Hosts[3].Labels = map[string]string{"a": "x y"} }, "is no value for the label a"},
		{"no hosts", func(s *ClusterSpec) { s.Hosts = nil }, "spec.hosts: is empty"},
		{"no control plane", func(s *ClusterSpec) { s.Hosts = s.Hosts[3:] }, "no host has the role control-plane"},
		{"overlap", func(s *ClusterSpec) { s.Network.PodSubnet = "10.96.0.0/16" }, "overlaps the pod subnet"},
		{"no subnet", func(s *ClusterSpec) { s.Network.PodSubnet = "10.244.0.0" }, "is no subnet"},
		{"host bits", func(s *ClusterSpec) { s.Network.PodSubnet = "10.244.0.1/16" }, "write 10.244.0.0/16"},
		{"dual stack", func(s *ClusterSpec) { s.Network.PodSubnet = "10.244.0.0/16,fd00::/56" }, "dual stack"},
		{"few pods", func(s *ClusterSpec) { s.Network.PodSubnet = "10.244.0.0/23" }, "has room for 2 nodes (a /24 each), the file has 4"},
		{"large services", func(s *ClusterSpec) { s.Network.ServiceSubnet = "11.0.0.0/8" }, "is too large for Kubernetes; use /12"},
		{"flannel and IPv6", func(s *ClusterSpec) { s.Network.PodSubnet = "fd00::/56" }, "flannel is set up for IPv4 only"},
		{"plugin", func(s *ClusterSpec) { s.Network.Plugin = "flanel" }, "did you mean flannel?"},
		{"manifest missing", func(s *ClusterSpec) { s.Network.Plugin = NetworkPluginManifest }, "spec.network.manifest: is required"},
		{"manifest unused", func(s *ClusterSpec) { s.Network.Manifest = "a.yaml" }, "is used with plugin manifest only"},
		{"CA without its key", func(s *ClusterSpec) { s.PKI.Kubernetes.CertFile = "ca.crt" }, "spec.pki.kubernetes.keyFile: is required: a CA whose key is kept elsewhere"},
		{"key without its CA", func(s *ClusterSpec) { s.PKI.FrontProxy.KeyFile = "ca.key" }, "spec.pki.frontProxy.certFile: is required"},
		{"one file for two CAs", func(s *ClusterSpec) {
			s.PKI.Kubernetes, s.PKI.Etcd = CA{"ca.crt", "ca.key"}, CA{"etcd.crt", "ca.key"}
		}, "spec.pki.etcd.keyFile: is a file of spec.pki.kubernetes, too"},
		{"a CA's content", func(s *ClusterSpec) { s.PKI.Etcd = CA{"-----BEGIN CERTIFICATE-----", "k"} }, "spec.pki.etcd.certFile: is a file's content; write the file's path"},
		{"stacked with a member elsewhere", func(s *ClusterSpec) {
			s.Etcd.Topology = EtcdStacked
			s.Hosts[3].Roles = []Role{RoleWorker, RoleEtcd}
		}, "has the role etcd and is no control plane, but with spec.etcd.topology stacked the control planes are the members"},
		{"stacked with kubeadm's own settings", func(s *ClusterSpec) {
			s.Etcd.Topology = EtcdStacked
			s.Kubeadm.ClusterConfiguration = RawMap{"etcd": map[string]any{"local": map[string]any{}}}
		}, "spec.kubeadm.clusterConfiguration.etcd: is set by kubectl ha; use spec.etcd instead"},
		{"stacked with a patch that is none", func(s *ClusterSpec) {
			s.Etcd.Topology = EtcdStacked
			s.Kubeadm.Patches = map[string]string{"etcd0+strategic.yaml": "spec: {contaners: []}"}
		}, `unknown field "spec.contaners"`},
		{"topology", func(s *ClusterSpec) { s.Etcd.Topology = "extrenal" }, "did you mean external?"},
		{"etcd version", func(s *ClusterSpec) { s.Etcd.Version = "three" }, "spec.etcd.version"},
		{"etcd dir", func(s *ClusterSpec) { s.Etcd.DataDir = "etcd" }, "spec.etcd.dataDir"},
		{"etcd root", func(s *ClusterSpec) { s.Etcd.DataDir = "/" }, "spec.etcd.dataDir"},
		{"etcd dashes", func(s *ClusterSpec) { s.Etcd.ExtraArgs = map[string]string{"--a": "b"} }, "without the leading dashes"},
		{"etcd own", func(s *ClusterSpec) { s.Etcd.ExtraArgs = map[string]string{"name": "b"} }, "name is set by kubectl ha"},
		{"etcd guard", func(s *ClusterSpec) { s.Etcd.ExtraArgs = map[string]string{"strict-reconfig-check": "false"} }, "strict-reconfig-check is set by kubectl ha"},
		{"etcd that does not look at its list", func(s *ClusterSpec) {
			s.Etcd.Version = "v3.6.12"
			s.Etcd.ExtraArgs = map[string]string{"client-crl-file": "/x", "listen-client-http-urls": "https://127.0.0.1:2382"}
		}, "spec.etcd.extraArgs: client-crl-file is not looked at by etcd v3.6.12 when listen-client-http-urls is set; take v3.6.13 or later"},
		{"etcd misspelt", func(s *ClusterSpec) { s.Etcd.ExtraArgs = map[string]string{"client-crl-fil": "/x"} }, "spec.etcd.extraArgs: etcd has no flag client-crl-fil, did you mean client-crl-file?"},
		{"etcd nanoseconds", func(s *ClusterSpec) { s.Etcd.ExtraArgs = map[string]string{"grpc-keepalive-timeout": "20000000000"} }, "must be a duration with its unit"},
		{"etcd version's flag", func(s *ClusterSpec) {
			s.Etcd.Version, s.Etcd.ExtraArgs = "v3.7.3", map[string]string{"experimental-corrupt-check-time": "1h"}
		}, "etcd 3.7 has no flag experimental-corrupt-check-time any more, 3.6 was the last"},
		{"etcd older version", func(s *ClusterSpec) {
			s.Etcd.Version, s.Etcd.ExtraArgs = "v3.5.35", map[string]string{"corrupt-check-time": "1h"}
		}, "only 3.6 and later have it"},
		{"router id", func(s *ClusterSpec) { s.Keepalived.RouterID = 256 }, "spec.keepalived.routerID: 256 is no VRRP router id"},
		{"interval", func(s *ClusterSpec) { s.Keepalived.AdvertisementInterval = 15 }, "in steps of 10"},
		{"interface", func(s *ClusterSpec) { s.Keepalived.Interface = "eth0 {" }, "spec.keepalived.interface"},
		{"port", func(s *ClusterSpec) { s.APIServerPort = 70000 }, "spec.apiServerPort: 70000 is no port"},
		{"etcd's port", func(s *ClusterSpec) { s.APIServerPort = 2379 }, "2379 is the port of etcd"},
		{"one port twice", func(s *ClusterSpec) { s.LoadBalancer.Port = 6443 }, "spec.loadBalancer.port: 6443 is the apiservers' own port"},
		{"lb", func(s *ClusterSpec) { s.LoadBalancer.Type = "ngnix" }, "did you mean nginx?"},
		{"ssh port", func(s *ClusterSpec) { s.SSH.Port = -1 }, "spec.ssh.port: -1 is no port"},
		{"ssh user", func(s *ClusterSpec) { s.SSH.User = "-oProxyCommand=x" }, "spec.ssh.user"},
		{"shared ssh host", func(s *ClusterSpec) { s.SSH.Host = "a" }, "spec.ssh.host: can't be shared"},
		{"mirror", func(s *ClusterSpec) { s.Images.Mirror = "mirror.example.com" }, "spec.images.mirror"},
		{"trust in no mirror", func(s *ClusterSpec) { s.Images.TrustMirror = true }, "spec.images.trustMirror: is set, and there is no mirror"},
		{"mirror with a login", func(s *ClusterSpec) { s.Images.Mirror = "https://u:hush@mirror.example.com" }, "spec.images.mirror: has a login (USER:PASSWORD@)"},
		{"registry with a login", func(s *ClusterSpec) { s.Images.Registry = "u:hush@r.example.com:5000/k8s" }, "spec.images.registry: has a login (USER:PASSWORD@)"},
		{"mirrored with a login", func(s *ClusterSpec) {
			s.Images.Mirrors = map[string]string{"docker.io": "u@r.example.com"}
		}, "spec.images.mirrors[docker.io]: has a login (USER:PASSWORD@)"},
		{"login in a URL", func(s *ClusterSpec) { s.Images.Mirror = "ftp://u:hush@mirror.example.com" }, `"ftp://u:xxxxx@mirror.example.com" is no URL`},
		{"registry", func(s *ClusterSpec) { s.Images.Registry = "https://r.example.com" }, "write it without https://"},
		{"proxy", func(s *ClusterSpec) { s.Proxy.HTTPProxy = "proxy:3128" }, "spec.proxy.httpProxy"},
		{"no proxy", func(s *ClusterSpec) { s.Proxy.NoProxy = []string{"a,b"} }, "spec.proxy.noProxy[0]"},
		{"SAN", func(s *ClusterSpec) { s.ExtraSANs = []string{"https://x"} }, "spec.extraSANs[0]"},
		{"line break", func(s *ClusterSpec) { s.Proxy.NoProxy = []string{"a\nEVIL=1"} }, "spec.proxy.noProxy[0]: contains a line break"},
		{"patch name", func(s *ClusterSpec) { s.Kubeadm.Patches = map[string]string{"../x.yaml": ""} }, "is no kubeadm patch file"},
		{"ignored check", func(s *ClusterSpec) { s.Kubeadm.IgnorePreflightErrors = []string{"a,b"} }, "ignorePreflightErrors[0]"},
		{"raw endpoint", func(s *ClusterSpec) {
			s.Kubeadm.ClusterConfiguration = RawMap{"controlPlaneEndpoint": "x"}
		}, "spec.kubeadm.clusterConfiguration.controlPlaneEndpoint: is set by kubectl ha; use spec.virtualIP"},
		{"raw etcd", func(s *ClusterSpec) { s.Kubeadm.ClusterConfiguration = RawMap{"etcd": nil} }, "use spec.etcd instead"},
		{"raw version", func(s *ClusterSpec) {
			s.Kubeadm.ClusterConfiguration = RawMap{"kubernetesVersion": "v1.2.3"}
		}, "use spec.kubernetesVersion instead"},
		{"raw nested", func(s *ClusterSpec) {
			s.Kubeadm.ClusterConfiguration = RawMap{"networking": map[string]any{"podSubnet": "x"}}
		}, "clusterConfiguration.networking.podSubnet: is set by kubectl ha; use spec.network.podSubnet"},
		{"raw kind", func(s *ClusterSpec) { s.Kubeadm.KubeletConfiguration = RawMap{"kind": "x"} }, "kubeletConfiguration.kind: is set by kubectl ha"},
		{"old extraArgs", func(s *ClusterSpec) {
			s.Kubeadm.ClusterConfiguration = RawMap{"apiServer": map[string]any{"extraArgs": map[string]any{"v": "4"}}}
		}, "clusterConfiguration.apiServer.extraArgs: must be a list of name and value (kubeadm v1beta4)"},
		{"extraArgs number", func(s *ClusterSpec) {
			s.Kubeadm.ClusterConfiguration = RawMap{"scheduler": map[string]any{"extraArgs": []any{map[string]any{"name": "v", "value": int64(4)}}}}
		}, "scheduler.extraArgs[0]: must have name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := load(t)
			tc.change(&c.Spec)
			errs, _ := c.Validate()
			if !strings.Contains(errs.Error(), tc.want) {
				t.Errorf("got %q, want %q", errs.Error(), tc.want)
			}
		})
	}
}

func TestValidateAllAtOnce(t *testing.T) {
	c := load(t)
	c.Spec.VirtualIP, c.Spec.KubernetesVersion, c.Spec.Hosts[0].Name, c.Spec.LoadBalancer.Port = "x", "y", "Z", 0
	if errs, _ := c.Validate(); len(errs) != 4 {
		t.Errorf("%d errors, want 4:\n%v", len(errs), errs)
	}
}

func TestValidateWarnings(t *testing.T) {
	cp := func(n int, roles ...Role) (out []Host) {
		for i := range n {
			out = append(out, Host{Name: fmt.Sprintf("%s%d", roles[0], i), Address: fmt.Sprintf("10.1.%d.%d", len(roles[0]), i+1), Roles: roles})
		}
		return out
	}
	for _, tc := range []struct {
		name  string
		hosts []Host
		want  string
	}{
		{"three and a worker", append(cp(3, RoleControlPlane), cp(1, RoleWorker)...), ""},
		{"three that are workers", cp(3, RoleControlPlane, RoleWorker), ""},
		{"one", cp(1, RoleControlPlane, RoleWorker), "one control plane"},
		{"two", cp(2, RoleControlPlane, RoleWorker), "two control planes"},
		{"four etcd", cp(4, RoleControlPlane, RoleWorker), "4 etcd members, an even number, survive the loss of 1, as many as 3 would; use 3 or 5"},
		{"one etcd", append(cp(3, RoleControlPlane, RoleWorker), cp(1, RoleEtcd)...), "one etcd member"},
		{"no workers", cp(3, RoleControlPlane), "no host takes workloads"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := load(t)
			c.Spec.Hosts = tc.hosts
			c.SetDefaults()
			errs, warnings := c.Validate()
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			all := fmt.Sprint(warnings)
			if tc.want == "" && len(warnings) > 0 || !strings.Contains(all, tc.want) {
				t.Errorf("warnings %s, want %q", all, tc.want)
			}
		})
	}
}

func TestJumpHosts(t *testing.T) {
	for s, ok := range map[string]bool{
		"bastion": true, "me@bastion:2222": true, "me@10.0.0.1": true, "me@[2001:db8::1]:22": true, "[2001:db8::1]": true,
		"2001:db8::1": false, "me@": false, "@host": false, "host:0": false, "host:x": false, "a,b": false, "a b": false,
		"-oX": false, "me@-h": false, "[x": false, "a:b:c": false,
	} {
		if err := checkJumpHost(s); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", s, err, ok)
		}
	}
}

func TestDefaultsAreIdempotentAndDerived(t *testing.T) {
	a, b := load(t), load(t)
	b.SetDefaults()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("the second time changed something:\n%+v\n%+v", a, b)
	}
	s := a.Spec
	if s.APIServerPort != 6443 || s.Network.PodSubnet != "10.244.0.0/16" || s.Etcd.Topology != EtcdExternal ||
		a.Metadata.Name != "kubernetes" || s.Keepalived.RouterID < 1 || s.Keepalived.RouterID > 255 || s.LoadBalancer.Port != 8443 {
		t.Errorf("defaults %+v", s)
	}
	if got := s.Hosts[0].Roles; !reflect.DeepEqual(got, []Role{RoleControlPlane, RoleEtcd}) {
		t.Errorf("a control plane's roles %v", got)
	}
	if got := s.Hosts[3].Roles; !reflect.DeepEqual(got, []Role{RoleWorker}) {
		t.Errorf("a host's roles %v", got)
	}
	c := load(t)
	c.Spec.Keepalived.RouterID, c.Metadata.Name = 0, "another"
	c.SetDefaults()
	if c.Spec.Keepalived.RouterID == s.Keepalived.RouterID {
		t.Error("the router id does not depend on the name")
	}
}

func TestDefaultsNormalise(t *testing.T) {
	c := &Cluster{Spec: ClusterSpec{KubernetesVersion: "1.36.3", VirtualIP: "2001:DB8:0::1",
		Hosts: []Host{{Name: "a", Address: "2001:db8::0:2", Roles: []Role{RoleControlPlane, RoleWorker}}, {Name: "e", Address: "::ffff:10.0.0.1", Roles: []Role{RoleEtcd}}}}}
	c.SetDefaults()
	s := c.Spec
	if s.KubernetesVersion != "v1.36.3" || s.VirtualIP != "2001:db8::1" || s.Hosts[0].Address != "2001:db8::2" || s.Hosts[1].Address != "10.0.0.1" {
		t.Errorf("not normalised: %+v", s)
	}
	if c.Endpoint() != "[2001:db8::1]:6443" || s.Network.ServiceSubnet != DefaultServiceSubnetIPv6 {
		t.Errorf("endpoint %s, services %s", c.Endpoint(), s.Network.ServiceSubnet)
	}
	if got := c.EtcdEndpoints(); !reflect.DeepEqual(got, []string{"https://10.0.0.1:2379"}) {
		t.Errorf("etcd endpoints %v", got)
	}
	if nodes := c.Nodes(); len(nodes) != 1 || nodes[0].Name != "a" || len(c.Workers()) != 0 || c.First().Name != "a" {
		t.Errorf("nodes %v", nodes)
	}
}

func TestSSHFor(t *testing.T) {
	yes, no := true, false
	c := &Cluster{Spec: ClusterSpec{SSH: SSH{User: "u", Port: 22, Sudo: &yes, JumpHost: "j"}}}
	got := c.SSHFor(Host{SSH: &SSH{Host: "h", User: "v", Sudo: &no}})
	if want := (SSH{Host: "h", User: "v", Port: 22, Sudo: &no, JumpHost: "j"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestStackedMembers: kubeadm has a member on every control plane, whatever roles a document has that an
// earlier version has stored.
func TestStackedMembers(t *testing.T) {
	for name, roles := range map[string][]Role{"as written": {RoleControlPlane}, "as stored before": {RoleControlPlane, RoleEtcd}} {
		c := load(t)
		c.Spec.Etcd.Topology = EtcdStacked
		for i := range 3 {
			c.Spec.Hosts[i].Roles = roles
		}
		c.SetDefaults()
		if errs, warnings := c.Validate(); len(errs) > 0 || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", name, errs, warnings)
		}
		if got := c.EtcdMembers(); len(got) != 3 || !reflect.DeepEqual(got, c.ControlPlanes()) {
			t.Errorf("%s: the members are %v", name, got)
		}
		if got := c.Spec.Hosts[0].Roles; !reflect.DeepEqual(got, roles) {
			t.Errorf("%s: the roles became %v", name, got)
		}
	}
}
