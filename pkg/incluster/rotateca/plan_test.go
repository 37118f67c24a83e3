package rotateca

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// document is a cluster of so many control planes and workers.
func document(planes, workers int) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{}
	for i := range planes {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "cp" + string(rune('1'+i)), Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}})
	}
	for i := range workers {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: "w" + string(rune('a'+i)), Roles: []v1alpha1.Role{v1alpha1.RoleWorker}})
	}
	return c
}

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		authority, phase string
		cluster          *v1alpha1.Cluster
		want             string
	}{
		"trust the cluster's CA": {"kubernetes", "trust", document(2, 2),
			"well rotate/cp1 gate/cp1 rotate/cp2 gate/cp2 trust/wa trust/wb"},
		"issue by it": {"kubernetes", "issue", document(2, 1),
			"well rotate/cp1 gate/cp1 rotate/cp2 gate/cp2 refresh/cp1 well/cp1 refresh/cp2 well/cp2 refresh/wa"},
		"finish it":   {"kubernetes", "finish", document(1, 1), "well trust/wa rotate/cp1 gate/cp1"},
		"front proxy": {"front-proxy", "issue", document(2, 5), "well rotate/cp1 gate/cp1 rotate/cp2 gate/cp2"},
		"service accounts": {"service-account", "issue", document(2, 1),
			"well vip-away/cp1 rotate/cp1 gate/cp1 vip-back/cp1 one-holder/cp1 vip-away/cp2 rotate/cp2 gate/cp2 vip-back/cp2 one-holder/cp2 refresh/cp1 well/cp1 refresh/cp2 well/cp2 refresh/wa vip-restore/cp1 vip-restore/cp2"},
		"one control plane": {"service-account", "trust", document(1, 0), "well rotate/cp1 gate/cp1"},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := Plan(&v1alpha1.RotateAuthoritySpec{Authority: c.authority, Phase: c.phase, From: "a", To: "b"}, c.cluster)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, s := range steps {
				for _, a := range s.After {
					if !slices.Contains(ids, a) {
						t.Errorf("%s comes after %s, which is not before it", s.ID, a)
					}
				}
				if slices.Contains(ids, s.ID) {
					t.Errorf("%s is there twice", s.ID)
				}
				ids = append(ids, s.ID)
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	for name, spec := range map[string]*v1alpha1.RotateAuthoritySpec{"none": nil, "no phase": {Authority: "kubernetes"}, "unknown": {Authority: "x", Phase: "trust"}} {
		if _, err := Plan(spec, document(1, 0)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestLanes: of many workers, only so many are out at the same time.
func TestLanes(t *testing.T) {
	steps, err := Plan(&v1alpha1.RotateAuthoritySpec{Authority: "kubernetes", Phase: "trust", From: "a", To: "b"}, document(1, 26))
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for _, s := range steps {
		if strings.HasPrefix(s.ID, stepTrust) && slices.Equal(s.After, []string{"gate/cp1"}) {
			first++
		}
	}
	if first != lanes {
		t.Errorf("%d workers begin at once instead of %d", first, lanes)
	}
}
