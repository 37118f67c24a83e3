package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pushed is what one push came to.
type pushed struct {
	nodes  int
	bundle string
	// size is that of the bundle's file, in bytes.
	size int64
	// spread is the time until every node held every blob, all until the images
	// were unpacked as well.
	spread, all time.Duration
	// uplink is how many bytes left the workstation, with all that belongs to it.
	uplink int64
	// workstation and agent are the most memory that either had, in bytes.
	workstation, agent int64
}

func (p pushed) print(one pushed) {
	fmt.Printf("%d nodes: %.1f MB left the workstation for a bundle of %.1f MB, ratio %.3f (aim: %.2f); every node held every blob after %.1f s, %.2f x the time for %d (aim: %.2f), all unpacked after %.1f s; memory: workstation %.0f MB (aim: %.0f), agent %.0f MB (aim: %.0f)\n",
		p.nodes, float64(p.uplink)/1e6, float64(p.size)/1e6, p.sent(), aimSent, p.spread.Seconds(), p.slower(one), one.nodes, aimSlower,
		p.all.Seconds(), float64(p.workstation)/1e6, aimWorkstation/1e6, float64(p.agent)/1e6, aimAgent/1e6)
}

// push makes a new bundle and pushes it to the first n nodes.
func (b *bench) push(ctx context.Context, n int, seed uint64) (pushed, error) {
	p := pushed{nodes: n, bundle: filepath.Join(b.dir, fmt.Sprintf("bundle-%d.tar", n))}
	l := layout{dir: filepath.Join(b.dir, fmt.Sprintf("layout-%d", n)), seed: seed}
	if err := l.write(b.size); err != nil {
		return p, err
	}
	if err := b.command(ctx, "bin/kubectl-ha", "bundle", "create", "--from", l.dir, "--out", p.bundle).Run(); err != nil {
		return p, err
	}
	info, err := os.Stat(p.bundle)
	if err != nil {
		return p, err
	}
	p.size = info.Size()
	if err := b.carry(ctx, &p); err != nil {
		return p, err
	}
	return p, p.whole()
}

// again pushes the same bundle to the same nodes.
func (b *bench) again(ctx context.Context, p pushed) (pushed, error) {
	second := pushed{nodes: p.nodes, bundle: p.bundle, size: p.size}
	return second, b.carry(ctx, &second)
}

// spreadStep is the step in the product's events that ends when every node has
// every blob.
const spreadStep = "spread"

// carry runs the push and measures it.
func (b *bench) carry(ctx context.Context, p *pushed) (err error) {
	dev, err := b.uplinkDevice()
	if err != nil {
		return err
	}
	before, err := sentBytes(dev)
	if err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	peak := make(chan int64, 1)
	go func() { peak <- agentPeak(watch) }()
	cmd := b.command(ctx, "bin/kubectl-ha", "--kubeconfig", b.kubeconfig, "images", "push", p.bundle,
		"--selector", "kubernetes.io/hostname in ("+strings.Join(b.nodes(p.nodes), ",")+")", "-o", "json")
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	p.spread, err = spreadAt(out, start)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return err
	}
	p.all = time.Since(start)
	if use, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.workstation = use.Maxrss << 10
	}
	stop()
	p.agent = <-peak
	after, err := sentBytes(dev)
	p.uplink = after - before
	return err
}

// spreadAt reads the events to their end, and returns when the blobs were
// everywhere.
func spreadAt(r io.Reader, start time.Time) (time.Duration, error) {
	var spread time.Duration
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Kind, Step, Error string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return 0, fmt.Errorf("an event that is none: %q: %w", lines.Text(), err)
		}
		if e.Step == spreadStep && e.Kind == "done" {
			spread = time.Since(start)
		}
	}
	return spread, lines.Err()
}

// uplinkDevice is the network interface behind which the hosts are.
func (b *bench) uplinkDevice() (string, error) {
	host := net.ParseIP(b.st.VirtualIP)
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.Contains(host) {
				return i.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no interface is in the network of %s", b.st.VirtualIP)
}

// sentBytes is what this machine has sent through an interface. What hosts send
// to each other is not in it.
func sentBytes(dev string) (int64, error) {
	raw, err := os.ReadFile(filepath.Join("/sys/class/net", dev, "statistics/tx_bytes"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
}

// agentPeak is the most memory that any agent on a host had, until the context
// ends: the hosts' processes are this machine's.
func agentPeak(ctx context.Context) int64 {
	var peak int64
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return peak
		case <-tick.C:
		}
		entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return peak
		}
		for _, path := range entries {
			// A process that has ended meanwhile is none to look at.
			line, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(line), "agent\x00run\x00") {
				continue
			}
			state, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
			if err != nil {
				continue
			}
			peak = max(peak, residentPeak(string(state)))
		}
	}
}

// residentPeak is VmHWM of /proc/PID/status, in bytes.
func residentPeak(status string) int64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}

func (b *bench) status(ctx context.Context) (status, error) {
	var st status
	out, err := b.output(ctx, "bin/lab", "status", "--name", labName, "-o", "json")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(out, &st)
}
