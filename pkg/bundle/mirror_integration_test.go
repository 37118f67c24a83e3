package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestCreateFromMirror makes a whole bundle from the mirror that MIRROR names
// (a base URL), of the version KUBERNETES_VERSION (default v1.36.3), twice, with
// flannel. OUTPUT keeps the bundle under that name.
func TestCreateFromMirror(t *testing.T) {
	mirror := os.Getenv("MIRROR")
	if mirror == "" {
		t.Skip("MIRROR names no mirror to make a bundle from")
	}
	version := os.Getenv("KUBERNETES_VERSION")
	if version == "" {
		version = testVersion
	}
	dir := t.TempDir()
	outputs := []string{filepath.Join(dir, "one.tar"), filepath.Join(dir, "two.tar")}
	if keep := os.Getenv("OUTPUT"); keep != "" {
		outputs[0] = keep
	}
	var identities []string
	for _, output := range outputs {
		events := &recorder{}
		_, err := Create(t.Context(), CreateOptions{KubernetesVersion: version, Mirror: mirror, TrustMirror: true, Output: output,
			NetworkPlugin: v1alpha1.NetworkPluginFlannel, WorkDir: filepath.Join(dir, "work")}, events)
		must(t, err)
		for _, e := range events.events {
			t.Log(e.Kind, e.Step, e.Elapsed, e.Message)
		}
		b, err := Open(output)
		must(t, err)
		must(t, b.Verify(t.Context(), nil))
		must(t, b.Contents().Check(version, "amd64", v1alpha1.NetworkPluginFlannel))
		identities = append(identities, b.Digest().String())
		t.Log(b.Contents().Size(), len(b.Contents().Blobs()), b.Contents().PauseImage())
		for _, i := range b.Contents().Images {
			t.Log(i.Ref, i.Manifest.MediaType, len(i.Blobs), i.For)
		}
		must(t, b.Close())
	}
	if identities[0] != identities[1] {
		t.Errorf("two bundles of the same inputs: %v", identities)
	}
}

// TestKubeadmTable compares the built-in list with the kubeadm that KUBEADM
// names.
func TestKubeadmTable(t *testing.T) {
	kubeadm := os.Getenv("KUBEADM")
	if kubeadm == "" {
		t.Skip("KUBEADM names no kubeadm to compare with")
	}
	out, err := exec.CommandContext(t.Context(), kubeadm, "version", "-o", "short").Output()
	must(t, err)
	version := strings.TrimSpace(string(out))
	for _, registry := range []string{KubernetesRegistry, "mirror.example.com/k8s"} {
		want, err := kubeadmList(t.Context(), kubeadm, version, registry, etcdImage{wanted: true})
		must(t, err)
		got, err := kubeadmTable(version, registry, etcdImage{wanted: true})
		must(t, err)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s from %s: the table says %v, kubeadm %v", version, registry, got, want)
		}
	}
}
