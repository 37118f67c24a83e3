//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster is a lab with a cluster on it.
type cluster struct {
	*lab
	file       string
	kubeconfig string
	vip        string
	config     *rest.Config
	client     *kubernetes.Clientset
	// spare are hosts of the lab that are not in it.
	spare []string
	// balancer: the load balancer was installed.
	balancer bool
	// trail is what was seen after each interruption of its bootstrap.
	trail []sighting
	// printed is all that the runs of its bootstrap printed.
	printed string
}

// sighting is what must never change once it is there.
type sighting struct {
	interruptedAt string
	clusterCA     map[string]string
	etcdCA        map[string]string
	etcdID        string
}

// reuse takes the cluster that an earlier run with E2E_KEEP left, by the folder
// it left. Its bootstrap is not repeated, so TestBootstrapInterrupted has nothing to look at.
func reuse(t testing.TB, dir string) *cluster {
	t.Helper()
	l := &lab{name: cmp.Or(os.Getenv("E2E_LAB"), "e2e"), dir: dir, version: suite.version}
	l.cached = l.status(t)
	c := l.cluster(t, "e2e", "")
	c.bundle(t)
	c.connect(t)
	return c
}

// bundle makes the bundle once for all labs with the same Kubernetes version,
// before anything is timed or interrupted, and returns its path.
func (l *lab) bundle(t testing.TB) string {
	t.Helper()
	if out := suite.bundles[l.bundleKey()]; out != "" {
		return out
	}
	out := filepath.Join(suite.dir, "bundle-"+l.bundleKey()+".tar")
	args := []string{"bundle", "create", "--kubernetes-version", l.version, "--mirror", l.cached.Mirror, "--trust-mirror", "--out", out}
	if l.stacked {
		args = append(args, "--stacked-etcd")
	}
	if r := l.ha(t, 5*time.Minute, args...); r.code != 0 {
		t.Fatalf("bundle create: %s", r)
	}
	suite.bundles[l.bundleKey()] = out
	return out
}

// bundleKey tells the lab's bundle from others in suite.bundles.
func (l *lab) bundleKey() string {
	if l.stacked {
		return l.version + "-stacked"
	}
	return l.version
}

// ownLab brings a lab up that goes with the test.
func ownLab(t testing.TB, name, version string, size labSize) *lab {
	t.Helper()
	l := upLabOf(t, name, version, size)
	t.Cleanup(func() { l.drop(t) })
	return l
}

// cluster is one that is yet to be made on the lab, by a Cluster file; without one, of
// all hosts.
func (l *lab) cluster(t testing.TB, name, file string) *cluster {
	t.Helper()
	if file == "" {
		file = l.file(t, nil)
	}
	return &cluster{lab: l, file: file, kubeconfig: filepath.Join(l.dir, name+".kubeconfig"), vip: l.cached.VirtualIP}
}

// bootstrap makes the cluster.
func (c *cluster) bootstrap(t testing.TB) {
	t.Helper()
	c.bundle(t)
	start := time.Now()
	if r := c.ha(t, 10*time.Minute, c.bootstrapArgs()...); r.code != 0 {
		t.Fatalf("bootstrap of %s: %s\n%s", c.version, tail(r.stdout, 4000), r.stderr)
	}
	t.Logf("the bootstrap of %s took %s", c.version, time.Since(start).Round(time.Second))
	c.connect(t)
}

func (c *cluster) bootstrapArgs() []string {
	return []string{"bootstrap", "-f", c.file, "--bundle", suite.bundles[c.bundleKey()],
		"--yes", "-o", "json", "--kubeconfig-out", c.kubeconfig}
}

// interruptions is how often the shared cluster's bootstrap is interrupted:
// three times, or fifty in `make e2e-full`.
func interruptions() int {
	if suite.full {
		return 50
	}
	return 3
}

// bootstrapInterrupted runs the bootstrap, kills it n times at a random event
// (SIGKILL, or SIGINT every third time), and lets the last run finish.
func (c *cluster) bootstrapInterrupted(t testing.TB, n int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("E2E_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("interruptions: E2E_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range n {
		sig := os.Kill
		if i%3 == 1 {
			sig = os.Interrupt
		}
		at := c.killedAt(t, 1+random.IntN(40), time.Duration(random.IntN(1500))*time.Millisecond, sig)
		t.Logf("interrupted (%s) at: %s", sig, at)
		c.trail = append(c.trail, c.sight(t, at))
	}
	r := c.ha(t, 10*time.Minute, c.bootstrapArgs()...)
	c.printed += r.stdout + r.stderr
	if r.code != 0 {
		t.Fatalf("the bootstrap after %d interruptions: %s", n, r)
	}
	c.trail = append(c.trail, c.sight(t, "the end"))
}

// killedAt starts the bootstrap and sends it a signal some time after its n-th
// event. It returns what the last event was.
func (c *cluster) killedAt(t testing.TB, n int, after time.Duration, sig os.Signal) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	argv := c.haArgv(c.bootstrapArgs()...)
	// `env` execs the program, so the process that is signalled is the product.
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	defer func() { c.printed += printed.String() + stderr.String() }()
	dec := json.NewDecoder(io.TeeReader(out, &printed))
	last := "the start"
	for seen := 0; ; {
		var e struct{ Kind, Step, Host, Message string }
		if err := dec.Decode(&e); err != nil {
			break
		}
		last = strings.TrimSpace(e.Kind + " " + e.Step + " " + e.Message)
		if e.Kind == "started" || e.Kind == "done" {
			seen++
		}
		if seen == n {
			time.Sleep(after) // not a wait for anything: a random moment
			if err := cmd.Process.Signal(sig); err != nil {
				break // it had ended already
			}
			seen++
		}
	}
	err = cmd.Wait()
	t.Logf("the interrupted run ended: %v %s", err, tail(stderr.String(), 300))
	return last
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// sight looks at what must never change once it is there: the CAs and etcd's
// cluster id.
func (c *cluster) sight(t testing.TB, at string) sighting {
	t.Helper()
	s := sighting{interruptedAt: at, clusterCA: map[string]string{}, etcdCA: map[string]string{}}
	for _, h := range c.names() {
		for path, into := range map[string]map[string]string{"/etc/kubernetes/pki/ca.crt": s.clusterCA, "/etc/etcd/pki/ca.crt": s.etcdCA} {
			if r := c.try(t, h, nil, "sha256sum", path); r.code == 0 {
				into[h] = strings.Fields(r.stdout)[0]
			}
		}
	}
	for _, h := range c.members(t) {
		if id := c.etcdClusterID(t, h); id != "" {
			s.etcdID = id
			break
		}
	}
	return s
}

// members are the hosts with an etcd member.
func (c *cluster) members(t testing.TB) []string {
	t.Helper()
	if etcd := c.names("etcd"); len(etcd) > 0 {
		return etcd
	}
	return c.names("control-plane")
}

// etcdctl runs etcdctl on a member with the member's own certificate.
func (c *cluster) etcdctl(t testing.TB, host string, args ...string) result {
	t.Helper()
	if c.stacked {
		const pki = "/etc/kubernetes/pki/etcd/"
		return c.try(t, host, nil, append([]string{"kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--cache-dir=/run/e2e-kubectl", "--request-timeout=10s", "-n", "kube-system", "exec", "etcd-" + host, "--",
			"etcdctl", "--endpoints=https://127.0.0.1:2379", "--command-timeout=3s", "--cacert=" + pki + "ca.crt", "--cert=" + pki + "healthcheck-client.crt", "--key=" + pki + "healthcheck-client.key"}, args...)...)
	}
	return c.try(t, host, nil, append([]string{"/usr/local/bin/etcdctl", "--endpoints=https://127.0.0.1:2379", "--command-timeout=3s",
		"--cacert=/etc/etcd/pki/ca.crt", "--cert=/etc/etcd/pki/server.crt", "--key=/etc/etcd/pki/server.key"}, args...)...)
}

// memberNames are the members that a host's member knows, in the order of their names. Each votes.
func (c *cluster) memberNames(t testing.TB, host string) []string {
	t.Helper()
	r := c.etcdctl(t, host, "member", "list", "-w", "json")
	var list struct {
		Members []struct {
			Name    string `json:"name"`
			Learner bool   `json:"isLearner"`
		} `json:"members"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("etcdctl member list on %s: %v %s", host, err, r)
	}
	var names []string
	for _, m := range list.Members {
		if m.Learner {
			t.Errorf("%s is a learner", m.Name)
		}
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

func (c *cluster) etcdClusterID(t testing.TB, host string) string {
	t.Helper()
	r := c.etcdctl(t, host, "endpoint", "status", "-w", "json")
	if r.code != 0 {
		return ""
	}
	var st []struct {
		Status struct {
			Header struct {
				ClusterID json.Number `json:"cluster_id"`
			} `json:"header"`
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &st); err != nil || len(st) == 0 {
		t.Fatalf("etcdctl endpoint status: %v %s", err, r)
	}
	return st[0].Status.Header.ClusterID.String()
}

// connect opens the kubeconfig the bootstrap wrote.
func (c *cluster) connect(t testing.TB) {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	// A dead holder of the address must not hang a request for minutes.
	cfg.Timeout = 5 * time.Second
	cfg.Dial = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	cfg.QPS, cfg.Burst = 100, 200
	c.config = cfg
	if c.client, err = kubernetes.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
}

// prober makes a prober for the virtual IP, or for any other address.
func (c *cluster) prober(t testing.TB, address string) *prober {
	t.Helper()
	p, err := newProber("https://"+net.JoinHostPort(address, "6443")+"/readyz", c.config.CAData)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// holders returns the hosts that have the virtual IP on an interface.
func (c *cluster) holders(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, h := range c.names("control-plane") {
		if r := c.try(t, h, nil, "ip", "-o", "addr", "show", "to", c.vip); r.code == 0 && strings.TrimSpace(r.stdout) != "" {
			out = append(out, h)
		}
	}
	return out
}

// holder returns the one host that has the virtual IP, waiting for it.
func (c *cluster) holder(t testing.TB) string {
	t.Helper()
	var hs []string
	eventually(t, 30*time.Second, "exactly one host has the virtual IP", func() (bool, string) {
		hs = c.holders(t)
		return len(hs) == 1, fmt.Sprint(hs)
	})
	return hs[0]
}

// settled waits until the whole cluster is well: every apiserver answers
// itself, every node is Ready, one host has the virtual IP, and every etcd member is healthy.
func (c *cluster) settled(t testing.TB) {
	t.Helper()
	for _, h := range c.cached.Hosts {
		if h.Role != "control-plane" || slices.Contains(c.spare, h.Name) {
			continue
		}
		p := c.prober(t, h.Address)
		eventually(t, 90*time.Second, h.Name+"'s apiserver is ready", func() (bool, string) {
			resp, err := p.client.Get(p.url)
			if err != nil {
				return false, err.Error()
			}
			resp.Body.Close()
			return resp.StatusCode == 200, resp.Status
		})
	}
	for _, member := range c.members(t) {
		if slices.Contains(c.spare, member) {
			continue
		}
		eventually(t, 60*time.Second, member+"'s etcd member is healthy", func() (bool, string) {
			r := c.etcdctl(t, member, "endpoint", "health")
			return r.code == 0, r.stderr
		})
	}
	c.holder(t)
	eventually(t, 120*time.Second, "all nodes are Ready", func() (bool, string) {
		nodes, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		for _, n := range nodes.Items {
			if !ready(n) {
				return false, n.Name + " is not"
			}
		}
		return len(nodes.Items) == len(c.names("control-plane", "worker"))-len(c.spare), fmt.Sprintf("%d nodes", len(nodes.Items))
	})
}

func ready(n corev1.Node) bool {
	for _, cond := range n.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}
