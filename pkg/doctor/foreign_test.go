package doctor

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// TestForeignEndpoint: what others keep is judged, and never offered to be changed.
func TestForeignEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		id    string
		state State
		found string
		spoil func(*Input)
	}{
		"all is theirs":         {id: "stable-endpoint", state: OK, spoil: func(*Input) {}},
		"kube-proxy at a proxy": {id: "kube-proxy-endpoint", state: OK, spoil: func(in *Input) { in.Objects.KubeProxy = "https://127.0.0.1:6443" }},
		"kube-proxy pinned":     {id: "kube-proxy-endpoint", state: Problem, found: "192.0.2.1:6443", spoil: func(in *Input) { in.Objects.KubeProxy = "https://192.0.2.1:6443" }},
		"cluster-info pinned":   {id: "join-endpoint", state: Problem, found: "192.0.2.1:6443", spoil: func(in *Input) { in.Objects.ClusterInfo = "https://192.0.2.1:6443" }},
		"a stale document":      {id: "stable-endpoint", state: Problem, found: "is stale", spoil: func(in *Input) { in.Objects.Endpoint = "192.0.2.200:6443" }},
		"one DNS pod":           {id: "dns-spread", state: Problem, found: "one pod", spoil: func(in *Input) { in.Report.DNS = &status.DNS{Wanted: 1, Ready: 1, Nodes: map[string]int{"cp1": 1}} }},
		"DNS on one node":       {id: "dns-spread", state: Problem, found: "on one node", spoil: func(in *Input) { in.Report.DNS = &status.DNS{Wanted: 3, Ready: 3, Nodes: map[string]int{"cp1": 3}} }},
	} {
		t.Run(name, func(t *testing.T) {
			in := well()
			in.Cluster.Spec.Endpoint.ManagedBy, in.Cluster.Spec.Keepalived = v1alpha1.EndpointOthers, v1alpha1.Keepalived{}
			tt.spoil(&in)
			results := Examine(in)
			if fixes := Fixes(results); len(fixes) > 0 {
				t.Errorf("it would change %v", fixes)
			}
			for _, r := range results {
				if r.ID != tt.id {
					continue
				}
				if r.State != tt.state || tt.found != "" && (len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Message, tt.found) || strings.Contains(r.Findings[0].Hint, "--fix")) {
					t.Errorf("%s, %+v", r.State, r.Findings)
				}
			}
		})
	}
}
