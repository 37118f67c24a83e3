//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// dashboard looks at what the dashboard's verbs promise. With a stand-in in Headlamp's
// place it is about everything but Headlamp.
func (c *cluster) dashboard(t *testing.T, standIn bool) {
	t.Helper()
	url := strings.TrimSpace(c.ha(t, suiteDeadline, "dashboard", "url", "--kubeconfig", c.kubeconfig).stdout)
	if url != "https://"+c.vip+":30443" {
		t.Fatalf("dashboard url: %q", url)
	}
	c.dashboardIsSpread(t)
	c.showsDashboard(t, url, standIn)
	for _, h := range c.cached.Hosts {
		c.showsDashboard(t, "https://"+h.Address+":30443", standIn)
	}
	c.viewer(t)
	c.dashboardAdmin(t)
	c.opens(t, standIn)
}

// dashboardIsSpread: as many pods as control planes, no two on one node.
func (c *cluster) dashboardIsSpread(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "a pod of the dashboard for each control plane, each on a node of its own", func() (bool, string) {
		pods, err := c.client.CoreV1().Pods("ha-dashboard").List(context.Background(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=headlamp"})
		if err != nil {
			return false, err.Error()
		}
		var nodes []string
		for _, p := range pods.Items {
			if p.DeletionTimestamp == nil {
				nodes = append(nodes, p.Spec.NodeName)
			}
		}
		slices.Sort(nodes)
		return len(nodes) == 3 && len(slices.Compact(slices.Clone(nodes))) == 3, fmt.Sprint(nodes)
	})
}

// showsDashboard gets the page, as somebody who trusts the cluster's CA and no other.
func (c *cluster) showsDashboard(t *testing.T, url string, standIn bool) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.roots()}, DisableKeepAlives: true}}
	want := "Headlamp"
	if standIn {
		want = "stand-in for Headlamp"
	}
	eventually(t, time.Minute, url+" to show the dashboard", func() (bool, string) {
		resp, err := client.Get(url)
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(page), want), fmt.Sprintf("%s, %v, %.200s", resp.Status, err, page)
	})
}

// viewer logs in with the token that `dashboard token` prints: it ends when it was asked
// to, and may look at everything but Secrets.
func (c *cluster) viewer(t *testing.T) {
	t.Helper()
	r := c.ha(t, suiteDeadline, "dashboard", "token", "--duration", "20m", "--kubeconfig", c.kubeconfig)
	if r.code != 0 {
		t.Fatalf("dashboard token: %s", r)
	}
	token := strings.TrimSpace(r.stdout)
	if life := lifeOf(t, token); life != 20*time.Minute {
		t.Errorf("the token lives for %s", life)
	}
	as := rest.AnonymousClientConfig(c.config)
	as.BearerToken = token
	client, err := kubernetes.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	c.is(t, client, "system:serviceaccount:ha-dashboard:viewer")
	ctx := context.Background()
	if _, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		t.Errorf("the viewer's look at pods: %v", err)
	}
	if _, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		t.Errorf("the viewer's look at nodes: %v", err)
	}
	if _, err := client.CoreV1().Secrets("ha-dashboard").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the viewer's look at secrets: %v", err)
	}
	if err := client.CoreV1().ConfigMaps("e2e-own").Delete(ctx, "own", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the viewer's removal of a ConfigMap: %v", err)
	}
}

// lifeOf is for how long a token lives, by its own account.
func lifeOf(t *testing.T, token string) time.Duration {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("this is no token: %d parts", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iat, Exp int64 }
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return time.Duration(claims.Exp-claims.Iat) * time.Second
}

// is asks the cluster who somebody is.
func (c *cluster) is(t *testing.T, client *kubernetes.Clientset, want string) {
	t.Helper()
	who, err := client.AuthenticationV1().SelfSubjectReviews().Create(context.Background(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || who.Status.UserInfo.Username != want {
		t.Errorf("it is %+v instead of %s, %v", who, want, err)
	}
}

// dashboardAdmin: admin-user's token, and the kubeconfig that uses this account by itself.
func (c *cluster) dashboardAdmin(t *testing.T) {
	t.Helper()
	const account = "system:serviceaccount:ha-dashboard:admin-user"
	token := c.ha(t, suiteDeadline, "dashboard", "token", "--admin-user", "--kubeconfig", c.kubeconfig)
	as := rest.AnonymousClientConfig(c.config)
	as.BearerToken = strings.TrimSpace(token.stdout)
	client, err := kubernetes.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	c.is(t, client, account)
	for _, args := range [][]string{{"kubeconfig", "--vip"}, {"kubeconfig", "--admin-user", "--duration", "1h"}} {
		out := filepath.Join(t.TempDir(), "admin.kubeconfig")
		if r := c.ha(t, suiteDeadline, append(args, "--out", out, "--kubeconfig", c.kubeconfig)...); r.code != 0 {
			t.Fatalf("%v: %s", args, r)
		}
		config, err := clientcmd.BuildConfigFromFlags("", out)
		if err != nil {
			t.Fatal(err)
		}
		// What the dashboard's login takes from such a file.
		if config.BearerToken == "" {
			t.Errorf("%v: there is no token in the file", args)
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		c.is(t, client, account)
		if _, err := client.CoreV1().Secrets("ha-dashboard").List(context.Background(), metav1.ListOptions{}); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// opens: `dashboard open` starts a browser at an address of this machine, where the
// dashboard is, with a certificate for that as well. The browser only notes the address.
func (c *cluster) opens(t *testing.T, standIn bool) {
	t.Helper()
	dir := t.TempDir()
	noted := filepath.Join(dir, "address")
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\necho \"$1\" > "+noted+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), suiteDeadline)
	defer cancel()
	argv := append([]string{"env", "PATH=" + dir + ":" + os.Getenv("PATH")}, c.haArgv("dashboard", "open", "--kubeconfig", c.kubeconfig)...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, _, _ := strings.Cut(line, " ")
	if err != nil || !strings.HasPrefix(address, "https://127.0.0.1:") {
		t.Errorf("dashboard open: %q, %v", line, err)
	} else {
		eventually(t, 20*time.Second, "the browser to be started", func() (bool, string) {
			got, err := os.ReadFile(noted)
			return err == nil && strings.TrimSpace(string(got)) == address, fmt.Sprintf("%q, %v", got, err)
		})
		c.showsDashboard(t, address, standIn)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v: %s", err, stderr.String())
	}
}
