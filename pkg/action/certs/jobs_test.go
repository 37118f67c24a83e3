package certs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
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

// refusing is a way on which each host fails with one error.
type refusing struct{ err error }

func (r refusing) Run(context.Context, string, node.Request, report.Sink) (node.Result, error) {
	return node.Result{}, r.err
}

// TestLookSaysWhatToDo: why a host can't be looked at, and what to do about it.
func TestLookSaysWhatToDo(t *testing.T) {
	c := newCluster()
	_, unseen := look(t.Context(), c, c.Spec.Hosts[:1], func(v1alpha1.Host) transport.Runner {
		return refusing{&ssh.Error{Host: "cp1", Message: "can't be reached", Hint: "is sshd running?"}}
	}, report.SinkFunc(func(report.Event) {}))
	if got := unseen["cp1"]; !strings.Contains(got, "can't be reached") || !strings.HasSuffix(got, "is sshd running?") {
		t.Error(got)
	}
}
