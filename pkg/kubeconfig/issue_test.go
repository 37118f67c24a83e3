package kubeconfig

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

// signer answers certificate requests as kube-controller-manager does.
type signer struct {
	t    *testing.T
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	seen *certificatesv1.CertificateSigningRequest
	// conditions are set instead of signing.
	conditions []certificatesv1.CertificateSigningRequestCondition
	idle       bool
}

func newSigner(t *testing.T) *signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, NotAfter: time.Now().Add(time.Hour)}
	return &signer{t: t, ca: ca, key: key}
}

// attach makes the client sign what is approved.
func (s *signer) attach(client *fake.Clientset) {
	client.PrependReactor("create", "certificatesigningrequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
		csr := a.(clienttesting.CreateAction).GetObject().(*certificatesv1.CertificateSigningRequest)
		if csr.Name == "" {
			csr.Name = csr.GenerateName + "x"
		}
		return false, nil, nil
	})
	client.PrependReactor("get", "certificatesigningrequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
		got, err := client.Tracker().Get(a.GetResource(), "", a.(clienttesting.GetAction).GetName())
		if err != nil {
			return true, nil, err
		}
		csr := got.(*certificatesv1.CertificateSigningRequest).DeepCopy()
		s.seen = csr
		csr.Status.Conditions = append(csr.Status.Conditions, s.conditions...)
		if !s.idle && len(s.conditions) == 0 && len(csr.Status.Conditions) > 0 {
			csr.Status.Certificate = s.sign(csr)
		}
		return true, csr, nil
	})
}

func (s *signer) sign(csr *certificatesv1.CertificateSigningRequest) []byte {
	block, _ := pem.Decode(csr.Spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: request.Subject,
		NotAfter: time.Now().Add(time.Duration(*csr.Spec.ExpirationSeconds) * time.Second)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, s.ca, request.PublicKey, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func rootCA() runtime.Object {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": "the CA"}}
}

func account(namespace string) runtime.Object {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: AdminAccount}}
}

func options() Options {
	return Options{Cluster: "lab", Server: "https://192.0.2.10:6443", User: "alice"}
}

func requests(t *testing.T, client *fake.Clientset) int {
	t.Helper()
	list, err := client.CertificatesV1().CertificateSigningRequests().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

func TestCertificate(t *testing.T) {
	client := fake.NewClientset(rootCA(), account("somebody-elses"))
	s := newSigner(t)
	s.attach(client)
	got, err := issue(context.Background(), client, &rest.Config{}, options())
	if err != nil {
		t.Fatal(err)
	}
	login := got.Config.AuthInfos["lab-alice"]
	block, _ := pem.Decode(login.ClientCertificateData)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if certificate.Subject.CommonName != "alice" || !slices.Equal(certificate.Subject.Organization, []string{AdminGroup}) {
		t.Errorf("subject %s", certificate.Subject)
	}
	if !got.Expires.Equal(certificate.NotAfter) || time.Until(got.Expires) < DefaultCertificate-time.Hour {
		t.Errorf("expires %s, the certificate says %s", got.Expires, certificate.NotAfter)
	}
	if c := got.Config.Clusters["lab"]; c.Server != "https://192.0.2.10:6443" || string(c.CertificateAuthorityData) != "the CA" {
		t.Errorf("cluster %+v", c)
	}
	if got.Config.CurrentContext != "lab" || got.Username != "alice" {
		t.Errorf("context %s, user %s", got.Config.CurrentContext, got.Username)
	}
	if s.seen.Spec.SignerName != "kubernetes.io/kube-apiserver-client" {
		t.Errorf("signer %s", s.seen.Spec.SignerName)
	}
	if n := requests(t, client); n != 0 {
		t.Errorf("%d certificate requests are left", n)
	}
	binding, err := client.RbacV1().ClusterRoleBindings().Get(context.Background(), AdminGroup, metav1.GetOptions{})
	if err != nil || binding.RoleRef.Name != "cluster-admin" || binding.Subjects[0].Name != AdminGroup {
		t.Errorf("binding %+v: %v", binding, err)
	}
}

func TestCertificateThatIsNotSigned(t *testing.T) {
	condition := func(kind certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
		return []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Reason: "Policy", Message: "not here"}}
	}
	for name, tc := range map[string]struct {
		set  func(*signer)
		want string
	}{
		"denied": {func(s *signer) { s.conditions = condition(certificatesv1.CertificateDenied) }, "not here"},
		"failed": {func(s *signer) { s.conditions = condition(certificatesv1.CertificateFailed) }, "Failed"},
		"idle":   {func(s *signer) { s.idle = true }, "kube-controller-manager"},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(rootCA())
			s := newSigner(t)
			tc.set(s)
			s.attach(client)
			o := options()
			o.SignTimeout = 500 * time.Millisecond
			got, err := issue(context.Background(), client, &rest.Config{}, o)
			if err == nil || got != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tc.want)
			}
			if n := requests(t, client); n != 0 {
				t.Errorf("%d certificate requests are left", n)
			}
		})
	}
}

func TestToken(t *testing.T) {
	client := fake.NewClientset(rootCA(), account("kube-system"), account("kubernetes-dashboard"))
	expires := metav1.NewTime(time.Now().Add(time.Hour).Truncate(time.Second))
	client.PrependReactor("create", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "token" || a.GetNamespace() != "kubernetes-dashboard" {
			t.Errorf("unexpected %v", a)
		}
		request := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenRequest)
		if s := *request.Spec.ExpirationSeconds; s != int64(DefaultToken.Seconds()) {
			t.Errorf("asked for %d s", s)
		}
		return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{Token: "tok", ExpirationTimestamp: expires}}, nil
	})
	got, err := issue(context.Background(), client, &rest.Config{}, options())
	if err != nil {
		t.Fatal(err)
	}
	if got.Config.AuthInfos["lab-alice"].Token != "tok" || !got.Expires.Equal(expires.Time) ||
		got.Username != "system:serviceaccount:kubernetes-dashboard:admin-user" {
		t.Errorf("got %+v", got)
	}
}

func TestEmptyTokenIsAnError(t *testing.T) {
	client := fake.NewClientset(rootCA(), account("ha-system"))
	client.PrependReactor("create", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authenticationv1.TokenRequest{}, nil
	})
	if got, err := issue(context.Background(), client, &rest.Config{}, options()); err == nil {
		t.Errorf("got %+v", got)
	}
}

func TestNoRightToLookIsAnErrorAndNotAbsence(t *testing.T) {
	client := fake.NewClientset(rootCA())
	client.PrependReactor("get", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts"}, AdminAccount, errors.New("no"))
	})
	if _, err := issue(context.Background(), client, &rest.Config{}, options()); !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
}

func TestCAOfTheAccessWhileTheClusterHasNotPublishedIt(t *testing.T) {
	access := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: []byte("from the access")}}
	got, err := clusterCA(context.Background(), fake.NewClientset(), access)
	if err != nil || string(got) != "from the access" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := clusterCA(context.Background(), fake.NewClientset(), &rest.Config{}); err == nil {
		t.Errorf("got %q", got)
	}
}

func TestDurationsOutOfBounds(t *testing.T) {
	for _, d := range []time.Duration{time.Minute, 366 * 24 * time.Hour, -time.Hour} {
		o := options()
		o.Duration = d
		if _, err := issue(context.Background(), fake.NewClientset(rootCA()), &rest.Config{}, o); err == nil {
			t.Errorf("%s was accepted", d)
		}
	}
}
