package loadbalancer

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/loadbalancer"
)

// TestCheckInstall: what can't be is refused before the cluster is asked.
func TestCheckInstall(t *testing.T) {
	for name, tc := range map[string]struct {
		o    InstallOptions
		want string
	}{
		"another type":         {InstallOptions{Type: "envoy"}, "--type envoy"},
		"another use":          {InstallOptions{UseFor: []v1alpha1.LoadBalancerUse{"kubelet"}}, "unknown value --use-for kubelet; use any of kube-proxy,"},
		"a port of root":       {InstallOptions{Port: 443}, "--port 443"},
		"no port":              {InstallOptions{Port: 65536}, "--port 65536"},
		"less than a port":     {InstallOptions{Port: -1}, "--port -1"},
		"trust without bundle": {InstallOptions{Trust: bundles.Trust{KeyFile: "key"}}, "--bundle"},
		"all well":             {InstallOptions{Type: "nginx", Port: 9443, UseFor: []v1alpha1.LoadBalancerUse{"kube-proxy", "kubelets"}}, ""},
		"nothing":              {InstallOptions{}, ""},
	} {
		err := CheckInstall(tc.o)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid) {
			t.Errorf("%s: %v instead of %q", name, err, tc.want)
		}
	}
}

// TestWanted: what was not asked for is as the document says; who names no use at all takes all away.
func TestWanted(t *testing.T) {
	have := v1alpha1.LoadBalancer{Type: "haproxy", Port: 8443, Enabled: true, UseFor: []v1alpha1.LoadBalancerUse{v1alpha1.UseForKubeProxy}}
	haproxy, nginx := bundle.LoadBalancerImage("haproxy"), bundle.LoadBalancerImage("nginx")
	proxy, kubelets := v1alpha1.UseForKubeProxy, v1alpha1.UseForKubelets
	for name, tc := range map[string]struct {
		o    InstallOptions
		want v1alpha1.LoadBalancerSpec
	}{
		"as it is":      {InstallOptions{}, v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 8443, Image: haproxy, UseFor: []v1alpha1.LoadBalancerUse{proxy}}},
		"another type":  {InstallOptions{Type: "nginx"}, v1alpha1.LoadBalancerSpec{Type: "nginx", Port: 8443, Image: nginx, UseFor: []v1alpha1.LoadBalancerUse{proxy}}},
		"another image": {InstallOptions{Image: "mine:1"}, v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 8443, Image: "mine:1", UseFor: []v1alpha1.LoadBalancerUse{proxy}}},
		"another port":  {InstallOptions{Port: 9443}, v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 9443, Image: haproxy, UseFor: []v1alpha1.LoadBalancerUse{proxy}}},
		"for nobody":    {InstallOptions{UseFor: []v1alpha1.LoadBalancerUse{}}, v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 8443, Image: haproxy}},
		"named twice": {InstallOptions{UseFor: []v1alpha1.LoadBalancerUse{kubelets, proxy, kubelets}},
			v1alpha1.LoadBalancerSpec{Type: "haproxy", Port: 8443, Image: haproxy, UseFor: []v1alpha1.LoadBalancerUse{kubelets, proxy}}},
	} {
		if got := wanted(tc.o, have); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v instead of %+v", name, got, tc.want)
		}
	}
	if len(have.UseFor) != 1 {
		t.Errorf("the document was changed: %+v", have)
	}
}

func TestJudge(t *testing.T) {
	if err := judge(&loadbalancer.Status{}); err != nil {
		t.Errorf("all is well: %v", err)
	}
	err := judge(&loadbalancer.Status{Problems: []string{"cp1: no pod", "cp2: it is late"}})
	if action.KindOf(err) != action.Findings || !strings.HasSuffix(err.Error(), "\ncp1: no pod\ncp2: it is late") {
		t.Errorf("%v of kind %q", err, action.KindOf(err))
	}
}
