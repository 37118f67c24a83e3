package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func TestRateFlag(t *testing.T) {
	for text, want := range map[string]int64{
		"50Mbit": 6250000, "50mbit/s": 6250000, "2.5Gbit": 312500000, "800 kbit": 100000, "64bit": 8,
		"50": 0, "50MB": 0, "Mbit": 0, "-5Mbit": 0, "0Mbit": 0, "1bit": 0, "NaNMbit": 0, "1e300Gbit": 0, "": 0, "bit": 0,
	} {
		var r rateFlag
		err := r.Set(text)
		if r.bytes != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %d, %v; want %d", text, r.bytes, err, want)
		}
	}
}

func TestPlanPushes(t *testing.T) {
	image := func(ref, arch string) bundle.Image {
		m := bundle.Blob{Digest: digest.FromString(ref + arch), Size: 10}
		return bundle.Image{Ref: ref, Arch: arch, Manifest: m, Blobs: []bundle.Blob{m, {Digest: digest.FromString("c" + ref + arch), Size: 20}}}
	}
	node := func(name, arch string) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.NodeInfo.Architecture = arch
		return n
	}
	mixed := bundle.Contents{Platforms: []string{"amd64", "arm64"}, Images: []bundle.Image{image("a:1", "amd64"), image("a:1", "arm64")}}
	got, err := planPushes(mixed, []corev1.Node{node("n1", "arm64"), node("n2", "amd64"), node("n3", "arm64")}, nil, false)
	if err != nil || len(got) != 2 || got[0].arch != "amd64" || strings.Join(got[0].targets, " ") != "n2" || strings.Join(got[1].targets, " ") != "n1 n3" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, c := range []bundle.Contents{{Arch: "amd64"}, {Arch: "amd64", Images: []bundle.Image{image("a:1", "")}}} {
		if _, err := planPushes(c, []corev1.Node{node("n1", "arm64")}, nil, false); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

// TestListBundleByArch: a node is compared with the images of its own
// architecture, and one that the bundle is not for is named.
func TestListBundleByArch(t *testing.T) {
	image := func(arch string) bundle.Image {
		m := bundle.Blob{Digest: digest.FromString(arch), Size: 10}
		return bundle.Image{Ref: "r/a:1", Arch: arch, Manifest: m, Blobs: []bundle.Blob{m}}
	}
	node := func(arch string) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-" + arch}}
		n.Status.NodeInfo.Architecture = arch
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"r/a:1", "r/a@" + digest.FromString(arch).String()}}}
		return n
	}
	var out, errOut strings.Builder
	o := &imagesListOptions{}
	o.ErrOut = &errOut
	mixed := bundle.Contents{Platforms: []string{"amd64", "arm64"}, Images: []bundle.Image{image("amd64"), image("arm64")}}
	m, err := o.compare(mixed, []corev1.Node{node("amd64"), node("arm64"), node("riscv64")})
	if err != nil {
		t.Fatal(err)
	}
	if err := printMatrix(&out, m); err != nil {
		t.Fatal(err)
	}
	want := "IMAGE           SIZE      n-amd64   n-arm64   n-riscv64\n" +
		"r/a:1 (amd64)   0.0 KiB   present   -         -\n" +
		"r/a:1 (arm64)   0.0 KiB   -         present   -\n"
	if out.String() != want || !strings.Contains(errOut.String(), "n-riscv64 is riscv64, and the bundle is for amd64 and arm64") {
		t.Errorf("got\n%s%s", out.String(), errOut.String())
	}
}

// TestPruneTellsWhatIsNotSeen: nodes that report too little are named.
func TestPruneTellsWhatIsNotSeen(t *testing.T) {
	var errOut strings.Builder
	o := &imagesPruneOptions{}
	o.ErrOut = &errOut
	if err := o.tellCut(nil); err != nil || errOut.Len() > 0 {
		t.Errorf("%v: %s", err, errOut.String())
	}
	if err := o.tellCut([]string{"n1", "n2"}); err != nil || !strings.Contains(errOut.String(), "the 50 largest images are seen on n1, n2") {
		t.Errorf("%v: %s", err, errOut.String())
	}
}

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
	p := newFeedProgress(sink, "op", func() time.Time { return now })
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
		"done send 100.0 MiB sent", "may be closed now", "kubectl ha operation watch op",
	} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, all)
		}
	}
}

func TestLooksLikeFile(t *testing.T) {
	for arg, want := range map[string]bool{
		"bundle.tar": true, "/tmp/x": true, "./x": true, "images_test.go": true, "nginx:1.29": false, "docker.io/library/nginx": false,
	} {
		if got := looksLikeFile(arg); got != want {
			t.Errorf("%s: %v", arg, got)
		}
	}
}
