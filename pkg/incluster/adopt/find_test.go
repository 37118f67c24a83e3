package adopt

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
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

func TestStacked(t *testing.T) {
	c, err := Cluster(observation(t, stacked), "")
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
	c, err := Cluster(observation(t, config), "192.0.2.101")
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
		config, want string
		edit         func(*Observation)
	}{
		"no endpoint":     {config: "clusterName: x", want: "no stable endpoint"},
		"a name":          {config: "controlPlaneEndpoint: api.example:6443", want: "0 addresses"},
		"bad port":        {config: "controlPlaneEndpoint: 'api.example:x'", want: "has no port"},
		"bad etcd":        {config: "controlPlaneEndpoint: 192.0.2.1\netcd: {external: {endpoints: ['%']}}", want: "is no URL"},
		"no controlplane": {config: "controlPlaneEndpoint: 192.0.2.1", want: "no node has", edit: func(o *Observation) { o.Nodes = o.Nodes[:1] }},
	} {
		t.Run(name, func(t *testing.T) {
			o := observation(t, c.config)
			if c.edit != nil {
				c.edit(&o)
			}
			if _, err := Cluster(o, ""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	o := observation(t, "controlPlaneEndpoint: api.example:6443")
	o.Addresses = []string{"192.0.2.77"}
	if c, err := Cluster(o, ""); err != nil || c.Spec.VirtualIP != "192.0.2.77" {
		t.Errorf("%v, %v", c, err)
	}
}
