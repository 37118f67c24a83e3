package observe

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// systemInterfaces lists the interfaces of the host that are up.
func systemInterfaces() ([]iface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var found []iface
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		one := iface{name: i.Name, index: i.Index, mac: i.HardwareAddr.String(), loopback: i.Flags&net.FlagLoopback != 0}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				one.addrs = append(one.addrs, *n)
			}
		}
		// Interfaces made by software have no device.
		_, err = os.Stat("/sys/class/net/" + i.Name + "/device")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		one.hasDev = err == nil
		found = append(found, one)
	}
	return found, nil
}

// defaultRoute looks for one in the kernel's main tables, IPv4 and IPv6, and tells
// over which interface it leads.
func (o *observer) defaultRoute() (over string, there bool) {
	for line := range strings.Lines(o.text("/proc/net/route")) {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask …
		f := strings.Fields(line)
		if len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return f[0], true
		}
	}
	for line := range strings.Lines(o.text("/proc/net/ipv6_route")) {
		// destination, prefix length, …, interface; the loopback's entries reject.
		f := strings.Fields(line)
		if len(f) == 10 && strings.Trim(f[0], "0") == "" && f[1] == "00" && f[9] != "lo" {
			return f[9], true
		}
	}
	return "", false
}

// ownerKnown bounds how long a socket may have no process. One that ends has let go of its files
// before its sockets are gone, and one that begins is listed only the next time.
const ownerKnown = 2 * time.Second

// listeners tells who listens on the ports asked for.
func (o *observer) listeners(ctx context.Context) {
	unknown := errors.New("a socket has no process")
	// That some have none at the end of it is a fact like any other.
	_ = host.Until(ctx, ownerKnown, 50*time.Millisecond, func(context.Context) error {
		o.facts.Listeners = o.lookAtListeners()
		for _, who := range o.facts.Listeners {
			if who == unknownProcess {
				return unknown
			}
		}
		return nil
	}, func(seen error) error { return seen })
}

// unknownProcess is who listens where no process has the socket, such as the kernel.
const unknownProcess = "an unknown process"

// lookAtListeners looks once, at /proc/net/tcp: https://docs.kernel.org/networking/proc_net_tcp.html
func (o *observer) lookAtListeners() map[int32]string {
	inodes := map[string]int32{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for inode, port := range listening(o.text(table)) {
			if slices.Contains(o.spec.Ports, port) {
				inodes[inode] = port
			}
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	found := map[int32]string{}
	for _, port := range inodes {
		found[port] = unknownProcess
	}
	processes, err := o.h.ReadDir("/proc")
	if err != nil {
		return found
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd"
		// A process may end while it is looked at.
		fds, err := os.ReadDir(o.h.Path(dir))
		if err != nil {
			continue
		}
		for _, fd := range fds {
			link, err := os.Readlink(o.h.Path(dir + "/" + fd.Name()))
			if err != nil || !strings.HasPrefix(link, "socket:[") {
				continue
			}
			if port, ok := inodes[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")]; ok {
				found[port] = sprintf("%s (pid %s)", o.text("/proc/"+p.Name()+"/comm"), p.Name())
			}
		}
	}
	return found
}

// listening reads a table of sockets: inode to port of those in state LISTEN.
func listening(table string) map[string]int32 {
	const stateListen = "0A"
	found := map[string]int32{}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != stateListen {
			continue
		}
		_, hex, ok := strings.Cut(f[1], ":")
		if !ok {
			continue
		}
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			found[f[9]] = int32(port)
		}
	}
	return found
}
