package host

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// Uplink is what stands for a host's name when the link between the
// workstation (this machine) and the hosts is meant.
const Uplink = "uplink"

// NoRate takes a shape away.
const NoRate = "none"

var ratePattern = regexp.MustCompile(`^([0-9]+)(kbit|mbit|gbit)$`)

// burst is the token bucket for a rate such as 100mbit, in bytes: what comes
// in 10 ms, and never less than one large offloaded packet.
func burst(rate string) (int, error) {
	m := ratePattern.FindStringSubmatch(rate)
	if m == nil {
		return 0, fmt.Errorf("rate %q: a number with kbit, mbit or gbit, such as 100mbit, or %s", rate, NoRate)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n == 0 {
		return 0, fmt.Errorf("rate %q is not possible", rate)
	}
	unit := map[string]int{"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}[m[2]]
	return max(n*unit/8/100, 64<<10), nil
}

// Shape limits a host's link, both ways, or the uplink: what this machine sends
// to the hosts. Rate is as tc writes it, or NoRate.
func (m Manager) Shape(ctx context.Context, l *Lab, target, rate string) error {
	if target != Uplink {
		if _, err := l.Container(target); err != nil {
			return err
		}
	}
	if rate == NoRate {
		if l.Shapes[target] == "" {
			return nil
		}
		l.Shapes[target] = NoRate
	} else {
		if _, err := burst(rate); err != nil {
			return err
		}
		if l.Shapes == nil {
			l.Shapes = map[string]string{}
		}
		l.Shapes[target] = rate
	}
	if err := m.restoreFaults(ctx, l); err != nil {
		return err
	}
	if rate == NoRate {
		delete(l.Shapes, target)
	}
	return l.save()
}

// tbf are tc's arguments that limit what leaves through a device.
func tbf(dev, rate string) ([]string, error) {
	b, err := burst(rate)
	if err != nil {
		return nil, err
	}
	return []string{"tc", "qdisc", "replace", "dev", dev, "root", "tbf", "rate", rate, "burst", strconv.Itoa(b), "latency", "100ms"}, nil
}

// applyShape limits a running host's link as the state says: what it sends at
// its own end of the cable, what it gets at the machine's end.
func (l *Lab) applyShape(ctx context.Context, name string, pid int) error {
	rate := l.Shapes[name]
	if rate == "" {
		return nil
	}
	veth, err := cable(ctx, pid)
	if err != nil {
		return err
	}
	inside := []string{"nsenter", "--net=/proc/" + strconv.Itoa(pid) + "/ns/net"}
	if rate == NoRate {
		if err := unshape(ctx, nil, veth); err != nil {
			return err
		}
		return unshape(ctx, inside, "eth0")
	}
	outer, err := tbf(veth, rate)
	if err != nil {
		return err
	}
	if err := run.Run(ctx, run.AsRoot(outer...)...); err != nil {
		return err
	}
	inner, err := tbf("eth0", rate)
	if err != nil {
		return err
	}
	return run.Run(ctx, run.AsRoot(append(inside, inner...)...)...)
}

// applyUplink limits what this machine sends into the lab's bridge.
func (l *Lab) applyUplink(ctx context.Context) error {
	switch rate := l.Shapes[Uplink]; rate {
	case "":
		return nil
	case NoRate:
		return unshape(ctx, nil, l.bridge())
	default:
		argv, err := tbf(l.bridge(), rate)
		if err != nil {
			return err
		}
		return run.Run(ctx, run.AsRoot(argv...)...)
	}
}

// unshape puts a virtual device's own queue back.
func unshape(ctx context.Context, prefix []string, dev string) error {
	argv := append(append([]string{}, prefix...), "tc", "qdisc", "replace", "dev", dev, "root", "noqueue")
	return run.Run(ctx, run.AsRoot(argv...)...)
}
