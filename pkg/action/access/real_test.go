package access

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/test/kubetest"
)

// realAPI is a real API server whose certificate is for this machine, with the service account for
// people, and the Cluster file that is about it.
func realAPI(t *testing.T) (*kubetest.Server, *v1alpha1.Cluster) {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		return path
	}
	store, err := pki.OpenStore(filepath.Join(dir, "store"))
	must(t, err)
	ca, _, err := store.CA(t.Context(), "ca", "test CA")
	must(t, err)
	serving, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	must(t, err)
	s := kubetest.Start(t, "--tls-cert-file="+put("tls.crt", serving.CertPEM), "--tls-private-key-file="+put("tls.key", serving.KeyPEM))
	kube := kubernetes.NewForConfigOrDie(s.Config)
	_, err = kube.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt"},
		Data: map[string]string{"ca.crt": string(ca.CertPEM)}}, metav1.CreateOptions{})
	must(t, err)
	_, err = kube.CoreV1().ServiceAccounts("kube-system").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: kubeconfig.AdminAccount}}, metav1.CreateOptions{})
	must(t, err)
	_, err = kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "people"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "kube-system", Name: kubeconfig.AdminAccount}}}, metav1.CreateOptions{})
	must(t, err)
	at, err := url.Parse(s.Config.Host)
	must(t, err)
	port, err := strconv.ParseInt(at.Port(), 10, 32)
	must(t, err)
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{VirtualIP: "127.0.0.1", APIServerPort: int32(port),
		Hosts: []v1alpha1.Host{{Name: "cp1", Address: "127.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}}}}}
	c.Metadata.Name = "prod"
	c.SetDefaults()
	return s, c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestIssueAndKeep: one API server, and every place that a kubeconfig may go to.
func TestIssueAndKeep(t *testing.T) {
	s, c := realAPI(t)
	t.Chdir(t.TempDir())
	base := IssueOptions{Config: s.Config, Cluster: c, CertificateUser: "me", Account: true}
	run := func(t *testing.T, change func(*IssueOptions)) (IssueResult, error) {
		t.Helper()
		o := base
		change(&o)
		return RunIssue(t.Context(), o, report.Discard())
	}
	works := func(t *testing.T, content []byte) {
		t.Helper()
		if err := kubeconfig.Verify(t.Context(), content, "system:serviceaccount:kube-system:"+kubeconfig.AdminAccount, nil); err != nil {
			t.Error(err)
		}
	}

	t.Run("a file", func(t *testing.T) {
		r, err := run(t, func(*IssueOptions) {})
		must(t, err)
		content, err := os.ReadFile("prod.kubeconfig")
		must(t, err)
		works(t, content)
		if r.File != "prod.kubeconfig" || r.Server != s.Config.Host || r.Far || r.Merged != nil || !r.Admin || string(content) != string(r.Content) {
			t.Errorf("%+v", r)
		}
		// Another one of the same context takes its place.
		again, err := run(t, func(o *IssueOptions) { o.File = "prod.kubeconfig" })
		if err != nil || again.File != r.File {
			t.Errorf("again: %v", err)
		}
	})

	t.Run("another's file", func(t *testing.T) {
		must(t, os.WriteFile("other", []byte(`{"apiVersion":"v1","kind":"Config","contexts":[{"name":"theirs","context":{"cluster":"c","user":"u"}}]}`), 0o600))
		if _, err := run(t, func(o *IssueOptions) { o.File = "other" }); action.KindOf(err) != action.Invalid || !errors.Is(err, kubeconfig.ErrForeign) || !strings.Contains(err.Error(), "--out") {
			t.Error(err)
		}
	})

	t.Run("no file", func(t *testing.T) {
		before, err := os.ReadDir(".")
		must(t, err)
		r, err := run(t, func(o *IssueOptions) { o.NoFile, o.Node = true, "cp1" })
		must(t, err)
		works(t, r.Content)
		if after, err := os.ReadDir("."); err != nil || len(after) != len(before) || r.File != "" || r.Config.CurrentContext != "prod-cp1" {
			t.Errorf("%v, %v, %+v", after, err, r)
		}
	})

	t.Run("merged", func(t *testing.T) {
		paths := clientcmd.NewDefaultPathOptions()
		paths.LoadingRules.ExplicitPath = filepath.Join(t.TempDir(), "config")
		r, err := run(t, func(o *IssueOptions) { o.Merge = paths })
		must(t, err)
		content, err := os.ReadFile(paths.LoadingRules.ExplicitPath)
		must(t, err)
		works(t, content)
		if r.Merged == nil || r.Merged.File != paths.LoadingRules.ExplicitPath || r.File != "" {
			t.Errorf("%+v", r)
		}
		// An entry of that name for another cluster is not taken from it.
		must(t, os.WriteFile(paths.LoadingRules.ExplicitPath, []byte(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"prod","cluster":{"server":"https://192.0.2.1"}}]}`), 0o600))
		if _, err := run(t, func(o *IssueOptions) { o.Merge = paths }); action.KindOf(err) != action.Invalid || !errors.Is(err, kubeconfig.ErrTaken) {
			t.Error(err)
		}
	})

	t.Run("with the credentials elsewhere", func(t *testing.T) {
		state := t.TempDir()
		r, err := run(t, func(o *IssueOptions) {
			o.Exec, o.NoFile, o.StateDir = true, true, func(*v1alpha1.Cluster) (string, error) { return state, nil }
		})
		must(t, err)
		file := filepath.Join(state, "credentials", "prod.kubeconfig")
		secret, err := os.ReadFile(file)
		must(t, err)
		works(t, secret)
		if strings.Contains(string(r.Content), "token:") || !strings.Contains(string(r.Content), file) {
			t.Errorf("got\n%s", r.Content)
		}
		checkRenewal(t, file)
		if _, err := run(t, func(o *IssueOptions) {
			o.Exec, o.NoFile, o.StateDir = true, true, func(*v1alpha1.Cluster) (string, error) { return "", errors.New("no home") }
		}); err == nil || !strings.Contains(err.Error(), "no home") {
			t.Error(err)
		}
	})

	t.Run("kept", func(t *testing.T) { checkKeep(t, KeepOptions{Cluster: c, File: "kept", User: "me", Config: s.Config}) })

	t.Run("no document, and no file", func(t *testing.T) {
		if _, err := run(t, func(o *IssueOptions) { o.Cluster = nil }); err == nil || !strings.Contains(err.Error(), "give the Cluster file with -f") {
			t.Error(err)
		}
	})

	t.Run("no account", func(t *testing.T) {
		must(t, kubernetes.NewForConfigOrDie(s.Config).CoreV1().ServiceAccounts("kube-system").Delete(t.Context(), kubeconfig.AdminAccount, metav1.DeleteOptions{}))
		if _, err := run(t, func(o *IssueOptions) { o.NoFile = true }); action.KindOf(err) != action.Invalid || !strings.Contains(err.Error(), "--admin-user creates it") {
			t.Error(err)
		}
	})
}

// checkRenewal: credentials that last are given as they are, and near their end new ones of the
// same account.
func checkRenewal(t *testing.T, file string) {
	t.Helper()
	ask := func(now time.Time) (token string) {
		t.Helper()
		out, err := Credential(t.Context(), file, 24*time.Hour, now)
		must(t, err)
		var c struct{ Status struct{ Token string } }
		must(t, json.Unmarshal(out, &c))
		return c.Status.Token
	}
	first := ask(time.Now())
	if first == "" || ask(time.Now()) != first {
		t.Error("what lasts was renewed")
	}
	fresh := ask(time.Now().Add(kubeconfig.DefaultToken - time.Hour))
	if fresh == first || ask(time.Now()) != fresh {
		t.Error("it was not renewed, or is not kept")
	}
	renewed, err := kubeconfig.Load(file, "prod")
	must(t, err)
	if left := time.Until(renewed.Expires); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("it lives %s, and 24 hours were asked for", left)
	}
}

// checkKeep: one that works stays; one that does not, or points elsewhere, is made anew; another's
// is not touched.
func checkKeep(t *testing.T, o KeepOptions) {
	t.Helper()
	first, err := Keep(t.Context(), o)
	must(t, err)
	if !first.Changed || first.Message != "kept" || !strings.Contains(first.Identity, kubeconfig.AdminAccount) || first.Expires.IsZero() || first.Far {
		t.Errorf("%+v", first)
	}
	again, err := Keep(t.Context(), o)
	if err != nil || again.Changed || again.Identity != "" || !again.Expires.Equal(first.Expires) {
		t.Errorf("it was made anew: %+v, %v", again, err)
	}
	content, err := os.ReadFile("kept")
	must(t, err)
	must(t, os.WriteFile("kept", []byte(strings.Replace(string(content), "token: ", "token: x", 1)), 0o600))
	if third, err := Keep(t.Context(), o); err != nil || !third.Changed {
		t.Errorf("one that does not work stays: %+v, %v", third, err)
	}
	must(t, os.WriteFile("kept", []byte("no kubeconfig\t{"), 0o600))
	if _, err := Keep(t.Context(), o); err == nil {
		t.Error("another's file was replaced")
	}
	if left, err := os.ReadFile("kept"); err != nil || string(left) != "no kubeconfig\t{" {
		t.Errorf("%s, %v", left, err)
	}
	must(t, os.Remove("kept"))
	checkFar(t, o)
}

// checkFar: a machine that does not reach the address tries it as a control plane would.
func checkFar(t *testing.T, o KeepOptions) {
	t.Helper()
	server := strings.TrimPrefix(o.Config.Host, "https://")
	far := *o.Cluster
	// Nobody listens there: it is this machine's, and another port's.
	far.Spec.VirtualIP, far.Spec.APIServerPort = "127.0.0.1", 1
	o.Cluster = &far
	o.Through = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}
	got, err := Keep(t.Context(), o)
	if err != nil || !got.Changed || !got.Far {
		t.Errorf("%+v, %v", got, err)
	}
	must(t, os.Remove("kept"))
	o.Through = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way") }
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errors.New("long enough"))
	defer cancel()
	if _, err := Keep(ctx, o); err == nil {
		t.Error("what nobody could try was kept")
	}
	if _, err := os.Stat("kept"); !os.IsNotExist(err) {
		t.Errorf("it was written: %v", err)
	}
}
