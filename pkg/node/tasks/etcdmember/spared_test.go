package etcdmember

import (
	"errors"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
)

// TestMayStop: a member that runs and answers late is not taken for one that is down.
func TestMayStop(t *testing.T) {
	view := func(away ...int) etcd.View {
		var v etcd.View
		for i, name := range []string{"a", "b", "c"} {
			id := uint64(i + 1)
			v.Members = append(v.Members, etcd.Member{ID: id, Name: name})
			v.Status = append(v.Status, etcd.MemberStatus{Endpoint: name, ID: id, Leader: 2, ClusterID: 9})
		}
		for _, i := range away {
			v.Status[i] = etcd.MemberStatus{Endpoint: v.Status[i].Endpoint, Err: errors.New("no answer within 3s")}
		}
		return v
	}
	for name, tc := range map[string]struct {
		v    etcd.View
		runs bool
		may  bool
	}{
		"all are there":                     {view(), true, true},
		"another is away":                   {view(2), true, false},
		"it is down":                        {view(0), false, true},
		"it is down, and another is away":   {view(0, 2), false, true},
		"it answers late":                   {view(0), true, true},
		"it answers late, and one is away":  {view(0, 2), true, false},
		"it answers late, and nobody leads": {func() etcd.View { v := view(0); v.MembersErr = errors.New("no leader"); return v }(), true, false},
	} {
		if err := mayStop(tc.v, "a", tc.runs); (err == nil) != tc.may {
			t.Errorf("%s: %v", name, err)
		}
	}
}
