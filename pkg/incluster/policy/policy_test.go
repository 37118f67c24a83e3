package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
)

// TestRights: in all namespaces the coordinator has what has none, and what it must have in any;
// nothing lets it grant more than it has.
func TestRights(t *testing.T) {
	everywhere := map[string][]string{
		"pods": {"get", "list", "watch", "delete"}, "pods/eviction": {"create"}, "daemonsets": {"get"},
		"nodes": {"get", "list", "watch", "patch", "delete"}, "nodes/status": {"patch"},
		// Which of them may be created and deleted the policy says: TestRights of backups/schedule.
		"operations": {"get", "list", "watch", "update", "create", "delete"}, "operations/status": {"get", "update"}, "operationparts": {"get", "list", "create", "update"}, "clusterrolebindings": {"get"},
	}
	seen := 0
	for _, file := range []string{manifests.System, manifests.FlannelRights} {
		objects, err := apply.Load(manifests.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range objects {
			if u.GetKind() != "ClusterRole" && u.GetKind() != "Role" {
				continue
			}
			// A Role has the same rules.
			u.SetKind("ClusterRole")
			namespace := u.GetNamespace()
			u.SetNamespace("")
			role := &rbacv1.ClusterRole{}
			if err := apply.Typed(u, role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				seen++
				for _, v := range append(append(slices.Clone(rule.Verbs), rule.Resources...), rule.APIGroups...) {
					if slices.Contains([]string{"*", "bind", "escalate", "impersonate", "serviceaccounts/token", "pods/exec"}, v) {
						t.Errorf("%s %s/%s has %s", file, namespace, role.Name, v)
					}
				}
				if namespace != "" || len(rule.ResourceNames) > 0 {
					continue
				}
				for _, r := range rule.Resources {
					for _, v := range rule.Verbs {
						if !slices.Contains(everywhere[r], v) {
							t.Errorf("%s: %s of %s everywhere", file, v, r)
						}
					}
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("%d rules were looked at", seen)
	}
}

// TestVariables: the policy has what the manifests have, and the agent's name from where it is
// defined.
func TestVariables(t *testing.T) {
	p, b, err := typed()
	if err != nil {
		t.Fatal(err)
	}
	if b.Spec.PolicyName != p.Name || b.Spec.MatchResources != nil || b.Spec.ParamRef != nil {
		t.Errorf("it is bound as %+v", b.Spec)
	}
	at := map[string]string{}
	for _, v := range p.Spec.Variables {
		at[v.Name] = v.Expression
	}
	var containers map[string][][][]string
	if err := json.Unmarshal([]byte(at[varContainers]), &containers); err != nil {
		t.Fatal(err)
	}
	job := containers["ha-system jobs"]
	if len(containers) != 3 || len(job) != 1 || len(job[0]) != 6 {
		t.Fatalf("containers are %v", containers)
	}
	if job[0][0][0] != "agent" || !slices.Contains(job[0][1], bundle.AgentRepository+":") || !slices.Equal(job[0][2], []string{"/kubectl-ha"}) ||
		!slices.Equal(job[0][4], []string{"request:/run/request:ro"}) {
		t.Errorf("a node Job is %v", job)
	}
	// Without its end one name is the beginning of others.
	for _, from := range append(job[0][1], containers["kube-flannel daemonsets kube-flannel-ds"][0][1]...) {
		if !strings.HasSuffix(from, ":") && !strings.HasSuffix(from, "@") {
			t.Errorf("images may begin with %q", from)
		}
	}
	for name, want := range map[string]string{
		varVolumes:  `"ha-system jobs":["request:its secret"]`,
		varAccounts: `"ha-system jobs":""`,
		varRoles:    `"ha-loadbalancer":["nodes list"]`,
	} {
		if !strings.Contains(at[name], want) {
			t.Errorf("%s are %s", name, at[name])
		}
	}
	if strings.Contains(at[varContainers]+at[varVolumes], "null") {
		t.Error("null is no list")
	}
}
