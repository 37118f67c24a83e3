package etcdmember

import (
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// TestStackedMayEnter: kubeadm would start whatever is listed at the host's address.
func TestStackedMayEnter(t *testing.T) {
	cp1 := etcd.Member{ID: 1, Name: "cp1", PeerURLs: []string{"https://10.0.0.1:2380"}}
	own := func(name string, learner bool) etcd.Member {
		m := etcd.Member{ID: 2, Name: name, PeerURLs: []string{"https://10.0.0.2:2380"}, Learner: learner}
		if name != "" {
			m.ClientURLs = []string{"https://10.0.0.2:2379"} // It has started.
		}
		return m
	}
	other := func(name string, learner bool) etcd.Member {
		return etcd.Member{ID: 3, Name: name, PeerURLs: []string{"https://10.0.0.3:2380"}, Learner: learner}
	}
	for name, tc := range map[string]struct {
		list    []etcd.Member
		hasData bool
		want    string
	}{
		"new":                       {[]etcd.Member{cp1}, false, ""},
		"announced and not started": {[]etcd.Member{cp1, own("", true)}, false, ""},
		"announced and interrupted before it told":          {[]etcd.Member{cp1, own("", true)}, true, ""},
		"a learner with its data":                           {[]etcd.Member{cp1, own("cp2", true)}, true, ""},
		"it votes":                                          {[]etcd.Member{cp1, own("cp2", false)}, true, ""},
		"it voted, and its data is gone":                    {[]etcd.Member{cp1, own("cp2", false)}, false, "is a member of etcd already, but its data in /d is gone"},
		"taken out, and the data is there":                  {[]etcd.Member{cp1}, true, "it was taken out of the cluster"},
		"another host's learner":                            {[]etcd.Member{cp1, other("", true)}, false, "etcd takes no new member: it has https://10.0.0.3:2380, which has no vote yet"},
		"another host's learner, while this one's is there": {[]etcd.Member{cp1, own("", true), other("", true)}, false, ""},
		"another member of its name":                        {[]etcd.Member{cp1, other("cp2", false)}, false, "etcd has another member called cp2"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Stacked{Name: "cp2", Address: "10.0.0.2", DataDir: "/d"}.mayEnter(tc.list, tc.hasData)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || host.Hint(err) == "" {
				t.Errorf("got %v, want %q and a hint", err, tc.want)
			}
		})
	}
}
