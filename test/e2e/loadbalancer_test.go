//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	balancedPort = "8443"
	// outOfRotation and streamsEnd are what the load balancer promises of an apiserver
	// that fails; backAgain is when 200 clients have their watches back.
	outOfRotation, streamsEnd, backAgain = 3 * time.Second, 10 * time.Second, 15 * time.Second
)

// installBalancer sets the load balancer up for everybody, and has it removed at the end
// of the test.
func (c *cluster) installBalancer(t *testing.T, kind string) {
	t.Helper()
	t.Cleanup(func() {
		if r := c.whenFree(t, "loadbalancer", "remove", "--kubeconfig", c.kubeconfig, "--yes"); r.code != 0 {
			t.Errorf("loadbalancer remove: %s", r)
		}
	})
	c.changeBalancer(t, kind)
}

func (c *cluster) changeBalancer(t *testing.T, kind string) {
	t.Helper()
	r := c.whenFree(t, "loadbalancer", "install", "--type", kind, "--use-for", "kube-proxy,kubelets,kubeconfig", "--kubeconfig", c.kubeconfig, "--yes")
	if r.code != 0 {
		t.Fatalf("loadbalancer install: %s", r)
	}
	c.balancer = true
}

// whenFree runs what creates an Operation, once none is in progress: on a cluster that
// others use too there may be one.
func (c *cluster) whenFree(t *testing.T, args ...string) result {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(2 * time.Second) {
		r := c.ha(t, 8*time.Minute, args...)
		if r.code == 0 || !strings.Contains(r.stderr, "is not finished") || time.Now().After(end) {
			return r
		}
	}
}

// balancers is what `loadbalancer status` tells of them.
type balancers struct {
	Pods []struct {
		Node    string
		Servers []struct {
			Name string
			Up   bool
		}
	}
	KubeProxy, ClusterInfo string
}

// balancers looks at the load balancer once.
func (c *cluster) balancers(t *testing.T) balancers {
	t.Helper()
	var seen balancers
	r := c.ha(t, suiteDeadline, "loadbalancer", "status", "-o", "json", "--kubeconfig", c.kubeconfig)
	if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil {
		t.Fatalf("loadbalancer status: %v %s", err, r)
	}
	return seen
}

// checkBalancer: every load balancer serves and sees every apiserver, and all that was to
// use it does.
func (c *cluster) checkBalancer(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, "the load balancer is well", func() (bool, string) {
		r := c.ha(t, suiteDeadline, "loadbalancer", "status", "-o", "json", "--kubeconfig", c.kubeconfig)
		var seen balancers
		if err := json.Unmarshal([]byte(r.stdout), &seen); err != nil || r.code != 0 {
			return false, r.String()
		}
		want := "https://" + net.JoinHostPort(c.vip, balancedPort)
		return len(seen.Pods) == 3 && len(seen.Pods[0].Servers) == 3 && seen.KubeProxy == want && seen.ClusterInfo == want, r.stdout
	})
}

// balanced is a prober through the load balancer. It asks for what an apiserver needs
// etcd, and its user's rights, for. /readyz tells nothing here: of an apiserver that is
// about to end it says no for three seconds, in which all else is served.
func (c *cluster) balanced(t *testing.T) *prober {
	t.Helper()
	p, err := newProber("https://"+net.JoinHostPort(c.vip, balancedPort)+"/api/v1/namespaces/kube-system", c.config.CAData)
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.X509KeyPair(c.config.CertData, c.config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	p.client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{own}
	return p
}

// TestLoadBalancer: haproxy keeps all that is promised of a load balancer. When it is removed
// all is as it was.
func TestLoadBalancer(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	named := c.takeName(t)
	c.installBalancer(t, "haproxy")
	named()
	c.checkBalancer(t)
	t.Run("access", c.testBalancedAccess)
	t.Run("a killed apiserver", func(t *testing.T) { c.testFailing(t, true, c.killServer) })
	t.Run("a frozen apiserver", func(t *testing.T) { c.testFailing(t, true, c.freezeServer) })
	t.Run("a host without a network", func(t *testing.T) { c.testFailing(t, true, c.unplug) })
	t.Run("200 watches and a lost host", c.testWatches)
}

// TestLoadBalancerRolled: the pods are replaced under new connections, of which none fails.
// It is not in `make test`, since it wants a machine that has the time: where apiservers by
// themselves answer after seconds, nothing can be told of what is before them.
func TestLoadBalancerRolled(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.installBalancer(t, "haproxy")
	c.testRolled(t)
}

// TestLoadBalancerNginx: changed for nginx under way, and rolled, the load balancer loses
// no new connection; nginx keeps all but that other streams are left alone.
//
// It is not in `make test` for its time. Of the two changes that were run one lost nothing,
// and the other, beside the bootstrap of another cluster, 92 of 3734 requests, which came
// late; why, losesNone tells from now on.
func TestLoadBalancerNginx(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.installBalancer(t, "haproxy")
	t.Run("instead", func(t *testing.T) {
		c.losesNone(t, func() { c.changeBalancer(t, "nginx") })
		c.checkBalancer(t)
	})
	t.Run("a frozen apiserver", func(t *testing.T) { c.testFailing(t, false, c.freezeServer) })
	t.Run("a killed apiserver", func(t *testing.T) { c.testFailing(t, false, c.killServer) })
	t.Run("rolled", c.testRolled)
}

// TestLoadBalancerIdle: an idle watch, log and shell live on for ten minutes.
func TestLoadBalancerIdle(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	for _, kind := range []string{"haproxy", "nginx"} {
		t.Run(kind, func(t *testing.T) {
			c.installBalancer(t, kind)
			c.testIdle(t, 10*time.Minute)
		})
	}
}

// testBalancedAccess: the load balancer is where kubeconfigs point at, and all three
// apiservers get connections.
func (c *cluster) testBalancedAccess(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new.kubeconfig")
	r := c.ha(t, suiteDeadline, "kubeconfig", "--kubeconfig", c.kubeconfig, "--out", out)
	if r.code != 0 || !strings.Contains(r.stdout, ":"+balancedPort) {
		t.Fatal(r)
	}
	c.run(t, "kubectl", "--", "--kubeconfig", out, "get", "nodes")
	// Those that have the fewest streams are the next to get one, so they are kept open.
	streams := c.openWatches(t, c.servers(t), 60, true)
	for _, h := range c.names("control-plane") {
		if streams.on(h) == 0 {
			t.Errorf("of 60 streams none is to %s: %v", h, streams.count())
		}
	}
}

// testFailing: an apiserver that fails is out of rotation, and its streams end, within
// what is promised; without others too when spared.
func (c *cluster) testFailing(t *testing.T, spared bool, fail func(t *testing.T, host string)) {
	c.settled(t)
	c.checkBalancer(t)
	holder, victim := c.holder(t), ""
	for _, h := range c.names("control-plane") {
		if h != holder {
			victim = h
		}
	}
	servers := c.servers(t)
	streams := c.openWatches(t, servers, 30, false)
	if n := streams.on(victim); n == 0 {
		t.Fatalf("no stream to %s: %v", victim, streams.count())
	}
	began := time.Now()
	fail(t, victim)
	took := time.Since(began)
	eventually(t, streamsEnd+5*time.Second, "the streams to "+victim+" end", func() (bool, string) {
		n := streams.on(victim)
		return n == 0, fmt.Sprint(n)
	})
	ended := time.Since(began)
	t.Logf("the fault took %s to make; streams to %s ended after %s", took, victim, ended)
	if ended-took > streamsEnd {
		t.Errorf("the streams to %s ended after %s", victim, ended)
	}
	time.Sleep(time.Until(began.Add(took + outOfRotation))) // from here on it must be out
	for range 40 {
		if got := c.ask(t, servers); got == victim && !c.serves(victim) {
			t.Errorf("%s still gets connections %s later", victim, time.Since(began))
		}
	}
	if spared {
		for host, n := range streams.lost() {
			if host != victim {
				t.Errorf("%d streams to %s were ended too", n, host)
			}
		}
	}
}

// killServer ends an apiserver's process; its kubelet starts another.
func (c *cluster) killServer(t *testing.T, host string) {
	t.Helper()
	c.exec(t, host, "pkill", "-KILL", "-x", "kube-apiserver")
}

// freezeServer stops an apiserver's process until the test ends.
func (c *cluster) freezeServer(t *testing.T, host string) {
	t.Helper()
	t.Cleanup(func() { c.try(t, host, nil, "pkill", "-CONT", "-x", "kube-apiserver") })
	c.exec(t, host, "pkill", "-STOP", "-x", "kube-apiserver")
}

// unplug takes a host's network away until the test ends.
func (c *cluster) unplug(t *testing.T, host string) {
	t.Helper()
	t.Cleanup(func() { c.run(t, "heal") })
	c.run(t, "partition", host)
}

// serves tells whether an apiserver answers, asked itself.
func (c *cluster) serves(host string) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(c.addressOf(host), "6443"), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (c *cluster) addressOf(host string) string {
	for _, h := range c.cached.Hosts {
		if h.Name == host {
			return h.Address
		}
	}
	return ""
}

// testWatches: of 200 clients each of which keeps a watch, all have it again after a
// control plane was lost, and only those of that one had to.
func (c *cluster) testWatches(t *testing.T) {
	c.settled(t)
	c.checkBalancer(t)
	holder, victim := c.holder(t), ""
	for _, h := range c.names("control-plane") {
		if h != holder {
			victim = h
		}
	}
	streams := c.openWatches(t, c.servers(t), 200, true)
	before := streams.on(victim)
	t.Cleanup(func() { c.run(t, "start", victim); c.settled(t) })
	c.run(t, "kill", victim)
	lost := time.Now()
	eventually(t, backAgain, "200 watches, none to "+victim, func() (bool, string) {
		return streams.open() == 200 && streams.on(victim) == 0, fmt.Sprint(streams.count())
	})
	t.Logf("%d of 200 were on %s; all were back after %s", before, victim, time.Since(lost))
	for host, n := range streams.lost() {
		if host != victim {
			t.Errorf("%d streams to %s were ended too", n, host)
		}
	}
}

// losesNone: no new connection fails while something is done. When one does, it is told
// how each apiserver answered by itself meanwhile.
func (c *cluster) losesNone(t *testing.T, do func()) {
	t.Helper()
	p := c.balanced(t)
	direct := map[string]*prober{}
	for _, h := range c.names("control-plane") {
		direct[h] = c.prober(t, c.addressOf(h))
		direct[h].every = 100 * time.Millisecond
		defer direct[h].start()()
	}
	start := time.Now()
	stop := p.start()
	defer stop()
	do()
	stop()
	o := p.outageSince(start)
	if o.failed == 0 && o.requests >= 50 {
		t.Logf("%d requests, none failed; the slowest took %s", o.requests, p.slowestSince(start))
		for h, d := range direct {
			t.Logf("the slowest of %s by itself took %s", h, d.slowestSince(start))
		}
		return
	}
	t.Errorf("not lossless: %s\n%s", o, p.timeline(start))
	for h, d := range direct {
		t.Logf("the apiserver of %s by itself: %s; the slowest took %s\n%s", h, d.outageSince(start), d.slowestSince(start), d.timeline(start))
	}
}

// testRolled: the load balancer's own pods are replaced, and no new connection fails.
func (c *cluster) testRolled(t *testing.T) {
	c.settled(t)
	c.checkBalancer(t)
	sets := c.client.AppsV1().DaemonSets("ha-system")
	c.losesNone(t, func() {
		patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"rolled":%q}}}}}`, time.Now().String())
		ds, err := sets.Patch(context.Background(), "ha-loadbalancer", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, 4*time.Minute, "the pods are replaced", func() (bool, string) {
			now, err := sets.Get(context.Background(), "ha-loadbalancer", metav1.GetOptions{})
			if err != nil {
				return false, err.Error()
			}
			pods, err := c.client.CoreV1().Pods("ha-system").List(context.Background(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=loadbalancer"})
			if err != nil {
				return false, err.Error()
			}
			return rolledOut(now, ds.Generation) && len(pods.Items) == 3, fmt.Sprintf("%+v, %d pods", now.Status, len(pods.Items))
		})
	})
}

func rolledOut(ds *appsv1.DaemonSet, generation int64) bool {
	s := ds.Status
	return s.ObservedGeneration >= generation && s.UpdatedNumberScheduled == s.DesiredNumberScheduled && s.NumberAvailable == s.DesiredNumberScheduled
}

// testIdle: a watch in which nothing happens, the log of a pod that says nothing, and a
// shell that nobody types into are all still there after a while.
func (c *cluster) testIdle(t *testing.T, rest time.Duration) {
	out := filepath.Join(t.TempDir(), "idle.kubeconfig")
	if r := c.ha(t, suiteDeadline, "kubeconfig", "--loadbalancer", "--kubeconfig", c.kubeconfig, "--out", out); r.code != 0 {
		t.Fatal(r)
	}
	pods, err := c.client.CoreV1().Pods("kube-system").List(context.Background(), metav1.ListOptions{LabelSelector: "k8s-app=kube-proxy", FieldSelector: "status.phase=Running,spec.nodeName=cp1"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%v", err)
	}
	pod := pods.Items[0].Name
	ctx, cancel := context.WithTimeout(context.Background(), rest+time.Minute)
	defer cancel()
	ended := make(chan string, 3)
	for what, args := range map[string][]string{
		"watch": {"get", "configmap", "kube-root-ca.crt", "-w"},
		"logs":  {"logs", "-f", "--tail=1", "-n", "kube-system", pod},
		"exec":  {"exec", "-n", "kube-system", pod, "--", "sleep", "3600"},
	} {
		argv := c.argv(append([]string{"kubectl", "--", "--kubeconfig", out}, args...)...)
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		// With its children, of which kubectl is one.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		go func() {
			out, err := cmd.CombinedOutput()
			ended <- fmt.Sprintf("%s: %v %s", what, err, out)
		}()
	}
	select {
	case what := <-ended:
		t.Errorf("ended before %s: %s", rest, what)
	case <-time.After(rest):
	}
}
