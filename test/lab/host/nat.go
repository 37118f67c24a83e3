package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/run"
)

// A host with NAT has a second network interface, eth1, with its default route,
// as a virtual machine has whose first card leads out through its hypervisor. As
// there, hosts do not reach each other over it. The network is made here and not
// by Docker, which plugs the cables of a container with two networks in an order
// of its own at each start: eth0 is the lab's network for all else that a lab does.

// NATDevice is the name of the second network interface.
const NATDevice = "eth1"

// NATSubnet is the second network of the lab with that index.
func NATSubnet(index int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 78, byte(index), 0}), 24)
}

// natBridge is the second network's bridge, natGateway the machine's address on it.
func (l *Lab) natBridge() string { return "labn77-" + strconv.Itoa(l.Index) }
func (l *Lab) natGateway() string {
	return netip.AddrFrom4([4]byte{10, 78, byte(l.Index), gatewayOctet}).String()
}

// natAddress is a host's address in the second network: its last octet is that
// of the host's address.
func (l *Lab) natAddress(h Host) (string, error) {
	a, err := netip.ParseAddr(h.Address)
	if err != nil {
		return "", err
	}
	return netip.AddrFrom4([4]byte{10, 78, byte(l.Index), a.As4()[3]}).String(), nil
}

// natCable is this machine's end of the cable to a host's second interface.
func (l *Lab) natCable(address string) (string, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("labn%d-%d", l.Index, a.As4()[3]), nil
}

// ensureNAT makes the second network unless it is there or no host has one.
func (l *Lab) ensureNAT(ctx context.Context) error {
	wanted := false
	for _, h := range l.Hosts {
		wanted = wanted || h.NAT
	}
	if !wanted {
		return nil
	}
	if _, err := net.InterfaceByName(l.natBridge()); err != nil {
		if err := run.Run(ctx, run.AsRoot("ip", "link", "add", "name", l.natBridge(), "type", "bridge", "forward_delay", "0")...); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"ip", "address", "replace", l.natGateway() + "/24", "dev", l.natBridge()},
		{"ip", "link", "set", "dev", l.natBridge(), "up"},
	} {
		if err := run.Run(ctx, run.AsRoot(argv...)...); err != nil {
			return err
		}
	}
	return nil
}

// removeNAT removes the second network.
func (l *Lab) removeNAT(ctx context.Context) error {
	if _, err := net.InterfaceByName(l.natBridge()); err != nil {
		return nil
	}
	return run.Run(ctx, run.AsRoot("ip", "link", "delete", "dev", l.natBridge())...)
}

// natSteps are the commands that set up the second interface of the running host
// with that process and address: its cable is kept apart from the other ports of
// the bridge, and its default route takes the place of Docker's. The first makes
// the cable, the others can be repeated.
func (l *Lab) natSteps(pid int, address string) (add []string, set [][]string, err error) {
	near, err := l.natCable(address)
	if err != nil {
		return nil, nil, err
	}
	ns := strconv.Itoa(pid)
	inside := func(argv ...string) []string {
		return append([]string{"nsenter", "--net=/proc/" + ns + "/ns/net"}, argv...)
	}
	return []string{"ip", "link", "add", "name", near, "type", "veth", "peer", "name", NATDevice, "netns", ns}, [][]string{
		{"ip", "link", "set", "dev", near, "master", l.natBridge()},
		{"ip", "link", "set", "dev", near, "type", "bridge_slave", "isolated", "on"},
		inside("ip", "address", "replace", address+"/24", "dev", NATDevice),
		inside("ip", "link", "set", "dev", NATDevice, "up"),
		inside("ip", "route", "replace", "default", "via", l.natGateway(), "dev", NATDevice),
	}, nil
}

// plugNAT gives a running host its second interface, and pulls that cable as
// well when the host is cut off.
func (l *Lab) plugNAT(ctx context.Context, h Host, pid int, cut bool) error {
	if !h.NAT {
		return nil
	}
	address, err := l.natAddress(h)
	if err != nil {
		return err
	}
	cable, set, err := l.natSteps(pid, address)
	if err != nil {
		return err
	}
	near, err := l.natCable(address)
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "root/sys/class/net", NATDevice))
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeCable(ctx, near, cable); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	state := "up"
	if cut {
		state = "down"
	}
	for _, argv := range append(set, []string{"ip", "link", "set", "dev", near, state}) {
		if err := run.Run(ctx, run.AsRoot(argv...)...); err != nil {
			return fmt.Errorf("second network interface: %w", err)
		}
	}
	return nil
}

// makeCable makes a cable whose end on this machine is called near. The kernel
// takes its time to remove that of a host that was just stopped.
func makeCable(ctx context.Context, near string, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return poll(ctx, "second network interface", func(ctx context.Context) error {
		if _, err := net.InterfaceByName(near); err == nil {
			if err := run.Run(ctx, run.AsRoot("ip", "link", "delete", "dev", near)...); err != nil {
				return err
			}
		}
		return run.Run(ctx, run.AsRoot(argv...)...)
	})
}
