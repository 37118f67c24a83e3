//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestKubeconfigFor: kubeconfigs for others, for the administrators' account, for one
// control plane, without a secret in them, and merged into one that is there: each works
// for whom it says, for as long as it says.
func TestKubeconfigFor(t *testing.T) {
	c := sharedCluster(t)
	c.settled(t)
	t.Run("user and group", c.testKubeconfigUser)
	t.Run("admin user", c.testKubeconfigAdminUser)
	t.Run("one control plane", c.testKubeconfigNode)
	t.Run("exec", c.testKubeconfigExec)
	t.Run("merge", c.testKubeconfigMerge)
}

// kubeconfigFor makes a kubeconfig by the verb with these flags.
func (c *cluster) kubeconfigFor(t *testing.T, flags ...string) (path, said string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "for.kubeconfig")
	r := c.ha(t, suiteDeadline, append([]string{"kubeconfig", "--kubeconfig", c.kubeconfig, "--out", path}, flags...)...)
	if r.code != 0 {
		t.Fatalf("kubeconfig %v: %s", flags, r)
	}
	if !strings.Contains(r.stdout, "expires") {
		t.Errorf("the expiry is not told: %s", r)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	return path, r.stdout
}

// clientOf opens a kubeconfig.
func clientOf(t *testing.T, path string) (*clientcmdapi.Config, *kubernetes.Clientset) {
	t.Helper()
	file, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return file, client
}

// loginOf is the one login of a kubeconfig.
func loginOf(t *testing.T, file *clientcmdapi.Config) *clientcmdapi.AuthInfo {
	t.Helper()
	if len(file.AuthInfos) != 1 {
		t.Fatalf("%d logins", len(file.AuthInfos))
	}
	for _, login := range file.AuthInfos {
		return login
	}
	return nil
}

func (c *cluster) testKubeconfigUser(t *testing.T) {
	ctx := context.Background()
	path, said := c.kubeconfigFor(t, "--user", "alice", "--group", "devs", "--group", "e2e", "--duration", "15m")
	file, client := clientOf(t, path)
	block, _ := pem.Decode(loginOf(t, file).ClientCertificateData)
	if block == nil {
		t.Fatal("there is no client certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(cert.NotAfter); left < 10*time.Minute || left > 16*time.Minute {
		t.Errorf("it lives for %s", left)
	}
	if !strings.Contains(said, cert.NotAfter.Local().Format("15:04")) {
		t.Errorf("its end, %s, is not in %s", cert.NotAfter.Local(), said)
	}
	me, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if u := me.Status.UserInfo; u.Username != "alice" || !slices.Contains(u.Groups, "devs") || !slices.Contains(u.Groups, "e2e") || slices.Contains(u.Groups, "system:masters") {
		t.Errorf("%+v", u)
	}
	// It may do nothing until somebody binds a role, and then that alone.
	if _, err := client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("without any role: %v", err)
	}
	bindings := c.client.RbacV1().RoleBindings("kube-system")
	if _, err := bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "e2e-devs"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "devs"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bindings.Delete(ctx, "e2e-devs", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, 20*time.Second, "the group may look at pods", func() (bool, string) {
		_, err := client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil, errorText(err)
	})
	if _, err := client.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("secrets: %v", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (c *cluster) testKubeconfigAdminUser(t *testing.T) {
	ctx := context.Background()
	const name, namespace = "admin-user", "ha-system"
	if r := c.ha(t, suiteDeadline, "kubeconfig", "--admin-user", "--kubeconfig", c.kubeconfig, "--out", filepath.Join(t.TempDir(), "no")); r.code != 2 || !strings.Contains(r.stderr, "--admin-user creates it") {
		t.Errorf("without the account: %s", r)
	}
	accounts := c.client.CoreV1().ServiceAccounts(namespace)
	bindings := c.client.RbacV1().ClusterRoleBindings()
	t.Cleanup(func() {
		if err := accounts.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		if err := bindings.Delete(ctx, "e2e-admin-user", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bindings.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "e2e-admin-user"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: namespace}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path, _ := c.kubeconfigFor(t, "--admin-user", "--vip", "--duration", "30m")
	file, client := clientOf(t, path)
	if login := loginOf(t, file); login.Token == "" || len(login.ClientCertificateData) > 0 {
		t.Error("it has no token, or a certificate as well")
	}
	me, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || me.Status.UserInfo.Username != "system:serviceaccount:"+namespace+":"+name {
		t.Fatalf("%+v %v", me, err)
	}
	checkAccess(t, c, path)
}

func (c *cluster) testKubeconfigNode(t *testing.T) {
	path, _ := c.kubeconfigFor(t, "--node", "cp2")
	file, client := clientOf(t, path)
	if server := file.Clusters[file.Contexts[file.CurrentContext].Cluster].Server; server != "https://"+c.addressOf("cp2")+":6443" {
		t.Errorf("it points at %s", server)
	}
	if _, err := client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if r := c.ha(t, suiteDeadline, "kubeconfig", "--node", "w1", "--kubeconfig", c.kubeconfig); r.code != 2 || !strings.Contains(r.stderr, "not a control plane node") {
		t.Errorf("for a worker: %s", r)
	}
}

// testKubeconfigExec: no secret is in the file; kubectl asks the plugin for it.
func (c *cluster) testKubeconfigExec(t *testing.T) {
	path, _ := c.kubeconfigFor(t, "--exec", "--vip")
	file, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	login := loginOf(t, file)
	if login.Exec == nil || login.Token != "" || len(login.ClientKeyData)+len(login.ClientCertificateData) > 0 {
		t.Fatal("the file has credentials, or does not say whom to ask for them")
	}
	ctx, cancel := context.WithTimeout(context.Background(), suiteDeadline)
	defer cancel()
	argv := append([]string{"env", "PATH=" + filepath.Join(suite.root, "bin") + ":" + os.Getenv("PATH")},
		c.argv("kubectl", "--", "--kubeconfig", path, "get", "nodes", "-o", "name")...)
	r, err := command(ctx, c.dir, nil, argv...)
	if err != nil || r.code != 0 || !strings.Contains(r.stdout, "node/cp1") {
		t.Errorf("%v %s", err, r)
	}
	kept := login.Exec.Args[len(login.Exec.Args)-1]
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(kept, c.dir) {
		t.Errorf("the credentials are in %s: %v %v", kept, info, err)
	}
}

// testKubeconfigMerge: what was there stays, and a copy of it as it was.
func (c *cluster) testKubeconfigMerge(t *testing.T) {
	dir := t.TempDir()
	into := filepath.Join(dir, "config")
	other := []byte("apiVersion: v1\nkind: Config\npreferences: {}\nclusters:\n- name: other\n  cluster: {server: https://other.example:6443}\n" +
		"contexts:\n- name: other\n  context: {cluster: other, user: other, namespace: mine}\nusers:\n- name: other\n  user: {token: other}\ncurrent-context: other\n")
	if err := os.WriteFile(into, other, 0o600); err != nil {
		t.Fatal(err)
	}
	r := c.ha(t, suiteDeadline, "kubeconfig", "--vip", "--kubeconfig", c.kubeconfig, "--merge", into)
	if r.code != 0 || !strings.Contains(r.stdout, "expires") {
		t.Fatal(r)
	}
	backups, err := filepath.Glob(into + ".bak-*")
	if err != nil || len(backups) != 1 || !strings.Contains(r.stdout, backups[0]) {
		t.Fatalf("copies %v, %v: %s", backups, err, r)
	}
	if kept, err := os.ReadFile(backups[0]); err != nil || !bytes.Equal(kept, other) {
		t.Errorf("the copy is not what was there: %v\n%s", err, kept)
	}
	got, err := clientcmd.LoadFromFile(into)
	if err != nil {
		t.Fatal(err)
	}
	if o := got.Contexts["other"]; o == nil || o.Namespace != "mine" || got.AuthInfos["other"] == nil || got.AuthInfos["other"].Token != "other" ||
		got.Clusters["other"] == nil || got.Clusters["other"].Server != "https://other.example:6443" {
		t.Errorf("the other cluster: %+v", got)
	}
	// kubectl can use either, and ours is the current one.
	checkAccess(t, c, into)
	if leftovers, err := filepath.Glob(into + "*.lock"); err != nil || len(leftovers) > 0 {
		t.Errorf("locks are left: %v %v", leftovers, err)
	}
	// A cluster of the same name that is another one is nobody's to replace.
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, bytes.ReplaceAll(other, []byte("name: other\n"), []byte("name: "+c.name+"\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(taken)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.ha(t, suiteDeadline, "kubeconfig", "--vip", "--kubeconfig", c.kubeconfig, "--merge", taken); r.code != 2 {
		t.Errorf("into a file with another cluster of that name: %s", r)
	}
	if after, err := os.ReadFile(taken); err != nil || !bytes.Equal(after, before) {
		t.Errorf("it was changed: %v\n%s", err, after)
	}
}
