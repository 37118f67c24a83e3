package v1alpha1

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAddresses(t *testing.T) {
	for name, tc := range map[string]struct {
		spec                               ClusterSpec
		server, endpoint, balanced, worker string
		etcd                               []string
	}{
		"IPv4": {
			spec:   ClusterSpec{VirtualIP: "10.0.0.9", APIServerPort: 7443, Hosts: []Host{{Address: "10.0.0.1", Roles: []Role{RoleControlPlane}}}},
			server: "https://10.0.0.1:7443", endpoint: "https://10.0.0.9:7443", balanced: "https://10.0.0.9:8443", worker: "https://10.0.0.9:7443",
			etcd: []string{"https://10.0.0.1:2379"},
		},
		"IPv6 and the defaults": {
			spec:   ClusterSpec{VirtualIP: "fd00::9", Hosts: []Host{{Address: "fd00::1", Roles: []Role{RoleControlPlane}}, {Address: "fd00::2", Roles: []Role{RoleEtcd}}}},
			server: "https://[fd00::1]:6443", endpoint: "https://[fd00::9]:6443", balanced: "https://[fd00::9]:8443", worker: "https://[fd00::9]:6443",
			etcd: []string{"https://[fd00::2]:2379"},
		},
		"a load balancer": {
			spec: ClusterSpec{VirtualIP: "10.0.0.9", Hosts: []Host{{Address: "10.0.0.1", Roles: []Role{RoleControlPlane}}},
				LoadBalancer: LoadBalancer{Enabled: true, Port: 9443, UseFor: []LoadBalancerUse{UseForKubelets}}},
			server: "https://10.0.0.1:6443", endpoint: "https://10.0.0.9:6443", balanced: "https://10.0.0.9:9443", worker: "https://10.0.0.9:9443",
			etcd: []string{"https://10.0.0.1:2379"},
		},
	} {
		c := &Cluster{Spec: tc.spec}
		for what, pair := range map[string][2]string{
			"server": {c.APIServerURL(c.Spec.Hosts[0].Address), tc.server}, "endpoint": {c.EndpointURL(), tc.endpoint},
			"balanced": {c.BalancedURL(), tc.balanced}, "kubelets": {c.URLFor(UseForKubelets), tc.worker},
			"kube-proxy": {c.URLFor(UseForKubeProxy), tc.endpoint}, "address": {"https://" + c.APIServerAddress(c.Spec.Hosts[0].Address), tc.server},
			"without https": {"https://" + c.Endpoint(), tc.endpoint},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %s, want %s", name, what, pair[0], pair[1])
			}
		}
		if got := c.EtcdEndpoints(); !slices.Equal(got, tc.etcd) {
			t.Errorf("%s: etcd is at %v", name, got)
		}
	}
	for text, want := range map[string]netip.Addr{"10.0.0.1": netip.AddrFrom4([4]byte{10, 0, 0, 1}), "::ffff:10.0.0.1": netip.AddrFrom4([4]byte{10, 0, 0, 1}), "": {}, "cp1": {}, "10.0.0.0/8": {}} {
		if got := (Host{Address: text}).Addr(); got != want {
			t.Errorf("%q is %v", text, got)
		}
		if got := (&Cluster{Spec: ClusterSpec{VirtualIP: text}}).VIP(); got != want {
			t.Errorf("%q is %v", text, got)
		}
	}
}
