package certs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

// TestDue: what this program does not renew is not to be done by it, unless it has ended.
func TestDue(t *testing.T) {
	now := time.Now()
	entry := func(by certs.Owner, left time.Duration) Report {
		return Report{Time: now, Certificates: []Entry{{Certificate: certs.Certificate{Due: true, NotAfter: now.Add(left), RenewedBy: by}}}}
	}
	for _, tc := range []struct {
		r    Report
		want string
	}{
		{entry(certs.OwnerKubelet, time.Hour), ""},
		{entry(certs.OwnerNobody, time.Hour), ""},
		{entry(certs.OwnerKubelet, -time.Hour), "1 certificate has expired"},
		{entry(certs.OwnerWorkstation, time.Hour), "1 certificate is due"},
		{entry(certs.OwnerHost, time.Hour), "1 certificate is due"},
		{entry("", time.Hour), "1 certificate is due"}, // At a port.
	} {
		err := tc.r.Err()
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || action.KindOf(err) != action.Findings) {
			t.Errorf("%+v: %v", tc.r.Certificates[0], err)
		}
	}
}

// TestAbout: the Cluster file's document is the cluster's, unless it is of another one.
func TestAbout(t *testing.T) {
	stored, given, other := newCluster(), newCluster(), newCluster()
	other.Spec.VirtualIP = "10.9.9.9"
	dir := func(c *v1alpha1.Cluster) (string, error) { return "/state/" + c.Metadata.Name, nil }
	nowhere := func(*v1alpha1.Cluster) (string, error) { return "", errors.New("no home") }
	for name, tc := range map[string]struct {
		given    *v1alpha1.Cluster
		stateDir func(*v1alpha1.Cluster) (string, error)
		want     *v1alpha1.Cluster
		says     string
	}{
		"no file":            {nil, dir, stored, ""},
		"its file":           {given, dir, given, ""},
		"another one's file": {other, dir, nil, "specify the right one"},
		"no state directory": {nil, nowhere, nil, "no home"},
	} {
		var o Options
		err := o.About(stored, tc.given, tc.stateDir)
		if tc.says != "" {
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || o.Cluster != tc.want || o.StateDir != "/state/lab" {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// TestLoginsOfRotation: the etcd CA is rotated over SSH on all hosts that go by it.
func TestLoginsOfRotation(t *testing.T) {
	for authority, want := range map[certs.Authority]string{certs.AuthorityEtcd: "cp1 e1 e2 e3", certs.AuthorityKubernetes: "e1 e2 e3", certs.AuthorityServiceAccount: "e1 e2 e3"} {
		var got []string
		for _, h := range (RotateOptions{Options: Options{Cluster: newCluster()}, Authority: authority}).Logins() {
			got = append(got, h.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", authority, got)
		}
	}
}
