package convert

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
)

const address = "192.0.2.100"

// cluster has n control planes and a worker; its endpoint is others'.
func cluster(n int, virtualIP, endpoint string) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "theirs"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: virtualIP,
		Endpoint: v1alpha1.Endpoint{ManagedBy: v1alpha1.EndpointOthers, Address: endpoint}, Etcd: v1alpha1.Etcd{Topology: v1alpha1.EtcdStacked},
		Network: v1alpha1.Network{Plugin: v1alpha1.NetworkPluginNone}}}
	for i, name := range []string{"cp1", "cp2", "cp3"}[:n] {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: name, Address: "192.0.2." + string(rune('1'+i)), Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "w1", Address: "192.0.2.21", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	c.SetDefaults()
	return c
}

func text(t *testing.T, c *v1alpha1.Cluster) string {
	t.Helper()
	out, err := v1alpha1.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestThereAndBack: the way back ends at the very document that was there before, whatever kind of
// endpoint that had; what is on the way passes its own check.
func TestThereAndBack(t *testing.T) {
	for name, tt := range map[string]struct {
		c     *v1alpha1.Cluster
		from  string
		names []string
	}{
		"one control plane's address": {cluster(1, "", "192.0.2.1:6443"), "https://192.0.2.1:6443", nil},
		"a name":                      {cluster(3, "", "api.example.com:443"), "https://api.example.com:443", []string{"api.example.com"}},
		"localhost":                   {cluster(1, "", "localhost:6443"), "https://localhost:6443", nil},
		"keepalived by hand":          {cluster(3, "192.0.2.77", ""), "https://192.0.2.77:6443", []string{"192.0.2.77"}},
		"keepalived and nginx":        {cluster(3, "192.0.2.77", "192.0.2.77:8443"), "https://192.0.2.77:8443", []string{"192.0.2.77"}},
	} {
		t.Run(name, func(t *testing.T) {
			was := text(t, tt.c)
			there := &v1alpha1.ConvertSpec{VirtualIP: address}
			got := Wanted(tt.c, there)
			if errs, _ := got.Validate(); len(errs) > 0 || !got.KeepsVirtualIP() || !got.Adopted() || got.Endpoint() != address+":6443" || !slices.Equal(got.Spec.ExtraSANs, tt.names) || got.Spec.Keepalived.RouterID == 0 {
				t.Errorf("%v\n%s", errs, text(t, got))
			}
			if again := Wanted(got, there); text(t, again) != text(t, got) {
				t.Errorf("a second time it is\n%s", text(t, again))
			}
			// What a coordinator reads that takes over after the document was written must be the same.
			for _, c := range []*v1alpha1.Cluster{tt.c, got} {
				if to, from := urls(c, there); to != "https://"+address+":6443" || !slices.Equal(from, []string{tt.from}) {
					t.Errorf("to %s, from %v", to, from)
				}
				if to, _ := kubeletURLs(c, there, "cp1"); to != "https://192.0.2.1:6443" {
					t.Errorf("the control plane's kubelet goes to %s", to)
				}
			}
			undo := &v1alpha1.ConvertSpec{VirtualIP: address, Back: true}
			back := Wanted(got, undo)
			back.Spec.ExtraSANs = nil // The certificates have them.
			if text(t, back) != was || text(t, tt.c) != was {
				t.Errorf("back it is\n%s\nand was\n%s", text(t, back), was)
			}
			for _, c := range []*v1alpha1.Cluster{got, back} {
				if to, from := urls(c, undo); to != tt.from || !slices.Equal(from, []string{"https://" + address + ":6443"}) {
					t.Errorf("back to %s, from %v", to, from)
				}
			}
		})
	}
}

// TestFormerOnes: who converts a second time keeps what was there before the first.
func TestFormerOnes(t *testing.T) {
	c := cluster(3, "", "api.example.com:6443")
	c.Spec.Endpoint.Former = []v1alpha1.FormerEndpoint{{Address: "192.0.2.1:6443"}, {Address: "api.example.com:6443"}}
	got := Wanted(c, &v1alpha1.ConvertSpec{VirtualIP: address}).Spec.Endpoint.Former
	if want := []v1alpha1.FormerEndpoint{{Address: "api.example.com:6443"}, {Address: "192.0.2.1:6443"}}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestCheck: what can't be is refused with the way out, before anything is looked at.
func TestCheck(t *testing.T) {
	ours := Wanted(cluster(1, "", "192.0.2.1:6443"), &v1alpha1.ConvertSpec{VirtualIP: address})
	born := cluster(1, "192.0.2.50", "")
	born.Spec.Endpoint = v1alpha1.Endpoint{}
	balanced := cluster(3, "192.0.2.77", "")
	balanced.Spec.LoadBalancer = v1alpha1.LoadBalancer{Type: "haproxy", Port: 8443, Enabled: true}
	for name, tt := range map[string]struct {
		c    *v1alpha1.Cluster
		spec v1alpha1.ConvertSpec
		want string
	}{
		"well":                     {cluster(1, "", "192.0.2.1:6443"), v1alpha1.ConvertSpec{VirtualIP: address}, ""},
		"again":                    {ours, v1alpha1.ConvertSpec{VirtualIP: address}, ""},
		"another one":              {ours, v1alpha1.ConvertSpec{VirtualIP: "192.0.2.101"}, "--undo"},
		"bootstrap's":              {born, v1alpha1.ConvertSpec{VirtualIP: address}, "node add"},
		"the present endpoint":     {cluster(3, "192.0.2.77", ""), v1alpha1.ConvertSpec{VirtualIP: "192.0.2.77"}, "that nobody has"},
		"a node's address":         {cluster(1, "", "api.example.com:6443"), v1alpha1.ConvertSpec{VirtualIP: "192.0.2.21"}, "is the address of host w1"},
		"no address":               {cluster(1, "", "api.example.com:6443"), v1alpha1.ConvertSpec{VirtualIP: "vip"}, "spec.virtualIP"},
		"another family":           {cluster(1, "", "api.example.com:6443"), v1alpha1.ConvertSpec{VirtualIP: "2001:db8::1"}, "families"},
		"a load balancer":          {balanced, v1alpha1.ConvertSpec{VirtualIP: address}, "loadbalancer remove"},
		"back":                     {ours, v1alpha1.ConvertSpec{VirtualIP: address, Back: true}, ""},
		"back, of an abortion":     {cluster(1, "", "192.0.2.1:6443"), v1alpha1.ConvertSpec{VirtualIP: address, Back: true}, ""},
		"back of bootstrap's":      {born, v1alpha1.ConvertSpec{VirtualIP: "192.0.2.50", Back: true}, ErrNothing.Error()},
		"back from somewhere else": {ours, v1alpha1.ConvertSpec{VirtualIP: "192.0.2.101", Back: true}, "was converted to"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Plan(&tt.spec, tt.c)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Plan(nil, ours); err == nil {
		t.Error("without a spec there is a plan")
	}
	if !errors.Is(Check(born, &v1alpha1.ConvertSpec{VirtualIP: "192.0.2.50", Back: true}), ErrNothing) {
		t.Error("it can't be told")
	}
}

// TestPlan: nothing uses the new endpoint before it answers, and the document comes after all that
// use it; on the way back the address goes last.
func TestPlan(t *testing.T) {
	for name, tt := range map[string]struct {
		c    *v1alpha1.Cluster
		back bool
		want string
	}{
		"one":   {cluster(1, "", "192.0.2.1:6443"), false, "well agent/cp1 free/cp1 names/cp1 vip/cp1 answers cluster-info kube-proxy kubelet/cp1 kubelet/w1 kubelets-heard admin/cp1 record"},
		"three": {cluster(3, "", "api.example.com:6443"), false, "well agent/cp1 agent/cp2 agent/cp3 free/cp1 free/cp2 free/cp3 names/cp1 names/cp2 names/cp3 vip/cp1 vip/cp2 vip/cp3 answers cluster-info kube-proxy kubelet/cp1 kubelet/cp2 kubelet/cp3 kubelet/w1 kubelets-heard admin/cp1 admin/cp2 admin/cp3 record coredns coredns-ready"},
		"back":  {Wanted(cluster(1, "", "192.0.2.1:6443"), &v1alpha1.ConvertSpec{VirtualIP: address}), true, "well answers cluster-info kube-proxy kubelet/w1 kubelets-heard admin/cp1 record remove-vip/cp1"},
		"back to localhost": {Wanted(cluster(1, "", "localhost:6443"), &v1alpha1.ConvertSpec{VirtualIP: address}), true,
			"well cluster-info kube-proxy kubelet/w1 kubelets-heard admin/cp1 record remove-vip/cp1"},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := Plan(&v1alpha1.ConvertSpec{VirtualIP: address, Back: tt.back}, tt.c)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			known := Definition().Steps
			for i, s := range steps {
				ids = append(ids, s.ID)
				kind, _, _ := strings.Cut(s.ID, "/")
				if known[kind] == nil {
					t.Errorf("nobody carries %s out", s.ID)
				}
				if i > 0 && len(s.After) == 0 {
					t.Errorf("%s waits for nothing", s.ID)
				}
			}
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestUnfit: a host that can't have the address is named before anything is changed.
func TestUnfit(t *testing.T) {
	c := Wanted(cluster(1, "", "192.0.2.1:6443"), &v1alpha1.ConvertSpec{VirtualIP: address, RouterID: 51})
	well := observe.Facts{Interface: "eth0", PrefixLength: 24}
	with := func(change func(*observe.Facts)) observe.Facts {
		f := well
		change(&f)
		return f
	}
	for name, tt := range map[string]struct {
		facts observe.Facts
		taken bool
		want  string
	}{
		"well":                   {well, false, ""},
		"others' keepalived":     {with(func(f *observe.Facts) { f.ForeignKeepalived = true }), false, "does not overwrite"},
		"no interface":           {with(func(f *observe.Facts) { f.Interface = "" }), false, "no interface"},
		"it has it":              {with(func(f *observe.Facts) { f.VirtualIPHere = true }), false, "itself"},
		"an earlier attempt":     {with(func(f *observe.Facts) { f.VirtualIPHere = true; f.Ours = &observe.Ours{Done: []string{tasks.VIP}} }), false, ""},
		"somebody answers":       {with(func(f *observe.Facts) { f.VirtualIPAnswers = "00:00:5e:00:53:01" }), true, "00:00:5e:00:53:01"},
		"the cluster answers":    {with(func(f *observe.Facts) { f.VirtualIPAnswers = "00:00:5e:00:53:01" }), false, ""},
		"the router id is taken": {with(func(f *observe.Facts) { f.VRRPRouters = []int{51} }), false, "--router-id"},
		"another router":         {with(func(f *observe.Facts) { f.VRRPRouters = []int{52} }), false, ""},
		"another subnet":         {with(func(f *observe.Facts) { f.PrefixLength = 26 }), false, "outside of 192.0.2.0/26"},
	} {
		err := unfit(c, "cp1", tt.facts, tt.taken)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "next:")) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
