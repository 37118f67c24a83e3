package document

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const text = "apiVersion: " + v1alpha1.APIVersion + "\nkind: " + v1alpha1.ClusterKind + "\nmetadata:\n  name: demo\nspec:\n  kubernetesVersion: v1.35.4\n"

func stored(text string) *fake.Clientset {
	return fake.NewClientset(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.SystemNamespace, Name: v1alpha1.ClusterConfigMap},
		Data:       map[string]string{v1alpha1.ClusterConfigMapKey: text, "other": "kept"},
	})
}

func raw(t *testing.T, kube *fake.Clientset) map[string]string {
	t.Helper()
	m, err := get(t.Context(), kube)
	if err != nil {
		t.Fatal(err)
	}
	return m.Data
}

func TestRead(t *testing.T) {
	if _, err := Read(t.Context(), fake.NewClientset()); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "kubectl ha bootstrap") {
		t.Errorf("none: %v", err)
	}
	for name, tt := range map[string]struct{ text, err string }{
		"as it is":       {text, ""},
		"a newer one's":  {text + "  notYetKnown: true\n", ""},
		"something else": {"apiVersion: v1\nkind: Pod\n", "apiVersion"},
		"broken":         {"][", path},
	} {
		c, err := Read(t.Context(), stored(tt.text))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || c.Spec.KubernetesVersion != "v1.35.4" || c.Spec.APIServerPort != v1alpha1.DefaultAPIServerPort {
			t.Errorf("%s: %v %+v", name, err, c)
		}
	}
}

func TestChange(t *testing.T) {
	version := func(to string) func(*v1alpha1.Cluster) *v1alpha1.Cluster {
		return func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
			if c.Spec.KubernetesVersion == to {
				return nil
			}
			c.Spec.KubernetesVersion = to
			return c
		}
	}
	kube := stored(text)
	for _, want := range []bool{true, false} {
		if changed, err := Change(t.Context(), kube, version("v1.36.3")); err != nil || changed != want {
			t.Errorf("changed: %v, want %v; %v", changed, want, err)
		}
	}
	if data := raw(t, kube); !strings.Contains(data[v1alpha1.ClusterConfigMapKey], "kubernetesVersion: v1.36.3") || data["other"] != "kept" {
		t.Errorf("%v", data)
	}
	if _, err := Change(context.Background(), fake.NewClientset(), version("v1.36.3")); !apierrors.IsNotFound(err) {
		t.Errorf("none: %v", err)
	}
	// What is not known would be lost.
	newer := stored(text + "  notYetKnown: true\n")
	if changed, err := Change(t.Context(), newer, version("v1.36.3")); err == nil || changed {
		t.Errorf("with an unknown field: %v %v", changed, err)
	}
	if data := raw(t, newer); !strings.Contains(data[v1alpha1.ClusterConfigMapKey], "notYetKnown") {
		t.Errorf("%v", data)
	}
}

// TestManifest: the manifest of a pod network is in a Secret; what an earlier version has left in
// the document is moved there by the next change.
func TestManifest(t *testing.T) {
	const manifest = "kind: Secret\n"
	inline := stored(text + "  network:\n    plugin: manifest\n    manifestContent: |\n      kind: Secret\n")
	read := func(kube *fake.Clientset) *v1alpha1.Cluster {
		t.Helper()
		c, err := Read(t.Context(), kube)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c, err := WithManifest(t.Context(), inline, read(inline)); err != nil || c.Spec.Network.ManifestContent != manifest {
		t.Errorf("in the document: %+v, %v", c, err)
	}
	// With one that is there already, too.
	for _, version := range []string{"v1.36.3", "v1.36.4"} {
		if _, err := Change(t.Context(), inline, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
			c.Spec.KubernetesVersion, c.Spec.Network.ManifestContent = version, manifest
			return c
		}); err != nil {
			t.Fatal(err)
		}
	}
	if data := raw(t, inline)[v1alpha1.ClusterConfigMapKey]; strings.Contains(data, "manifestContent") || !strings.Contains(data, manifestPath) {
		t.Errorf("the document is %s", data)
	}
	c := read(inline)
	if c.Spec.Network.ManifestContent != "" {
		t.Errorf("whoever reads the document reads %q", c.Spec.Network.ManifestContent)
	}
	if c, err := WithManifest(t.Context(), inline, c); err != nil || c.Spec.Network.ManifestContent != manifest {
		t.Errorf("in the secret: %+v, %v", c, err)
	}
	none := stored(text + "  network: {plugin: manifest, manifest: net.yaml}\n")
	if _, err := WithManifest(t.Context(), none, read(none)); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "kubectl ha bootstrap") {
		t.Errorf("none: %v", err)
	}
	// Where there is none to be, nothing is read.
	flannel := stored(text)
	if c, err := WithManifest(t.Context(), flannel, read(flannel)); err != nil || c.Spec.Network.ManifestContent != "" {
		t.Errorf("flannel: %+v, %v", c, err)
	}
	before := v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Network: v1alpha1.Network{ManifestContent: manifest}}}
	if _, secret := Split(&before); secret == nil || before.Spec.Network.ManifestContent != manifest {
		t.Errorf("what was given is changed: %+v", before.Spec.Network)
	}
}
