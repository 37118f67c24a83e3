package kubeconfig

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// cluster is a real API server with its own CA, and the signer of certificates.
func cluster(t *testing.T) (*kubetest.Server, kubernetes.Interface) {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store, err := pki.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	ca, _, err := store.CA(t.Context(), "ca", "test CA")
	if err != nil {
		t.Fatal(err)
	}
	serving, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	caFile, caKey := put("ca.crt", ca.CertPEM), put("ca.key", ca.KeyPEM)
	server := kubetest.Start(t, "--client-ca-file="+caFile,
		"--tls-cert-file="+put("tls.crt", serving.CertPEM), "--tls-private-key-file="+put("tls.key", serving.KeyPEM))
	server.StartControllerManager(t, "--controllers=certificatesigningrequest-signing-controller,root-ca-certificate-publisher-controller",
		"--cluster-signing-cert-file="+caFile, "--cluster-signing-key-file="+caKey, "--root-ca-file="+caFile)
	client, err := kubernetes.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the cluster's CA in kube-system", func() bool {
		_, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
		return err == nil
	})
	return server, client
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !poll.Until(2*time.Minute, ok) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// works issues a kubeconfig, stores it, and tries what was stored.
func works(t *testing.T, server *kubetest.Server, o Options) (*Issued, []byte) {
	t.Helper()
	issued, err := Issue(t.Context(), server.Config, o)
	if err != nil {
		t.Fatal(err)
	}
	content, err := Encode(issued.Config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := WriteFile(path, content); err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), stored, issued.Username, nil); err != nil {
		t.Fatal(err)
	}
	return issued, stored
}

func TestRealCluster(t *testing.T) {
	server, client := cluster(t)
	o := Options{Cluster: "lab", Server: server.Config.Host, User: "alice"}

	t.Run("certificate", func(t *testing.T) {
		issued, _ := works(t, server, o)
		if left := time.Until(issued.Expires); left > DefaultCertificate+time.Hour || left < DefaultCertificate-time.Hour {
			t.Errorf("it lives %s", left)
		}
		block, _ := pem.Decode(issued.Config.AuthInfos["lab-alice"].ClientCertificateData)
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil || certificate.Subject.CommonName != "alice" || strings.Join(certificate.Subject.Organization, " ") != AdminGroup {
			t.Errorf("%v %v", certificate.Subject, err)
		}
		left, err := client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
		if err != nil || len(left.Items) != 0 {
			t.Errorf("%d certificate requests are left, %v", len(left.Items), err)
		}
	})

	t.Run("short certificate", func(t *testing.T) {
		short := o
		short.Duration = time.Hour
		if issued, _ := works(t, server, short); time.Until(issued.Expires) > time.Hour {
			t.Errorf("expires %s", issued.Expires)
		}
	})

	t.Run("taking the binding away ends it", func(t *testing.T) {
		_, content := works(t, server, o)
		if err := client.RbacV1().ClusterRoleBindings().Delete(t.Context(), AdminGroup, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the rights to be gone", func() bool {
			return verify(t.Context(), content, expected{username: "alice", admin: true}, nil, time.Second) != nil
		})
	})

	t.Run("token", func(t *testing.T) {
		account, err := client.CoreV1().ServiceAccounts("kube-system").Create(t.Context(),
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: AdminAccount}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		issued, err := Issue(t.Context(), server.Config, o)
		if err != nil {
			t.Fatal(err)
		}
		content, err := Encode(issued.Config)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(t.Context(), content, expected{username: issued.Username, admin: true}, nil, 2*time.Second); err == nil || !strings.Contains(err.Error(), "cluster-admin") {
			t.Errorf("an account without rights passed: %v", err)
		}
		bind(t, client, account)
		issued, stored := works(t, server, o)
		if left := time.Until(issued.Expires); left > DefaultToken || left < DefaultToken-10*time.Minute {
			t.Errorf("it lives %s", left)
		}
		path := filepath.Join(t.TempDir(), "again")
		if err := WriteFile(path, stored); err != nil {
			t.Fatal(err)
		}
		if old, err := Load(path, "lab"); err != nil || !old.Lasts(time.Now()) || old.Expires.Unix() != issued.Expires.Unix() {
			t.Errorf("%+v, %v; want it to expire %s", old, err, issued.Expires)
		}
	})
}

func bind(t *testing.T, client kubernetes.Interface, account *corev1.ServiceAccount) {
	t.Helper()
	_, err := client.RbacV1().ClusterRoleBindings().Create(context.Background(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: AdminAccount},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
