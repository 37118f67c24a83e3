package certs

import (
	"fmt"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// TestLookManyWithoutAWay: hosts without a way are noted beside those that fail.
func TestLookManyWithoutAWay(t *testing.T) {
	c := newCluster()
	for i := range 200 {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: fmt.Sprintf("x%d", i)})
	}
	hs := &hosts{t: t, away: map[string]bool{}}
	n := 0
	_, unseen := look(t.Context(), c, c.Spec.Hosts, func(v1alpha1.Host) transport.Runner {
		if n++; n%2 == 0 {
			return nil
		}
		return hs
	}, report.SinkFunc(func(report.Event) {}))
	if len(unseen) != len(c.Spec.Hosts) {
		t.Errorf("%d of %d", len(unseen), len(c.Spec.Hosts))
	}
}
