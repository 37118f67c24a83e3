package incluster_test

import (
	"encoding/json"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	stored "github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
)

// TestManifestIsKeptInASecret: who may view ConfigMaps does not see what the manifest of a pod
// network has in it; one that an earlier version stored moves with the next write.
func TestManifestIsKeptInASecret(t *testing.T) {
	s, f := start(t)
	f.create()
	const secret = "c2VjcmV0LW9mLXRoZS1uZXR3b3Jr"
	f.c.Spec.Network.Plugin, f.c.Spec.Network.Manifest = v1alpha1.NetworkPluginManifest, "net.yaml"
	f.c.Spec.Network.ManifestContent = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: kube-system}\ndata: {key: " + secret + "}\n"
	hidden := func(when string) {
		t.Helper()
		all, err := f.kube.CoreV1().ConfigMaps("ha-system").List(t.Context(), metav1.ListOptions{})
		f.must(err)
		text, err := json.Marshal(all)
		f.must(err)
		if strings.Contains(string(text), secret) {
			t.Errorf("%s it is in a ConfigMap: %s", when, text)
		}
		kept, err := incluster.StoredCluster(t.Context(), f.kube)
		f.must(err)
		clients := asCoordinator(t, s.Config)
		if known, err := stored.WithManifest(t.Context(), clients.Kube, kept); err != nil || known.Spec.Network.ManifestContent != f.c.Spec.Network.ManifestContent {
			t.Errorf("%s the coordinator reads %+v, %v", when, known, err)
		}
	}
	_, err := incluster.Install(t.Context(), s.Config, f.c)
	f.must(err)
	hidden("installed")
	changed, err := incluster.Install(t.Context(), s.Config, f.c)
	if err != nil || len(changed) > 0 {
		t.Errorf("a second time %v changed, %v", changed, err)
	}
	kept, err := incluster.StoredCluster(t.Context(), f.kube)
	f.must(err)
	changed, err = incluster.Install(t.Context(), s.Config, kept)
	if err != nil || len(changed) > 0 {
		t.Errorf("of what is kept %v changed, %v", changed, err)
	}
	hidden("installed anew")
	// As earlier versions have left it.
	earlier := func() {
		t.Helper()
		text, err := v1alpha1.Marshal(f.c)
		f.must(err)
		m, err := f.kube.CoreV1().ConfigMaps("ha-system").Get(t.Context(), "cluster", metav1.GetOptions{})
		f.must(err)
		m.Data[v1alpha1.ClusterConfigMapKey] = string(text)
		_, err = f.kube.CoreV1().ConfigMaps("ha-system").Update(t.Context(), m, metav1.UpdateOptions{})
		f.must(err)
		err = f.kube.CoreV1().Secrets("ha-system").Delete(t.Context(), "cluster", metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	earlier()
	kept, err = incluster.StoredCluster(t.Context(), f.kube)
	if err != nil || kept.Spec.Network.ManifestContent != f.c.Spec.Network.ManifestContent {
		t.Errorf("an earlier version's is read as %+v, %v", kept, err)
	}
	_, err = incluster.Install(t.Context(), s.Config, kept)
	f.must(err)
	hidden("installed over an earlier version's")
	earlier()
	wrote, err := stored.Change(t.Context(), asCoordinator(t, s.Config).Kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		c.Spec.KubernetesVersion = "v1.36.4"
		return c
	})
	if err != nil || !wrote {
		t.Errorf("changed: %v, %v", wrote, err)
	}
	hidden("changed by the coordinator")
}
