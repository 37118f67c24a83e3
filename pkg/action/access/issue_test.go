package access

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// TestCheckIssue: what contradicts itself is refused.
func TestCheckIssue(t *testing.T) {
	paths := &clientcmd.PathOptions{}
	for name, tc := range map[string]struct {
		o    IssueOptions
		want string
	}{
		"nothing":            {IssueOptions{}, ""},
		"two places":         {IssueOptions{VirtualIP: true, Node: "cp1"}, "mutually exclusive"},
		"two other places":   {IssueOptions{VirtualIP: true, LoadBalancer: true}, "mutually exclusive"},
		"two files":          {IssueOptions{Merge: paths, File: "x"}, "mutually exclusive"},
		"no file, and one":   {IssueOptions{Merge: paths, NoFile: true}, "mutually exclusive"},
		"too short":          {IssueOptions{Duration: time.Minute}, "--duration"},
		"too long":           {IssueOptions{Duration: 2 * kubeconfig.MaxDuration}, "--duration"},
		"a group of nobody":  {IssueOptions{Groups: []string{"dev"}}, "--group requires --user"},
		"a group of ours":    {IssueOptions{User: "alice", Groups: []string{"dev", "system:masters"}}, "system:"},
		"a user of ours":     {IssueOptions{User: "system:admin"}, "system:"},
		"user and account":   {IssueOptions{User: "alice", Account: true}, "mutually exclusive"},
		"somebody, complete": {IssueOptions{User: "alice", Groups: []string{"dev"}, Duration: 8 * time.Hour, LoadBalancer: true}, ""},
	} {
		err := CheckIssue(tc.o)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Invalid) {
			t.Errorf("%s: %v instead of %q", name, err, tc.want)
		}
		if tc.want == "" {
			continue
		}
		// It is refused before anybody is asked.
		if _, err := RunIssue(t.Context(), tc.o, report.Discard()); action.KindOf(err) != action.Invalid {
			t.Errorf("%s, run: %v", name, err)
		}
	}
}

// TestNoWayIn: without a kubeconfig the hosts have to be known.
func TestNoWayIn(t *testing.T) {
	if _, err := RunIssue(t.Context(), IssueOptions{}, report.Discard()); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "Cluster file") {
		t.Error(err)
	}
}

func TestTarget(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "192.0.2.9", Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "192.0.2.2", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}}}}
	c.Metadata.Name = "prod"
	c.SetDefaults()
	with := func(uses ...v1alpha1.LoadBalancerUse) *v1alpha1.Cluster {
		out := *c
		out.Spec.LoadBalancer = v1alpha1.LoadBalancer{Enabled: true, Port: 7443, UseFor: uses}
		return &out
	}
	for name, tc := range map[string]struct {
		c    *v1alpha1.Cluster
		o    IssueOptions
		want string // the name, and the server without https://
		says string
	}{
		"nothing":                     {c, IssueOptions{}, "prod 192.0.2.9:6443", ""},
		"the virtual IP":              {c, IssueOptions{VirtualIP: true}, "prod 192.0.2.9:6443", ""},
		"no load balancer":            {c, IssueOptions{LoadBalancer: true}, "", "loadbalancer install"},
		"the load balancer":           {with(), IssueOptions{LoadBalancer: true}, "prod 192.0.2.9:7443", ""},
		"one that is not for this":    {with(), IssueOptions{}, "prod 192.0.2.9:6443", ""},
		"one that is for kubeconfigs": {with(v1alpha1.UseForKubeconfig), IssueOptions{}, "prod 192.0.2.9:7443", ""},
		"the virtual IP all the same": {with(v1alpha1.UseForKubeconfig), IssueOptions{VirtualIP: true}, "prod 192.0.2.9:6443", ""},
		"one control plane":           {with(v1alpha1.UseForKubeconfig), IssueOptions{Node: "cp1"}, "prod-cp1 192.0.2.1:6443", ""},
		"a worker":                    {c, IssueOptions{Node: "w1"}, "", "not a control plane node"},
		"nobody":                      {c, IssueOptions{Node: "cp9"}, "", "not a control plane node"},
	} {
		got, err := tc.o.target(tc.c)
		if tc.says != "" {
			if action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if s := got.name + " " + strings.TrimPrefix(got.server, "https://"); err != nil || s != tc.want || got.cluster != tc.c {
			t.Errorf("%s: %s, want %s; %v", name, s, tc.want, err)
		}
	}
}

// TestDocumentOf: a file says who the hosts are, the cluster which load balancer there is.
// TestSame: credentials that are issued anew point at what they pointed at, although the document has
// the load balancer for kubeconfigs by now.
func TestSame(t *testing.T) {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "192.0.2.9", APIServerPort: 6443, Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: "192.0.2.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}, {Name: "w1", Address: "192.0.2.2", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}}}}}
	c.Spec.LoadBalancer = v1alpha1.LoadBalancer{Port: 8443, Enabled: true, UseFor: []v1alpha1.LoadBalancerUse{v1alpha1.UseForKubeconfig}}
	gone := *c
	gone.Spec.LoadBalancer.Enabled = false
	for name, tc := range map[string]struct {
		cluster      *v1alpha1.Cluster
		server, want string
	}{
		"the virtual IP":              {c, "https://192.0.2.9:6443", "https://192.0.2.9:6443"},
		"the load balancer":           {c, "https://192.0.2.9:8443", "https://192.0.2.9:8443"},
		"one that has been removed":   {&gone, "https://192.0.2.9:8443", "https://192.0.2.9:6443"},
		"a control plane":             {c, "https://192.0.2.1:6443", "https://192.0.2.1:6443"},
		"a worker, which has no API":  {c, "https://192.0.2.2:6443", "https://192.0.2.9:8443"},
		"what is not in the document": {c, "https://api.example.com", "https://192.0.2.9:8443"},
	} {
		got, err := IssueOptions{}.as(tc.cluster, tc.server).target(tc.cluster)
		if err != nil || got.server != tc.want {
			t.Errorf("%s: %s, %v", name, got.server, err)
		}
	}
}

func TestDocumentOf(t *testing.T) {
	given, stored := &v1alpha1.Cluster{}, &v1alpha1.Cluster{}
	given.Metadata.Name, stored.Metadata.Name = "given", "stored"
	given.Spec.LoadBalancer.Port, stored.Spec.LoadBalancer.Port = 1, 2
	if got := documentOf(nil, stored); got != stored {
		t.Errorf("got %+v", got)
	}
	if got := documentOf(given, stored); got.Metadata.Name != "given" || got.Spec.LoadBalancer.Port != 2 || given.Spec.LoadBalancer.Port != 1 {
		t.Errorf("got %+v of %+v", got, given)
	}
}

func TestIdentity(t *testing.T) {
	o := IssueOptions{User: "alice", Groups: []string{"dev"}, CertificateUser: "root"}
	if got := o.identity(target{name: "prod-cp1", server: "https://10.0.0.1:6443"}); got.Kind != kubeconfig.KindCertificate || got.User != "alice" || got.Context != "prod-cp1-alice" ||
		got.Cluster != "prod-cp1" || len(got.Groups) != 1 || got.Server != "https://10.0.0.1:6443" {
		t.Errorf("%+v", got)
	}
	o = IssueOptions{CertificateUser: "root", Account: true, Duration: time.Hour}
	if got := o.identity(target{name: "prod"}); got.Kind != kubeconfig.KindAccount || got.User != "root" || got.Context != "prod" || got.Duration != time.Hour {
		t.Errorf("%+v", got)
	}
	o = IssueOptions{CertificateUser: "root"}
	if got := o.identity(target{name: "prod"}); got.Kind != kubeconfig.KindAny || got.Groups != nil {
		t.Errorf("%+v", got)
	}
}

// TestFileName: a user's name leads out of no directory.
func TestFileName(t *testing.T) {
	for context, want := range map[string]string{"prod": "prod.kubeconfig", "prod-oidc:alice@example.com": "prod-oidc-alice@example.com.kubeconfig", "prod-../../x": "prod-..-..-x.kubeconfig"} {
		if got := fileName(context); got != want {
			t.Errorf("%s: %s", context, got)
		}
	}
}
