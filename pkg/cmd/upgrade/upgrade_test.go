package upgrade

import (
	"bytes"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	checks "github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/test/golden"
)

func TestShowUpgradePlan(t *testing.T) {
	p := &upgrade.Plan{
		Cluster: "demo", Runs: []string{"v1.35.4"}, Version: "v1.36.3", Available: []string{"v1.35.9", "v1.36.3"}, Ignored: []string{checks.CheckDeprecated},
		Nodes: []checks.NodePlan{
			{Node: "cp2", ControlPlane: true, From: "v1.35.4", To: "v1.36.3", Turn: 1, Static: true, Kubelet: true, First: true, Disruption: "its apiserver restarts while the virtual IP is elsewhere; its pods keep running"},
			{Node: "cp1", ControlPlane: true, From: "v1.35.4", To: "v1.36.3", Turn: 2, Static: true, Kubelet: true, Disruption: "its apiserver restarts while the virtual IP is elsewhere; its pods keep running"},
			{Node: "w1", From: "v1.36.3", To: "v1.36.3", Drained: true, Disruption: "none"},
			{Node: "w2", From: "v1.35.4", To: "v1.36.3", Turn: 3, Kubelet: true, Drained: true, Disruption: "its pods move to other nodes, as their budgets allow"},
		},
		Certificates: &certs.Plan{Nodes: []v1alpha1.NodeCertificates{{Name: "cp1", Signed: []string{"etcd-server"}, Local: []string{"apiserver"}}, {Name: "cp2", Signed: []string{"etcd-server"}}}},
		Findings: []checks.Finding{
			{Check: checks.CheckEvictions, Node: "w2", Blocks: true, Message: "pod default/web-1 can't be evicted: the disruption budget web needs 1 healthy pods and has 1 currently", Hint: "see to the pod or its budget, or use --force-drain"},
			{Check: checks.CheckDeprecated, Blocks: true, Message: "x.v1 is asked for"},
			{Check: checks.CheckImages, Node: "w2", Message: "it lacks 1 image(s) of v1.36.3: a:1", Hint: "they are brought to the nodes before anything else"},
		},
	}
	var out bytes.Buffer
	o := &options{IOStreams: genericiooptions.IOStreams{Out: &out}}
	zones := &upgrade.Plan{Cluster: "demo", Runs: []string{"v1.35.4"}, Version: "v1.36.3", OK: true, Nodes: []checks.NodePlan{
		{Node: "cp1", ControlPlane: true, From: "v1.36.3", To: "v1.36.3", Disruption: "none"},
		{Node: "w1", Group: "eu-a", From: "v1.35.4", To: "v1.36.3", Turn: 1, Kubelet: true, Drained: true, Disruption: "its pods move"},
		{Node: "w2", Group: checks.NoGroup, From: "v1.35.4", To: "v1.36.3", Turn: 2, Kubelet: true, Drained: true, Disruption: "its pods move"},
	}}
	for _, one := range []*upgrade.Plan{p, zones, {Cluster: "demo", Runs: []string{"v1.36.3"}, OK: true}, {Cluster: "demo", Runs: []string{"v1.36.3"}, Version: "v1.36.3", OK: true}} {
		if err := o.show(one); err != nil {
			t.Fatal(err)
		}
		out.WriteString("----\n")
	}
	golden.Compare(t, "upgrade_plan.txt", out.String())
}
