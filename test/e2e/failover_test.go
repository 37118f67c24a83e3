//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rounds is how often each failure is tried.
func rounds() int {
	if suite.full {
		return 10
	}
	return 3
}

// failure is one way to take the API from the virtual IP's holder.
type failure struct {
	name string
	// inject breaks the holder; repair mends it.
	inject, repair func(t *testing.T, c *cluster, holder string)
	// within is how long the API may be away from the virtual IP: in `make e2e-full`, which
	// is for machines that have the time; elsewhere it is told and not judged. Zero: not at
	// all, no request may fail.
	within time.Duration
}

func failures() []failure {
	return []failure{
		{
			name:   "holder paused",
			within: 1500 * time.Millisecond,
			inject: func(t *testing.T, c *cluster, h string) { c.run(t, "pause", h) },
			repair: func(t *testing.T, c *cluster, h string) { c.run(t, "unpause", h) },
		},
		{
			name:   "apiserver killed and kept down",
			within: 2500 * time.Millisecond,
			inject: func(t *testing.T, c *cluster, h string) {
				// The kubelet would start it again.
				c.exec(t, h, "systemctl", "stop", "kubelet")
				c.exec(t, h, "pkill", "-KILL", "-x", "kube-apiserver")
			},
			repair: func(t *testing.T, c *cluster, h string) { c.exec(t, h, "systemctl", "start", "kubelet") },
		},
		{
			name:   "address moved on purpose",
			inject: func(t *testing.T, c *cluster, h string) { c.drainVIP(t, h, true) },
			repair: func(t *testing.T, c *cluster, h string) { c.drainVIP(t, h, false) },
		},
	}
}

// TestFailover: with 50 requests a second on new connections, each failure some times
// over: another host takes the address and keeps it, the API is away for no longer than
// promised, and a write acknowledged just before is there afterwards.
func TestFailover(t *testing.T) {
	c := copyCluster(t)
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			var away []time.Duration
			for i := range rounds() {
				o := c.failOnce(t, f, fmt.Sprintf("failover-%d", i))
				t.Logf("round %d: %s", i+1, o)
				away = append(away, o.away)
				switch {
				case f.within == 0 && o.failed > 0:
					t.Errorf("round %d: not lossless: %s", i+1, o)
				case suite.full && f.within > 0 && o.away > f.within:
					t.Errorf("round %d: away for %s, more than %s: %s", i+1, o.away, f.within, o)
				case o.late > o.requests/10:
					t.Errorf("round %d: it did not stay: %s", i+1, o)
				}
			}
			t.Logf("%s: away %v", f.name, away)
		})
	}
}

// failOnce breaks the holder once, waits until the API is steady again, mends
// the holder, waits until everything is well, and returns what the prober saw of the failure.
func (c *cluster) failOnce(t *testing.T, f failure, write string) outage {
	t.Helper()
	c.settled(t)
	holder := c.holder(t)
	// Also when the test ends in the middle: the next one needs a whole cluster.
	defer f.repair(t, c, holder)
	p := c.prober(t, c.vip)
	stop := p.start()
	defer stop()
	eventually(t, 30*time.Second, "the API is steady before the failure", func() (bool, string) {
		return p.steadyFor(time.Second), p.outageSince(time.Now().Add(-time.Second)).String()
	})
	value := time.Now().String()
	c.write(t, write, value)
	start := time.Now()
	f.inject(t, c, holder)
	eventually(t, 30*time.Second, "another host has the address", func() (bool, string) {
		hs := c.holdersOutside(t, holder)
		return len(hs) == 1, fmt.Sprint(hs)
	})
	eventually(t, 30*time.Second, "the API answers again, and is looked at for a while longer", func() (bool, string) {
		o := p.outageSince(start)
		back := f.within == 0 || o.failed > 0 && o.away < time.Since(start)-2*time.Second
		return back && time.Since(start) > 4*time.Second, o.String()
	})
	stop()
	o := p.outageSince(start)
	if got := c.read(t, write); got != value {
		t.Errorf("the write acknowledged before the failure is %q, not %q", got, value)
	}
	return o
}

// holdersOutside returns who has the address, without asking one host, which may be paused.
func (c *cluster) holdersOutside(t testing.TB, without string) []string {
	t.Helper()
	var out []string
	for _, h := range c.names("control-plane") {
		if h == without {
			continue
		}
		if r := c.try(t, h, nil, "ip", "-o", "addr", "show", "to", c.vip); r.stdout != "" {
			out = append(out, h)
		}
	}
	return out
}

// drainVIP asks a host's agent to give the address away, or to take part again.
func (c *cluster) drainVIP(t testing.TB, host string, drain bool) {
	t.Helper()
	req, err := json.Marshal(map[string]any{"cluster": c.name, "task": "drain", "spec": map[string]any{"drain": drain}})
	if err != nil {
		t.Fatal(err)
	}
	// From a file: an agent whose standard input ends takes its client for gone.
	const request = "/run/e2e-drain.json"
	if r := c.try(t, host, append(req, '\n'), "tee", request); r.code != 0 {
		t.Fatal(r)
	}
	r := c.try(t, host, nil, "/usr/local/lib/kubectl-ha/bin/kubectl-ha", "agent", "run", "--request", request)
	var last struct {
		Result *struct {
			Failure *struct{ Message string }
		}
	}
	if err := json.Unmarshal(lastLine(r.stdout), &last); err != nil || last.Result == nil || last.Result.Failure != nil {
		t.Fatalf("drain on %s: %v %s", host, err, r)
	}
}

func lastLine(s string) []byte {
	var last string
	for i, j := 0, 0; i < len(s); i = j + 1 {
		for j = i; j < len(s) && s[j] != '\n'; j++ {
		}
		if j > i {
			last = s[i:j]
		}
	}
	return []byte(last)
}

// write stores a value, through the virtual IP, and returns when it is
// acknowledged. A connection that an earlier move of the address broke is no
// matter: the write is made again under the same name.
func (c *cluster) write(t testing.TB, name, value string) {
	t.Helper()
	maps := c.client.CoreV1().ConfigMaps("default")
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
	eventually(t, 20*time.Second, name+" is written", func() (bool, string) {
		_, err := maps.Update(context.Background(), cm, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = maps.Create(context.Background(), cm, metav1.CreateOptions{})
		}
		return err == nil, fmt.Sprint(err)
	})
}

func (c *cluster) read(t testing.TB, name string) string {
	t.Helper()
	value := ""
	eventually(t, 20*time.Second, name+" can be read", func() (bool, string) {
		cm, err := c.client.CoreV1().ConfigMaps("default").Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		value = cm.Data["value"]
		return true, ""
	})
	return value
}

// TestEtcdMemberStopped: one member down, whichever it is, the leader and the
// one beside the virtual IP among them: no request fails, and writes go on.
func TestEtcdMemberStopped(t *testing.T) {
	c := copyCluster(t)
	for _, member := range c.names("control-plane") {
		t.Run(member, func(t *testing.T) { c.stopMember(t, member) })
	}
}

func (c *cluster) stopMember(t *testing.T, member string) {
	t.Helper()
	c.settled(t)
	p := c.prober(t, c.vip)
	stop := p.start()
	defer stop()
	start := time.Now()
	c.exec(t, member, "systemctl", "stop", "etcd")
	for i := range 10 {
		c.write(t, fmt.Sprintf("%s-stopped-%d", member, i), "there")
	}
	eventually(t, 15*time.Second, "eight seconds with a member down", func() (bool, string) {
		return time.Since(start) > 8*time.Second, ""
	})
	stop()
	if o := p.outageSince(start); o.failed > 0 {
		t.Errorf("etcd on %s stopped: %s", member, o)
	}
	c.exec(t, member, "systemctl", "start", "etcd")
	c.settled(t)
	for i := range 10 {
		if got := c.read(t, fmt.Sprintf("%s-stopped-%d", member, i)); got != "there" {
			t.Errorf("write %d is lost: %q", i, got)
		}
	}
}

// TestPartitionHealed: the holder cut off from all the others, who choose
// another; healed, exactly one host has the address again within 3 s.
func TestPartitionHealed(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	holder := c.holder(t)
	c.run(t, "partition", holder)
	healed := false
	defer func() {
		if !healed {
			c.run(t, "heal", holder)
		}
	}()
	eventually(t, 10*time.Second, "the majority has a holder of its own", func() (bool, string) {
		hs := c.holdersOutside(t, holder)
		return len(hs) == 1, fmt.Sprint(hs)
	})
	c.run(t, "heal", holder)
	healed = true
	start := time.Now()
	eventually(t, 10*time.Second, "one holder", func() (bool, string) {
		hs := c.holders(t)
		return len(hs) == 1, fmt.Sprint(hs)
	})
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("one holder again only after %s", d)
	}
	// It stays so.
	for seen := time.Now(); time.Since(seen) < time.Second; {
		if hs := c.holders(t); len(hs) != 1 {
			t.Errorf("after one holder there were %v", hs)
		}
	}
	c.settled(t)
}

// TestAllHostsStopped: all hosts off and on again: the cluster comes back by itself.
func TestAllHostsStopped(t *testing.T) {
	c := copyCluster(t)
	c.settled(t)
	c.write(t, "before-power-cut", "there")
	c.installBalancer(t, "haproxy")
	hosts := c.names()
	c.run(t, append([]string{"stop"}, hosts...)...)
	c.run(t, append([]string{"start"}, hosts...)...)
	c.settled(t)
	c.checkDNSSpread(t)
	c.checkServiceWorks(t)
	c.checkBalancer(t)
	if got := c.read(t, "before-power-cut"); got != "there" {
		t.Errorf("a write from before is %q", got)
	}
}
