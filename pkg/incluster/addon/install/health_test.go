package install

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// neverWell is a Deployment whose pods nobody runs, since there are no nodes.
const neverWell = `apiVersion: apps/v1
kind: Deployment
metadata: {name: never, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: never}}
  template:
    metadata: {labels: {app: never}}
    spec: {containers: [{name: c, image: "example.com/team/app:v1"}]}
`

// TestHealthDeadline: a real API server has what never becomes well; the wait for it ends
// at the descriptor's deadline, and says what it lacks.
func TestHealthDeadline(t *testing.T) {
	s := kubetest.Start(t)
	s.StartControllerManager(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	systemNamespace(t, c.Kube)
	a := &addon.Addon{Files: map[string][]byte{"a.yaml": []byte(neverWell)}, Descriptor: addon.Descriptor{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: addon.Kind}, Name: "mine", Description: "mine",
		Release: addon.Release{Version: "v1", Images: map[string]string{"example.com/team/app": "v1"}},
		Health: addon.Health{Deadline: metav1.Duration{Duration: 4 * time.Second},
			Conditions: []addon.Condition{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "never", Type: "Available"}}}}}
	turn := operationOn(t, c, v1alpha1.AddonInstall, "v1", a, false)
	if _, err := applyAddon(t.Context(), turn); err != nil {
		t.Fatal(err)
	}
	turn.Step.ID = stepHealthy + "/mine"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = awaitHealthy(ctx, turn)
	if ctx.Err() != nil {
		t.Fatalf("it did not end at its own deadline: %v", err)
	}
	for _, want := range []string{"not well within 4s", "Deployment default/never", "Available: 0/2", "Available is False"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if inv, err := readInventory(t.Context(), c.Kube, "mine"); err != nil || inv.State != Installing {
		t.Errorf("the inventory is %+v, %v", inv, err)
	}
}

// TestIssuedCertificates: what was made for addons is found by what is written down of them.
func TestIssuedCertificates(t *testing.T) {
	s := kubetest.Start(t)
	c, err := client.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	systemNamespace(t, c.Kube)
	ca, err := pki.NewCA("cluster", 0)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.Issue(ca, pki.Request{CommonName: "a", Server: true, Validity: 20 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]corev1.Secret{
		"a-tls": {Type: corev1.SecretTypeTLS, Data: map[string][]byte{partCert: pair.CertPEM, partKey: pair.KeyPEM}},
		"other": {Data: map[string][]byte{"password": []byte("x")}},
	} {
		secret.Name = name
		if _, err := c.Kube.CoreV1().Secrets("default").Create(t.Context(), &secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	inv := &Inventory{Name: "a", State: Installed}
	for _, name := range []string{"a-tls", "other", "gone"} {
		inv.Objects = append(inv.Objects, Object{APIVersion: "v1", Kind: "Secret", Namespace: "default", Name: name})
	}
	if err := writeInventory(t.Context(), c.Kube, inv); err != nil {
		t.Fatal(err)
	}
	got, err := IssuedCertificates(t.Context(), c.Kube)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if left := time.Until(got[0].NotAfter); got[0].Secret != "a-tls" || got[0].Addon != "a" || left < 19*24*time.Hour || left > 21*24*time.Hour {
		t.Errorf("got %+v", got[0])
	}
	if got[1].Secret != "gone" || !got[1].NotAfter.IsZero() {
		t.Errorf("got %+v", got[1])
	}
}

func systemNamespace(t *testing.T, kube kubernetes.Interface) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SystemNamespace}}
	if _, err := kube.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
