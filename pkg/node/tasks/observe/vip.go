package observe

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	// arpWithin is how long an answer for the virtual IP is waited for.
	arpWithin = 300 * time.Millisecond
	// vrrpWithin is how long advertisements are listened for: most routers
	// send one a second at least.
	vrrpWithin = time.Second
)

// virtualIP asks the network whether somebody has the virtual IP.
func (o *observer) virtualIP(ctx context.Context) {
	vip := net.ParseIP(o.spec.VirtualIP)
	if vip == nil || o.facts.VirtualIPHere || o.facts.Interface == "" {
		return
	}
	if vip.To4() == nil {
		o.facts.VirtualIPAnswers = o.dialVirtualIP(ctx)
		return
	}
	mac, err := arpProbe(ctx, o.facts.Interface, vip.To4(), arpWithin)
	if err != nil {
		o.warn("the network can't be asked for %s by ARP, a connection is tried instead: %v", vip, err)
		o.facts.VirtualIPAnswers = o.dialVirtualIP(ctx)
		return
	}
	if mac != nil {
		o.facts.VirtualIPAnswers = mac.String()
	}
}

// dialVirtualIP tells whether anybody answers there, be it with a refusal.
func (o *observer) dialVirtualIP(ctx context.Context) string {
	d := net.Dialer{Timeout: arpWithin}
	address := net.JoinHostPort(o.spec.VirtualIP, strconv.Itoa(int(o.spec.APIServerPort)))
	conn, err := d.DialContext(ctx, "tcp", address)
	switch {
	case err == nil:
		if err := conn.Close(); err != nil {
			o.warn("close the connection to %s: %v", address, err)
		}
		return "a connection to " + address
	case errors.Is(err, syscall.ECONNREFUSED):
		return "a refused connection to " + address
	}
	return ""
}

// vrrp listens for the advertisements of routers that are not ours.
func (o *observer) vrrp(ctx context.Context) {
	if !o.spec.ListenVRRP || o.facts.Interface == "" {
		return
	}
	known := map[string]bool{}
	for _, p := range append([]string{o.spec.Address}, o.spec.Peers...) {
		if ip := net.ParseIP(p); ip != nil {
			known[ip.String()] = true
		}
	}
	adverts, err := listenVRRP(ctx, o.facts.Interface, net.ParseIP(o.spec.Address), vrrpWithin)
	if err != nil {
		o.warn("VRRP advertisements can't be listened for: %v", err)
	}
	for _, a := range adverts {
		if !known[a.from.String()] {
			o.facts.VRRPRouters = append(o.facts.VRRPRouters, a.router)
		}
	}
	o.facts.VRRPRouters = sortedUnique(o.facts.VRRPRouters)
}

// advert is one VRRP advertisement.
type advert struct {
	from   net.IP
	router int
}

// parseVRRP reads an advertisement: RFC 3768 (version 2) and RFC 9568 (version
// 3) have version and type in the first byte, and the router id in the second.
func parseVRRP(packet []byte) (router int, ok bool) {
	const advertisement = 1
	if len(packet) < 8 || packet[0]&0x0f != advertisement {
		return 0, false
	}
	if version := packet[0] >> 4; version != 2 && version != 3 {
		return 0, false
	}
	return int(packet[1]), packet[1] != 0
}

// listenVRRP hears IP protocol 112, sent to this host or to VRRP's group.
func listenVRRP(ctx context.Context, device string, address net.IP, within time.Duration) ([]advert, error) {
	network, group := "ip4:112", net.IPv4(224, 0, 0, 18)
	if address.To4() == nil {
		network, group = "ip6:112", net.ParseIP("ff02::12")
	}
	conn, err := net.ListenIP(network, nil)
	if err != nil {
		return nil, err
	}
	joinErr := joinGroup(conn, device, group)
	stop := context.AfterFunc(ctx, func() {
		// Ends the read below; there is nothing to do if it can't be set.
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var heard []advert
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFromIP(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return heard, errors.Join(joinErr, conn.Close())
		}
		if err != nil {
			return heard, errors.Join(joinErr, err, conn.Close())
		}
		if router, ok := parseVRRP(buffer[:n]); ok {
			heard = append(heard, advert{from: from.IP, router: router})
		}
	}
}
