// Package kubetest runs a real kube-apiserver with a real etcd for tests, and
// a kube-controller-manager where Jobs matter. There are no nodes: a test that
// needs one plays the kubelet.
//
// The binaries are named by the environment: KUBE_APISERVER and ETCD, and
// KUBE_CONTROLLER_MANAGER for the tests that need it. Tests are skipped without.
package kubetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const (
	startTimeout = 90 * time.Second
	adminToken   = "kubetest-admin"
)

// Server is a running control plane without nodes.
type Server struct {
	// Config is an administrator's.
	Config *rest.Config
	// Kubeconfig is the path of the same as a file.
	Kubeconfig string

	dir   string
	etcd  int
	port  int
	flags []string
	api   *process
}

// Start starts etcd and a kube-apiserver, with further flags for the latter,
// and ends both with the test.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	apiserver, etcd := os.Getenv("KUBE_APISERVER"), os.Getenv("ETCD")
	if apiserver == "" || etcd == "" {
		t.Skip("KUBE_APISERVER and ETCD don't name the binaries of a real kube-apiserver and etcd")
	}
	s := &Server{dir: t.TempDir(), etcd: port(t), port: port(t), flags: flags}
	peer := port(t)
	run(t, filepath.Join(s.dir, "etcd.log"), etcd,
		"--data-dir", filepath.Join(s.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", url("http", s.etcd), "--advertise-client-urls", url("http", s.etcd),
		"--listen-peer-urls", url("http", peer), "--initial-advertise-peer-urls", url("http", peer),
		"--initial-cluster", "default="+url("http", peer))
	s.writeFiles(t)
	s.StartAPIServer(t)
	return s
}

// StartAPIServer starts the kube-apiserver, again after StopAPIServer, and
// waits until it is ready.
func (s *Server) StartAPIServer(t testing.TB) {
	t.Helper()
	f := func(name string) string { return filepath.Join(s.dir, name) }
	s.api = run(t, f("apiserver.log"), os.Getenv("KUBE_APISERVER"), append([]string{
		"--etcd-servers", url("http", s.etcd), "--secure-port", fmt.Sprint(s.port),
		"--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--cert-dir", f("certs"),
		"--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "Node,RBAC",
		"--token-auth-file", f("tokens.csv"), "--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-signing-key-file", f("sa.key"), "--service-account-key-file", f("sa.key"),
		"--disable-admission-plugins", "ServiceAccount", "--watch-cache=true", "--allow-privileged=true"}, s.flags...)...)
	kube := kubernetes.NewForConfigOrDie(s.Config)
	until(t, "the kube-apiserver to be ready, see "+f("apiserver.log"), func(ctx context.Context) bool {
		if s.api.ended() {
			data, _ := os.ReadFile(f("apiserver.log")) // Only for the message.
			t.Fatalf("the kube-apiserver has ended:\n%s", data)
		}
		code := 0
		kube.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code)
		return code == http.StatusOK
	})
	until(t, "the system namespaces", func(ctx context.Context) bool {
		for _, ns := range []string{"kube-system", "kube-public", "kube-node-lease"} {
			if _, err := kube.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{}); err != nil {
				return false
			}
		}
		_, err := kube.SchedulingV1().PriorityClasses().Get(ctx, "system-node-critical", metav1.GetOptions{})
		return err == nil
	})
}

// StopAPIServer kills the kube-apiserver; etcd stays.
func (s *Server) StopAPIServer() { s.api.kill() }

// StartControllerManager starts a kube-controller-manager with the
// controllers that these tests need: Jobs and garbage collection among them.
// Further flags come last; --controllers among them adds to these.
func (s *Server) StartControllerManager(t testing.TB, flags ...string) {
	t.Helper()
	binary := os.Getenv("KUBE_CONTROLLER_MANAGER")
	if binary == "" {
		t.Skip("KUBE_CONTROLLER_MANAGER doesn't name the binary of a real kube-controller-manager")
	}
	run(t, filepath.Join(s.dir, "controller-manager.log"), binary, append([]string{
		"--kubeconfig", s.Kubeconfig, "--leader-elect=false", "--secure-port", fmt.Sprint(port(t)), "--bind-address", "127.0.0.1",
		"--cert-dir", filepath.Join(s.dir, "kcm-certs"),
		"--controllers", "job-controller,garbage-collector-controller,deployment-controller,replicaset-controller,namespace-controller"}, flags...)...)
}

func (s *Server) writeFiles(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"sa.key":     string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
		"tokens.csv": adminToken + ",admin,1,system:masters\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host := url("https", s.port)
	// The apiserver makes its own certificate, for nobody to trust.
	s.Config = &rest.Config{Host: host, BearerToken: adminToken, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	c := api.NewConfig()
	c.Clusters["test"] = &api.Cluster{Server: host, InsecureSkipTLSVerify: true}
	c.AuthInfos["admin"] = &api.AuthInfo{Token: adminToken}
	c.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "admin"}
	c.CurrentContext = "test"
	s.Kubeconfig = filepath.Join(s.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*c, s.Kubeconfig); err != nil {
		t.Fatal(err)
	}
}

// AsServiceAccount is the configuration of who has a service account's rights, as the API knows its pods.
func AsServiceAccount(admin *rest.Config, namespace, name string) *rest.Config {
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}}
	return config
}

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// run starts a program that is killed with the test, with its output in a file.
func run(t testing.TB, logFile, binary string, args ...string) *process {
	t.Helper()
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // Killed: its error says just that.
		_ = log.Close()
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended by itself.
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// until polls a condition until it holds or the deadline passes.
func until(t testing.TB, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for !ok(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// port is a TCP port that was free a moment ago.
func port(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // Nothing was sent.
	return l.Addr().(*net.TCPAddr).Port
}

func url(scheme string, port int) string { return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port) }
