package vip

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// network is some hosts in namespaces, each with a real keepalived.
type network struct {
	t      *testing.T
	binary string
	dir    string
	names  []string
	// logs are what each host's keepalived says.
	logs []*output
}

// output is what a program prints, read while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// ip runs an ip command that has to succeed.
func (n *network) ip(args ...string) string {
	n.t.Helper()
	out, err := exec.CommandContext(n.t.Context(), "ip", args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func newNetwork(t *testing.T, hosts int) *network {
	t.Helper()
	binary := os.Getenv("KEEPALIVED")
	if binary == "" {
		t.Skip("KEEPALIVED does not name a keepalived binary")
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := &network{t: t, binary: binary, dir: t.TempDir()}
	prefix := fmt.Sprintf("kha%d", os.Getpid())
	bridge := prefix + "br"
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", bridge).CombinedOutput(); err != nil {
		t.Skipf("network namespaces can't be made here: %s", out)
	}
	drop := func(name string) {
		t.Cleanup(func() {
			if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	drop(bridge)
	n.ip("-n", bridge, "link", "add", "br0", "type", "bridge")
	n.ip("-n", bridge, "link", "set", "br0", "up")
	for i := range hosts {
		name := fmt.Sprintf("%s-%d", prefix, i)
		n.ip("netns", "add", name)
		drop(name)
		n.ip("-n", bridge, "link", "add", fmt.Sprintf("v%d", i), "type", "veth", "peer", "name", "eth0", "netns", name)
		n.ip("-n", bridge, "link", "set", fmt.Sprintf("v%d", i), "master", "br0", "up")
		n.ip("-n", name, "link", "set", "lo", "up")
		n.ip("-n", name, "address", "add", fmt.Sprintf("10.0.0.%d/24", i+1), "dev", "eth0")
		n.ip("-n", name, "link", "set", "eth0", "up")
		n.names = append(n.names, name)
	}
	return n
}

func (n *network) file(i int, name string) string {
	return filepath.Join(n.dir, fmt.Sprintf("%s-%d", name, i))
}

// configure writes the i-th host's configuration, as a run writes it, but for where the
// track files are.
func (n *network) configure(i int, milliseconds int32) {
	n.t.Helper()
	s := testSpec()
	s.AdvertisementMilliseconds, s.Address, s.Priority, s.Peers = milliseconds, fmt.Sprintf("10.0.0.%d", i+1), PriorityOf(i, len(n.names)), nil
	for j := range n.names {
		if j != i {
			s.Peers = append(s.Peers, fmt.Sprintf("10.0.0.%d", j+1))
		}
	}
	conf := string(s.conf(place{"eth0", netip.MustParsePrefix("10.0.0.100/24")}))
	for file, value := range map[string]string{HealthFile: "0\n", DrainFile: "0\n", HolderFile: map[bool]string{true: "1\n", false: "0\n"}[i == 0]} {
		own := n.file(i, filepath.Base(file))
		conf = strings.ReplaceAll(conf, file+"\n", own+"\n")
		if err := os.WriteFile(own, []byte(value), 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := os.WriteFile(n.file(i, "conf"), []byte(conf), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// start runs keepalived on each host, until the test's end.
func (n *network) start() (daemons []*exec.Cmd) {
	n.t.Helper()
	for i, name := range n.names {
		daemon := exec.Command("ip", "netns", "exec", name, n.binary, "--dont-fork", "--log-console", "--use-file", n.file(i, "conf"),
			"--pid", n.file(i, "pid"), "--vrrp_pid", n.file(i, "vrrp-pid"))
		log := &output{}
		n.logs = append(n.logs, log)
		daemon.Stdout, daemon.Stderr = log, log
		if err := daemon.Start(); err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() {
			if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
				n.t.Error(err)
			}
			_ = daemon.Wait() // It was told to end.
			if n.t.Failed() {
				n.t.Logf("%s:\n%s", name, log)
			}
		})
		daemons = append(daemons, daemon)
	}
	return daemons
}

func (n *network) holds(i int) bool {
	return strings.Contains(n.ip("-n", n.names[i], "address", "show", "dev", "eth0"), "10.0.0.100/")
}

// wait waits for what takes a while.
func (n *network) wait(what string, within time.Duration, cond func() bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), within)
	defer cancel()
	for !cond() {
		select {
		case <-ctx.Done():
			n.t.Fatalf("not within %s: %s", within, what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestIntervalChangesHolderFirst: real keepalived keeps the address where it is when the
// interval is changed on its holder first, to a shorter one and to a longer one.
func TestIntervalChangesHolderFirst(t *testing.T) {
	for name, c := range map[string]struct{ from, to int32 }{"shorter": {2000, 400}, "longer": {400, 2000}} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, 3)
			for i := range n.names {
				n.configure(i, c.from)
			}
			daemons := n.start()
			seen := func(i int) int { return strings.Count(n.logs[i].String(), "Entering MASTER STATE") }
			// At their start each may take it for a moment.
			before, since := []int{-1}, time.Now()
			n.wait("only the first has the address, for a while", time.Minute, func() bool {
				now := []int{seen(0), seen(1), seen(2)}
				if !slices.Equal(now, before) {
					before, since = now, time.Now()
				}
				return seen(0) > 0 && n.holds(0) && !n.holds(1) && !n.holds(2) && time.Since(since) > 3*time.Duration(c.from)*time.Millisecond
			})
			for i := range n.names {
				n.configure(i, c.to)
				if err := daemons[i].Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
				// The next host's turn comes when the task on this one has ended, which is as long
				// as systemctl takes.
				time.Sleep(300 * time.Millisecond)
			}
			// Whoever takes the holder for dead does so after three intervals.
			time.Sleep(4 * time.Duration(max(c.from, c.to)) * time.Millisecond)
			for i := range n.names {
				if now := seen(i); now != before[i] || n.holds(i) != (i == 0) {
					t.Errorf("host %d: the address came or went", i+1)
				}
			}
		})
	}
}
