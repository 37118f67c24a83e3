package clusterfile

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/test/lab/host"
)

func TestMake(t *testing.T) {
	s := host.Status{
		Name: "lab", VirtualIP: "10.77.0.100", MirrorURL: "http://10.77.0.5", SSHKey: "/k", KnownHosts: "/kh",
		Hosts: []host.HostStatus{
			{Host: host.Host{Name: "cp1", Role: host.RoleControlPlane, Address: "10.77.0.11"}},
			{Host: host.Host{Name: "w1", Role: host.RoleWorker, Address: "10.77.0.21"}},
			{Host: host.Host{Name: "e1", Role: host.RoleEtcd, Address: "10.77.0.71"}},
		},
	}
	out, err := Make(s, Options{KubernetesVersion: "v1.36.3", User: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	var c v1alpha1.Cluster
	if err := yaml.UnmarshalStrict(out, &c); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	if c.APIVersion != "kubectl-ha.dev/v1alpha1" || c.Kind != "Cluster" || c.Metadata.Name != "lab" || c.Spec.KubernetesVersion != "v1.36.3" ||
		c.Spec.VirtualIP != "10.77.0.100" || c.Spec.Images.Mirror != "http://10.77.0.5" || c.Spec.SSH.KnownHostsFile != "/kh" {
		t.Errorf("got:\n%s", out)
	}
	if len(c.Spec.Hosts) != 3 || c.Spec.Hosts[2].Roles[0] != v1alpha1.RoleEtcd {
		t.Errorf("hosts:\n%s", out)
	}
	if c.Spec.Kubeadm.KubeletConfiguration["failSwapOn"] != false {
		t.Errorf("a false that means something is gone:\n%s", out)
	}
	for _, empty := range []string{"{}", "[]", `""`, "null", "loadBalancer", "proxy"} {
		if strings.Contains(string(out), empty) {
			t.Errorf("%s in:\n%s", empty, out)
		}
	}
	s.Hosts[0].Role = "king"
	if _, err := Make(s, Options{}); err == nil {
		t.Error("an unknown role was accepted")
	}
}
