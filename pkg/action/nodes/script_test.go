package nodes

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// runScript has a shell read a script, with a program in the place of ours that prints what it was
// given on standard input.
func runScript(t *testing.T, text []byte) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell to read it")
	}
	const line = `exec "$program" agent join --bundle "$bundle"`
	before, after, found := strings.Cut(string(text), line)
	if !found {
		t.Fatalf("the script does not begin the program: %s", text)
	}
	_, after, _ = strings.Cut(after, "<<")
	run := exec.Command(sh, "-s", "cat", "bundle.tar")
	run.Stdin = strings.NewReader(before + `exec "$program" <<` + after)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// The script is one that a shell can read, and hands the request over on standard input. No secret
// is elsewhere in it.
func TestJoinNodeScript(t *testing.T) {
	text, err := render(JoinRequest{Host: "w3", Token: "SECRET $HOME"}, scriptNotes{Cluster: "test", File: "cluster.yaml", Digest: "sha256:abc", Until: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, "SECRET") && !strings.HasPrefix(line, "{") {
			t.Errorf("a secret outside of the request: %s", line)
		}
	}
	for _, want := range []string{"1970-01-01T00:00:00Z", "node add w3 -f cluster.yaml --joined", "--bundle-digest sha256:abc "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	var e JoinRequest
	if err := json.Unmarshal([]byte(runScript(t, text)), &e); err != nil || e.Token != "SECRET $HOME" || e.Host != "w3" {
		t.Errorf("%+v, %v", e, err)
	}
	text, err = render(JoinRequest{Host: "w3"}, scriptNotes{})
	if err != nil || strings.Contains(string(text), "--bundle-digest") {
		t.Errorf("a digest of no bundle: %v, %s", err, text)
	}
}

// newScript: the request has the document with the host, the CA's fingerprint, and a token that
// the cluster knows.
func newScript(t *testing.T, to *operate.Connection, s *kubetest.Server) {
	kube := to.Clients.Kube
	o := AddOptions{To: to, Given: clusterOf("cp1", "w1", "w2"), File: "file.yaml", Names: []string{"w2"}, StateDir: stateDir(t)}
	if _, err := NewScript(t.Context(), o); err == nil || !strings.Contains(err.Error(), "read the cluster's CA") {
		t.Errorf("a cluster without cluster-info: %v", err)
	}
	ca, err := pki.NewCA("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Config",
		"clusters": []map[string]any{{"name": "", "cluster": map[string]any{"server": "https://198.51.100.100:6443", "certificate-authority-data": ca.CertPEM}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-info"}, Data: map[string]string{"kubeconfig": string(info)}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	script, err := NewScript(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(script.Until); script.Host != "w2" || left <= 0 || left > time.Hour {
		t.Errorf("for %s, until %s", script.Host, script.Until)
	}
	var e JoinRequest
	if err := json.Unmarshal([]byte(runScript(t, script.Text)), &e); err != nil {
		t.Fatal(err)
	}
	want, err := pki.CertHash(ca.CertPEM)
	if err != nil || e.CAHash != want || e.Member != nil || e.AgentImage == "" {
		t.Errorf("%+v, %v", e, err)
	}
	c, err := v1alpha1.Decode([]byte(e.Cluster), "the request")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Host("w2"); !ok {
		t.Errorf("the document has no w2: %s", e.Cluster)
	}
	id, _, _ := strings.Cut(e.Token, ".")
	if _, err := kube.CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "bootstrap-token-"+id, metav1.GetOptions{}); err != nil {
		t.Errorf("the token is not one of the cluster: %v", err)
	}
	o.Names = []string{"w2", "w1"}
	if _, err := NewScript(t.Context(), o); action.KindOf(err) != action.Invalid {
		t.Errorf("a script for two: %v", err)
	}
	// The etcd CA's key is not here.
	o.Given, o.Names = clusterOf("cp1", "w1", "cp2"), []string{"cp2"}
	if _, err := NewScript(t.Context(), o); err == nil || !strings.Contains(err.Error(), "run this on the machine that created the cluster") {
		t.Errorf("a member without the CA's key: %v", err)
	}
	untouched(t, s)
}
