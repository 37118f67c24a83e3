package ctrd

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/test/ctrdtest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// TestAgentImageByCRI: what a pod names by tag and digest the kubelet finds, and its garbage
// collection leaves, also when it was brought by an agent that pins the former name only; and
// who asks for a pull of that name, as a pod with imagePullPolicy Always does, asks nobody.
func TestAgentImageByCRI(t *testing.T) {
	certs := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(certs, bundle.AgentRegistry), 0o755))
	// As the task prepare writes it.
	hosts, err := os.ReadFile("../../node/tasks/prepare/files/agent-hosts.toml.tmpl")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(certs, bundle.AgentRegistry, "hosts.toml"),
		[]byte(strings.ReplaceAll(string(hosts), "{{toml .Server}}", `"https://`+bundle.AgentRegistry+`"`)), 0o644))
	socket := ctrdtest.WithCRI(t, certs)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { must(t, conn.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	images := cri.NewImageServiceClient(conn)

	binary := filepath.Join(t.TempDir(), "kubectl-ha")
	must(t, os.WriteFile(binary, []byte("the agent"), 0o755))
	const ref, former = bundle.AgentRepository + ":v1", bundle.FormerAgentRepository + ":v1"
	agent, source, err := bundle.AgentImage(ctx, ref, binary, runtime.GOARCH)
	must(t, err)
	both := []bundle.Image{agent, agent}
	both[1].Ref = former
	_, err = ImportImages(ctx, socket, both, source, ImportOptions{Pinned: []string{former}}, nil)
	must(t, err)

	status := func(ref string) *cri.Image {
		s, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
		if err != nil {
			t.Log(err) // CRI may not be there yet.
		}
		return s.GetImage()
	}
	named := ref + "@" + agent.Manifest.Digest.String()
	// CRI hears of new names by events.
	if !poll.Until(time.Minute, func() bool {
		i := status(named)
		return i != nil && slices.Contains(i.RepoDigests, byDigest(agent)) && slices.Contains(i.RepoTags, former)
	}) {
		t.Fatalf("%s is %+v", named, status(named))
	}
	if i := status(named); i.Id != agent.Blobs[1].Digest.String() || !i.Pinned {
		t.Errorf("it is %+v, want %s, pinned", i, agent.Blobs[1].Digest)
	}
	if i := status(ref + "@sha256:" + strings.Repeat("a", 64)); i != nil {
		t.Errorf("of another digest, it is %+v", i)
	}
	for _, ref := range []string{ref, bundle.AgentRepository + ":v2"} {
		_, err = images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}})
		if err == nil || !strings.Contains(err.Error(), "no resolve hosts") {
			t.Errorf("pull %s: %v", ref, err)
		}
	}
}
