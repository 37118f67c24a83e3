package images

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

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
	if err != nil || len(got) != 2 || got[0].Arch != "amd64" || strings.Join(got[0].Targets, " ") != "n2" || strings.Join(got[1].Targets, " ") != "n1 n3" {
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
	var warned []string
	sink := report.SinkFunc(func(e report.Event) { warned = append(warned, e.Message) })
	mixed := bundle.Contents{Platforms: []string{"amd64", "arm64"}, Images: []bundle.Image{image("amd64"), image("arm64")}}
	m := compare(mixed, []corev1.Node{node("amd64"), node("arm64"), node("riscv64")}, sink)
	var got []string
	for _, r := range m.Images {
		got = append(got, fmt.Sprint(r.Arch, r.States["n-amd64"], r.States["n-arm64"], r.States["n-riscv64"]))
	}
	want := []string{fmt.Sprint("amd64", images.Present, images.NotNeeded, images.NotNeeded), fmt.Sprint("arm64", images.NotNeeded, images.Present, images.NotNeeded)}
	if !slices.Equal(got, want) || len(warned) != 1 || !strings.Contains(warned[0], "n-riscv64 is riscv64, but the bundle is for amd64 and arm64") {
		t.Errorf("got %q, warned of %q", got, warned)
	}
}

// TestPruneTellsWhatIsNotSeen: nodes that report too little are named.
func TestPruneTellsWhatIsNotSeen(t *testing.T) {
	var warned []string
	sink := report.SinkFunc(func(e report.Event) { warned = append(warned, e.Message) })
	if tellCut(nil, sink); len(warned) > 0 {
		t.Errorf("warned of %q", warned)
	}
	if tellCut([]string{"n1", "n2"}, sink); len(warned) != 1 || !strings.Contains(warned[0], "the 50 largest images are known on n1, n2") {
		t.Errorf("warned of %q", warned)
	}
}

func TestLooksLikeFile(t *testing.T) {
	for arg, want := range map[string]bool{
		"bundle.tar": true, "/tmp/x": true, "./x": true, "plan_test.go": true, "nginx:1.29": false, "docker.io/library/nginx": false,
	} {
		if got := looksLikeFile(arg); got != want {
			t.Errorf("%s: %v", arg, got)
		}
	}
}

// TestLacking: what every node has, or needs not, is not sent.
func TestLacking(t *testing.T) {
	p := Push{Matrix: images.Matrix{Nodes: []string{"cp1", "w1"}}}
	for _, states := range [][2]images.State{{images.Present, images.Missing}, {images.Present, images.NotNeeded}, {images.OtherDigest, images.Present}, {images.Present, images.Present}, {images.Unknown, images.NotNeeded}} {
		ref := fmt.Sprintf("%s, %s", states[0], states[1])
		p.Images = append(p.Images, bundle.Image{Ref: ref})
		p.Matrix.Images = append(p.Matrix.Images, images.Row{Ref: ref, States: map[string]images.State{"cp1": states[0], "w1": states[1]}})
	}
	var got []string
	for _, i := range p.Lacking() {
		got = append(got, i.Ref)
	}
	if want := []string{"present, missing", "other digest, present", "unknown, not needed"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
