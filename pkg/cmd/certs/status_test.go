package certs

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	taskcerts "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// TestDue: what this program does not renew is not to be done by it, unless it has ended.
func TestDue(t *testing.T) {
	now := time.Now()
	entry := func(by taskcerts.Owner, left time.Duration) certs.Report {
		return certs.Report{Time: now, Certificates: []certs.Entry{{Certificate: taskcerts.Certificate{Due: true, NotAfter: now.Add(left), RenewedBy: by}}}}
	}
	for _, tc := range []struct {
		r    certs.Report
		want string
	}{
		{entry(taskcerts.OwnerKubelet, time.Hour), ""},
		{entry(taskcerts.OwnerNobody, time.Hour), ""},
		{entry(taskcerts.OwnerKubelet, -time.Hour), "1 certificate has expired"},
		{entry(taskcerts.OwnerWorkstation, time.Hour), "1 certificate is due"},
		{entry(taskcerts.OwnerHost, time.Hour), "1 certificate is due"},
		{entry("", time.Hour), "1 certificate is due"}, // At a port.
	} {
		err := due(tc.r)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Findings) {
			t.Errorf("%+v: %v", tc.r.Certificates[0], err)
		}
	}
}
