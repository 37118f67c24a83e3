package kubetest

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// TestAnonymousOnly asks a real apiserver without a login. With anonymous-auth=false it
// refuses the kubelet's probes; with what the error proposes instead it answers them,
// and nothing else.
func TestAnonymousOnly(t *testing.T) {
	config := filepath.Join(t.TempDir(), "authentication.yaml")
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n" + v1alpha1.AnonymousOnly + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const clusterInfo = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
	for flag, want := range map[string]map[string]int{
		// A bare apiserver has no role for cluster-info: forbidden is admitted.
		"--authentication-config=" + config: {"/livez": http.StatusOK, "/readyz": http.StatusOK, "/healthz": http.StatusOK, clusterInfo: http.StatusForbidden,
			"/version": http.StatusUnauthorized, "/api/v1/nodes": http.StatusUnauthorized},
		"--anonymous-auth=false": {"/livez": http.StatusUnauthorized, "/readyz": http.StatusUnauthorized, clusterInfo: http.StatusUnauthorized},
	} {
		s := Start(t, flag)
		stranger := kubernetes.NewForConfigOrDie(rest.AnonymousClientConfig(s.Config))
		for path, status := range want {
			got := 0
			stranger.Discovery().RESTClient().Get().AbsPath(path).Do(t.Context()).StatusCode(&got)
			if got != status {
				t.Errorf("%s: %s answers a stranger %d, want %d", flag, path, got, status)
			}
		}
	}
}
