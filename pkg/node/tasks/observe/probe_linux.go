package observe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// statDisk asks for the space of the file system that holds a path.
func statDisk(path string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Disk{}, err
	}
	size := uint64(s.Bsize)
	return Disk{TotalBytes: s.Blocks * size, FreeBytes: s.Bavail * size}, nil
}

// arpProbe asks the network of an interface who has an IPv4 address.
func arpProbe(ctx context.Context, device string, address net.IP, within time.Duration) (mac net.HardwareAddr, err error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	if len(i.HardwareAddr) != 6 {
		return nil, fmt.Errorf("the interface %s is not an Ethernet", device)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(networkOrder(etherTypeARP)))
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(etherTypeARP), Ifindex: i.Index}); err != nil {
		return nil, fmt.Errorf("bind a packet socket: %w", err)
	}
	deadline := time.Now().Add(within)
	buffer := make([]byte, 1500)
	var asked time.Time
	for ctx.Err() == nil && time.Now().Before(deadline) {
		if time.Since(asked) > within/3 {
			if err := unix.Sendto(fd, arpFrame(i.HardwareAddr, address), 0,
				&unix.SockaddrLinklayer{Protocol: networkOrder(etherTypeARP), Ifindex: i.Index, Halen: 6}); err != nil {
				return nil, fmt.Errorf("send an ARP request: %w", err)
			}
			asked = time.Now()
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(within.Milliseconds()/10))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for an ARP reply: %w", err)
		}
		if ready <= 0 {
			continue
		}
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			return nil, fmt.Errorf("read an ARP reply: %w", err)
		}
		if mac := arpAnswer(buffer[:n], address, i.HardwareAddr); mac != nil {
			return mac, nil
		}
	}
	return nil, nil
}

// networkOrder is a 16-bit number as packet sockets want it.
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// joinGroup makes an interface take a multicast group's packets.
func joinGroup(conn *net.IPConn, device string, group net.IP) error {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var joinErr error
	err = raw.Control(func(fd uintptr) {
		if v4 := group.To4(); v4 != nil {
			joinErr = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
				&unix.IPMreqn{Multiaddr: [4]byte(v4), Ifindex: int32(i.Index)})
			return
		}
		joinErr = unix.SetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
			&unix.IPv6Mreq{Multiaddr: [16]byte(group.To16()), Interface: uint32(i.Index)})
	})
	return errors.Join(err, joinErr)
}
