package feed

import (
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func TestSamePush(t *testing.T) {
	spec := func(digest string, all bool, nodes ...string) v1alpha1.OperationSpec {
		return v1alpha1.OperationSpec{Images: &v1alpha1.ImagesSpec{Parcel: v1alpha1.Content{Digest: digest}, AllRoles: all, Nodes: nodes}}
	}
	want := spec("x", false, "a", "b")
	for name, c := range map[string]struct {
		have v1alpha1.OperationSpec
		same bool
	}{
		"the same": {spec("x", false, "b", "a"), true}, "more nodes": {spec("x", false, "a", "b", "c"), true}, "all roles": {spec("x", true, "a", "b"), true},
		"other content": {spec("y", false, "a", "b"), false}, "fewer nodes": {spec("x", false, "a"), false}, "another type": {v1alpha1.OperationSpec{}, false},
	} {
		if got := samePush(c.have, want); got != c.same {
			t.Errorf("%s: %v", name, got)
		}
	}
	if samePush(spec("x", false, "a"), spec("x", true, "a")) {
		t.Error("one by roles does what one for all nodes is to do")
	}
}

func TestFeedProgress(t *testing.T) {
	now := time.Unix(0, 0)
	var lines []string
	sink := report.SinkFunc(func(e report.Event) { lines = append(lines, string(e.Kind)+" "+e.Step+" "+e.Message) })
	p := newProgress(sink, "op", func() time.Time { return now })
	const mib = 1 << 20
	tell := func(seconds int, sent, in int64, complete int) {
		now = time.Unix(int64(seconds), 0)
		s := swarm.FeedStatus{Wanted: 100 * mib, InSwarm: in * mib, Peers: make([]swarm.PeerStatus, 2)}
		for i := range complete {
			s.Peers[i].Complete = true
		}
		p.tell(images.FeedProgress{Node: "cp1", Sent: sent * mib, Swarm: s})
	}
	tell(1, 0, 0, 0)
	tell(2, 10, 10, 0)
	tell(3, 20, 20, 1)
	tell(4, 100, 100, 1)
	tell(5, 100, 100, 2)
	p.end(nil)
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"started send through cp1", "20.0 MiB of 100.0 MiB in the cluster, 20.0 MiB sent, 10.0 MiB/s, 8s left, 1 of 2 nodes done",
		"done send 100.0 MiB sent", "you can disconnect now", "kubectl ha operation watch op",
	} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, all)
		}
	}
}
