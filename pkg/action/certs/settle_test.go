package certs

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// restored is a cluster whose data is of before its CA was replaced.
type restored struct {
	t                  *testing.T
	clients            *client.Clients
	former, now, other []byte
	// key is the ID of a key of service accounts that is in use.
	key string
}

func newCert(t *testing.T, name string) []byte {
	t.Helper()
	ca, err := pki.NewCA(name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return ca.CertPEM
}

// tokenOf is what a token of a key looks like.
func tokenOf(key string) []byte {
	return []byte(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"`+key+`"}`)) + ".e30.c2ln")
}

var webhooks = carriers[0]

func (r *restored) must(err error) {
	r.t.Helper()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		r.t.Fatal(err)
	}
}

// fill writes what a snapshot has.
func (r *restored) fill() {
	r.t.Helper()
	ctx, kube := r.t.Context(), r.clients.Kube
	for _, name := range []string{"shop", metav1.NamespacePublic, v1alpha1.SystemNamespace} {
		_, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		r.must(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[""] = &clientcmdapi.Cluster{Server: "https://10.0.0.100:6443", CertificateAuthorityData: r.former}
	info, err := clientcmd.Write(*config)
	r.must(err)
	for _, m := range []corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: rootCA}, Data: map[string]string{rootCAKey: string(r.former)}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespacePublic, Name: clusterInfo}, Data: map[string]string{"kubeconfig": string(info)}},
	} {
		_, err := kube.CoreV1().ConfigMaps(m.Namespace).Create(ctx, &m, metav1.CreateOptions{})
		r.must(err)
	}
	for name, token := range map[string][]byte{"stale": tokenOf("gone"), "fresh": tokenOf(r.key)} {
		_, err := kube.CoreV1().Secrets("shop").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
			Type: corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{corev1.ServiceAccountTokenKey: token}}, metav1.CreateOptions{})
		r.must(err)
	}
	none, fails := admissionv1.SideEffectClassNone, admissionv1.Ignore
	for name, ca := range map[string][]byte{"ours": r.former, "theirs": r.other, "both": slices.Concat(r.former, r.other)} {
		url := "https://10.0.0.9/"
		hook := &admissionv1.ValidatingWebhookConfiguration{TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"}, ObjectMeta: metav1.ObjectMeta{Name: name},
			Webhooks: []admissionv1.ValidatingWebhook{{Name: "a.example.com", ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: ca}, SideEffects: &none, FailurePolicy: &fails, AdmissionReviewVersions: []string{"v1"}}}}
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(hook)
		r.must(err)
		_, err = r.clients.Dynamic.Resource(webhooks).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
		r.must(err)
	}
	record := rotationState{authority: certs.AuthorityKubernetes, from: r.former, to: r.now}
	r.must(record.write(ctx, kube))
	record = rotationState{authority: certs.AuthorityFrontProxy, from: r.former, to: r.now}
	r.must(record.write(ctx, kube))
}

// bundle is the CA of a webhook.
func (r *restored) bundle(name string) []byte {
	r.t.Helper()
	u, err := r.clients.Dynamic.Resource(webhooks).Get(r.t.Context(), name, metav1.GetOptions{})
	r.must(err)
	var hook admissionv1.ValidatingWebhookConfiguration
	r.must(runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &hook))
	return hook.Webhooks[0].ClientConfig.CABundle
}

// settles: what goes by authorities that are gone goes by those in use afterwards, and what is others'
// stays; a second time nothing is left to do.
func (r *restored) settles(settle func(context.Context) Settled) {
	r.t.Helper()
	t, ctx, kube := r.t, r.t.Context(), r.clients.Kube
	r.fill()
	got := settle(ctx)
	slices.Sort(got.Changed)
	want := "ha-system/rotation-kubernetes kube-public/cluster-info shop/kube-root-ca.crt validatingwebhookconfigurations/ours"
	if strings.Join(got.Changed, " ") != want || strings.Join(got.Bound, " ") != "shop/stale" {
		t.Errorf("%+v", got)
	}
	if len(got.Advice) != 1 || !strings.Contains(got.Advice[0], "rotate-ca front-proxy") {
		t.Errorf("advice: %q", got.Advice)
	}
	m, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, clusterInfo, metav1.GetOptions{})
	r.must(err)
	config, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
	if err != nil || !pki.Same(config.Clusters[""].CertificateAuthorityData, r.now) {
		t.Errorf("cluster-info: %v %v", m.Data, err)
	}
	if m, err := kube.CoreV1().ConfigMaps("shop").Get(ctx, rootCA, metav1.GetOptions{}); err != nil || !pki.Same([]byte(m.Data[rootCAKey]), r.now) {
		t.Errorf("what pods trust: %v", err)
	}
	for name, token := range map[string]string{"stale": "", "fresh": string(tokenOf(r.key))} {
		if s, err := kube.CoreV1().Secrets("shop").Get(ctx, name, metav1.GetOptions{}); err != nil || string(s.Data[corev1.ServiceAccountTokenKey]) != token {
			t.Errorf("the token of %s: %v", name, err)
		}
	}
	if !pki.Same(r.bundle("ours"), r.now) || !pki.Same(r.bundle("theirs"), r.other) || string(r.bundle("both")) != string(slices.Concat(r.former, r.other)) {
		t.Error("the webhooks' CAs are not as they should be")
	}
	if again := settle(ctx); len(again.Changed)+len(again.Bound) > 0 || len(again.Advice) != 1 {
		t.Errorf("again: %+v", again)
	}
}

func TestSettle(t *testing.T) {
	lists := map[schema.GroupVersionResource]string{}
	for gvr, kind := range map[schema.GroupVersionResource]string{carriers[0]: "ValidatingWebhookConfigurationList", carriers[1]: "MutatingWebhookConfigurationList", carriers[2]: "APIServiceList", carriers[3]: "CustomResourceDefinitionList"} {
		lists[gvr] = kind
	}
	r := &restored{t: t, former: newCert(t, "former"), now: newCert(t, "now"), other: newCert(t, "other"), key: "in-use"}
	r.clients = &client.Clients{Kube: fake.NewClientset(), Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)}
	r.settles(func(ctx context.Context) Settled {
		s := &settling{clients: r.clients, now: [][]byte{r.now}, keys: []string{"in-use"}}
		s.settle(ctx)
		return s.Settled
	})
	// Two CAs on the hosts, and a snapshot that knows of no rotation.
	s := &settling{clients: r.clients, now: [][]byte{r.now, r.other}, keys: []string{"in-use"}}
	if s.settle(t.Context()); !strings.Contains(strings.Join(s.Advice, "\n"), "in the middle of a rotation of kubernetes") {
		t.Errorf("%+v", s.Settled)
	}
}

// TestRealSettle asks a real API server which keys it takes.
func TestRealSettle(t *testing.T) {
	server := kubetest.Start(t)
	clients, err := client.New(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	r := &restored{t: t, clients: clients, former: newCert(t, "former"), now: newCert(t, "now"), other: newCert(t, "other")}
	account, err := clients.Kube.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{})
	r.must(err)
	token, err := clients.Kube.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	r.must(err)
	if r.key = certs.TokenKey(token.Status.Token); r.key == "" {
		t.Fatal("a token names no key")
	}
	r.settles(func(ctx context.Context) Settled { return Settle(ctx, clients, r.now) })
}
