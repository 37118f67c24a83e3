//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// rotateDeadline bounds one phase, or all of them.
const rotateDeadline = 25 * time.Minute

func (c *cluster) rotate(t *testing.T, authority string, args ...string) result {
	t.Helper()
	start := time.Now()
	r := c.ha(t, rotateDeadline, append([]string{"certs", "rotate-ca", authority, "--kubeconfig", c.kubeconfig, "--yes"}, args...)...)
	t.Logf("certs rotate-ca %s %s took %s", authority, strings.Join(args, " "), time.Since(start).Round(time.Second))
	return r
}

func (c *cluster) rotated(t *testing.T, authority string, args ...string) {
	t.Helper()
	if r := c.rotate(t, authority, args...); r.code != 0 {
		t.Fatalf("certs rotate-ca %s %v: %s", authority, args, tail(r.String(), 8000))
	}
}

// reaches asks every kubelet through the API for a log, as kubectl logs does.
func (c *cluster) reaches(t *testing.T) {
	t.Helper()
	pods, err := c.client.CoreV1().Pods(metav1.NamespaceSystem).List(context.Background(), metav1.ListOptions{LabelSelector: "k8s-app=kube-proxy"})
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]bool{}
	for _, p := range pods.Items {
		lines := int64(1)
		if _, err := c.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: &lines}).DoRaw(context.Background()); err != nil {
			t.Errorf("logs of a pod on %s: %v", p.Spec.NodeName, err)
		}
		nodes[p.Spec.NodeName] = true
	}
	if len(nodes) < len(c.names("control-plane"))+1 {
		t.Errorf("only %v have a pod", nodes)
	}
}

// lossless runs what does something to the cluster under requests, and wants none of them to fail.
func lossless(t *testing.T, p *prober, what string, do func()) {
	t.Helper()
	p.every = 50 * time.Millisecond
	began := time.Now()
	stop := p.start()
	defer stop()
	do()
	stop()
	o := p.outageSince(began)
	if o.failed > 0 {
		t.Errorf("%s: %s\n%s", what, o, p.timeline(began))
		return
	}
	t.Logf("%s: %d requests in %s, none failed", what, o.requests, time.Since(began).Round(time.Second))
}

// hostCA is a file with certificates on a host.
func (c *cluster) hostCA(t *testing.T, host, file string) [][]byte {
	t.Helper()
	return pki.Certs([]byte(c.exec(t, host, "cat", "/etc/kubernetes/pki/"+file)))
}

// TestRotateCA replaces the CAs of a cluster and the key of its service accounts, one after the
// other, while it is in use.
func TestRotateCA(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	t.Run("front-proxy", func(t *testing.T) { c.rotateFrontProxy(t) })
	t.Run("service-account", func(t *testing.T) { c.rotateServiceAccount(t) })
	t.Run("etcd", func(t *testing.T) { c.rotateEtcd(t) })
	t.Run("kubernetes", func(t *testing.T) { c.rotateKubernetes(t) })
	c.settled(t)
}

func (c *cluster) rotateFrontProxy(t *testing.T) {
	before := c.hostCA(t, "cp1", "front-proxy-ca.crt")[0]
	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, "the front proxy's CA", func() { c.rotated(t, "front-proxy") })
	for _, h := range c.names("control-plane") {
		now := c.hostCA(t, h, "front-proxy-ca.crt")
		if len(now) != 1 || pki.Same(now[0], before) {
			t.Errorf("%s trusts %d CAs, or still the former one", h, len(now))
		}
	}
	m, err := c.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(context.Background(), "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil || bytes.Contains([]byte(m.Data["requestheader-client-ca-file"]), bytes.TrimSpace(before)) {
		t.Errorf("extension servers are still told of the former CA: %v", err)
	}
}

// rotateEtcd replaces the CA of the members: taken back once, killed once in each phase, no request
// lost; then the former CA's login is refused, the cluster is known by the same name, and a bootstrap
// has nothing to do.
func (c *cluster) rotateEtcd(t *testing.T) {
	const login = "/root/former"
	host := c.names("control-plane")[0]
	former := pki.Certs([]byte(c.exec(t, host, "cat", "/etc/etcd/pki/ca.crt")))[0]
	c.exec(t, host, "cp", "-r", "/etc/etcd/pki", login)
	c.rotated(t, "etcd", "-f", c.file, "--until", "trust")
	c.rotated(t, "etcd", "-f", c.file, "--undo")
	c.membersTrust(t, former)

	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, "the etcd CA", func() {
		for _, phase := range []string{"trust", "issue", "finish"} {
			c.killed(t, 15*time.Second, "certs", "rotate-ca", "etcd", "--kubeconfig", c.kubeconfig, "--yes", "-f", c.file, "--until", phase)
			c.rotated(t, "etcd", "-f", c.file, "--until", phase)
			c.settled(t)
		}
	})
	now := pki.Certs([]byte(c.exec(t, host, "cat", "/etc/etcd/pki/ca.crt")))[0]
	if pki.Same(now, former) {
		t.Error("the CA is the former one")
	}
	c.membersTrust(t, now)
	for _, h := range c.members(t) {
		asks := []string{"/usr/local/bin/etcdctl", "--endpoints=https://" + c.addressOf(h) + ":2379", "--command-timeout=5s", "--cacert=/etc/etcd/pki/ca.crt"}
		old := c.try(t, host, nil, append(asks, "--cert="+login+"/server.crt", "--key="+login+"/server.key", "endpoint", "health")...)
		new := c.try(t, host, nil, append(asks, "--cert=/etc/etcd/pki/server.crt", "--key=/etc/etcd/pki/server.key", "endpoint", "health")...)
		if old.code == 0 || new.code != 0 {
			t.Errorf("%s: the former login: %s; the new one: %s", h, old, new)
		}
	}
	c.exec(t, host, "rm", "-r", login)
	c.checkSecondRun(t)
}

// membersTrust wants every member and every apiserver to trust one etcd CA, and no other.
func (c *cluster) membersTrust(t *testing.T, ca []byte) {
	t.Helper()
	want := func(host, file string) {
		if now := pki.Certs([]byte(c.exec(t, host, "cat", file))); len(now) != 1 || !pki.Same(now[0], ca) {
			t.Errorf("%s trusts %d etcd CAs in %s, or another one", host, len(now), file)
		}
	}
	for _, h := range c.members(t) {
		want(h, "/etc/etcd/pki/ca.crt")
	}
	for _, h := range c.names("control-plane") {
		want(h, "/etc/kubernetes/pki/etcd/ca.crt")
	}
}

func (c *cluster) rotateServiceAccount(t *testing.T) {
	ctx := context.Background()
	accounts := c.client.CoreV1().ServiceAccounts("default")
	token, err := accounts.CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	legacy := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "e2e-legacy", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}}, Type: corev1.SecretTypeServiceAccountToken}
	if _, err := c.client.CoreV1().Secrets("default").Create(ctx, legacy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		s, err := c.client.CoreV1().Secrets("default").Get(ctx, legacy.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Data[corev1.ServiceAccountTokenKey])
	}
	eventually(t, time.Minute, "the Secret has a token", func() (bool, string) { return read() != "", "it has none" })
	old := read()
	p := c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, "the key of service accounts", func() {
		c.rotated(t, "service-account", "--until", "issue")
		c.accepted(t, token.Status.Token, true)
		c.rotated(t, "service-account")
	})
	c.accepted(t, token.Status.Token, false)
	c.accepted(t, old, false)
	c.accepted(t, read(), true)
	c.reaches(t)
}

// accepted tells whether every API server takes a token.
func (c *cluster) accepted(t *testing.T, token string, want bool) {
	t.Helper()
	for _, h := range c.names("control-plane") {
		config := rest.AnonymousClientConfig(c.config)
		config.Host, config.BearerToken = "https://"+c.addressOf(h)+":6443", token
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{})
		// A service account may list nothing: forbidden says that it is known.
		if got := err == nil || apierrors.IsForbidden(err); got != want {
			t.Errorf("%s accepts the token: %t, want %t: %v", h, got, want, err)
		}
	}
}

func (c *cluster) rotateKubernetes(t *testing.T) {
	old := c.hostCA(t, "cp1", "ca.crt")[0]
	app := c.deployApp(t)
	before := rest.CopyConfig(c.config)
	watching := c.watchConfigMaps(t)

	// A rotation that is taken back leaves what was there.
	c.rotated(t, "kubernetes", "--until", "trust")
	c.rotated(t, "kubernetes", "--undo")
	c.trusts(t, old)

	p := c.prober(t, c.vip) // It trusts the former CA only.
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, "who trusts only the former CA", func() {
		lossless(t, app, "the application", func() {
			c.rotated(t, "kubernetes", "--until", "trust")
			c.settled(t)
			c.reaches(t)
			c.rotated(t, "kubernetes", "--until", "issue")
			c.settled(t)
			c.reaches(t)
		})
	})
	c.connect(t) // What the program has issued trusts both, and has a certificate of the new one.
	if r := c.rotate(t, "kubernetes"); r.code == 0 || !strings.Contains(r.String(), "default/deployment/"+appName) {
		t.Fatalf("the last phase begins though the application may not trust the new CA: %s", tail(r.String(), 3000))
	}
	p = c.prober(t, c.vip)
	if err := p.likeClientGo(); err != nil {
		t.Fatal(err)
	}
	lossless(t, p, "who trusts both", func() {
		lossless(t, app, "the application", func() { c.rotated(t, "kubernetes", "--restart-workloads", "default/deployment/"+appName) })
	})
	if err := watching(); err != nil {
		t.Errorf("the watch ended: %v", err)
	}
	c.reaches(t)
	now := c.hostCA(t, "cp1", "ca.crt")[0]
	if pki.Same(now, old) {
		t.Error("the CA is the former one")
	}
	c.trusts(t, now)
	client, err := kubernetes.NewForConfig(withCA(before, now))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a certificate of the former CA is still accepted: %v", err)
	}
	for _, h := range c.names("control-plane") {
		if r := c.try(t, h, nil, "ls", "/var/lib/kubectl-ha/certificates/rotation/kubernetes"); r.code == 0 {
			t.Errorf("keys of the rotation are left on %s: %s", h, r.stdout)
		}
	}
}

func withCA(config *rest.Config, ca []byte) *rest.Config {
	out := rest.CopyConfig(config)
	out.CAData = ca
	return out
}

// trusts wants every node to trust one CA, and no other, and the API to publish that.
func (c *cluster) trusts(t *testing.T, ca []byte) {
	t.Helper()
	for _, h := range append(c.names("control-plane"), c.names("worker")...) {
		if now := c.hostCA(t, h, "ca.crt"); len(now) != 1 || !pki.Same(now[0], ca) {
			t.Errorf("%s trusts %d CAs, or another one", h, len(now))
		}
	}
	maps, err := c.client.CoreV1().ConfigMaps(metav1.NamespaceAll).List(context.Background(), metav1.ListOptions{FieldSelector: "metadata.name=kube-root-ca.crt"})
	if err != nil || len(maps.Items) < 4 {
		t.Fatalf("%d, %v", len(maps.Items), err)
	}
	for _, m := range maps.Items {
		if now := pki.Certs([]byte(m.Data["ca.crt"])); len(now) != 1 || !pki.Same(now[0], ca) {
			t.Errorf("%s is told of %d CAs, or another one", m.Namespace, len(now))
		}
	}
}

// watchConfigMaps keeps a watch open. What it returns ends it, and says whether it had ended before.
func (c *cluster) watchConfigMaps(t *testing.T) (open func() error) {
	t.Helper()
	config := rest.CopyConfig(c.config)
	config.Timeout = 0
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	seconds := int64(7200)
	w, err := client.CoreV1().ConfigMaps("default").Watch(context.Background(), metav1.ListOptions{TimeoutSeconds: &seconds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	ended := make(chan error, 1)
	go func() {
		for range w.ResultChan() {
		}
		ended <- fmt.Errorf("its channel was closed")
	}()
	return func() error {
		select {
		case err := <-ended:
			return err
		default:
			return nil
		}
	}
}
