package vip

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	// ConfigPath is keepalived's own configuration file.
	ConfigPath = "/etc/keepalived/keepalived.conf"
	// configMark is the first line of a configuration that we wrote.
	configMark = "# Written by kubectl-ha; changes are lost."
)

// ours tells whether a keepalived.conf was written by us.
func ours(conf []byte) bool { return bytes.HasPrefix(conf, []byte(configMark)) }

// place is where the virtual IP goes.
type place struct {
	Interface string
	// Prefix is the virtual IP with its length.
	Prefix netip.Prefix
}

// validate finds what can't work before anything is changed.
func (s Spec) validate() error {
	vip, err := netip.ParseAddr(s.VirtualIP)
	if err != nil {
		return fmt.Errorf("virtualIP: %q is not an IP address", s.VirtualIP)
	}
	for _, a := range append([]string{s.Address}, s.Peers...) {
		addr, err := netip.ParseAddr(a)
		switch {
		case err != nil:
			return fmt.Errorf("virtual IP: the control plane's address %q is not an IP address", a)
		case addr == vip:
			return fmt.Errorf("virtualIP: %s is the address of a control plane; it must be one that nobody has", vip)
		case addr.Is4() != vip.Is4():
			return fmt.Errorf("virtualIP: %s and the control plane's address %s are not of the same family", vip, addr)
		}
	}
	if slices.Contains(s.Peers, s.Address) {
		return fmt.Errorf("virtual IP: the host %s is among its own peers", s.Address)
	}
	if s.RouterID < 1 || s.RouterID > 255 {
		return fmt.Errorf("keepalived.routerID: %d is not between 1 and 255", s.RouterID)
	}
	// RFC 5798, 5.2.7: centiseconds in 12 bits.
	if ms := s.AdvertisementMilliseconds; ms < 10 || ms > 40950 || ms%10 != 0 {
		return fmt.Errorf("keepalived.advertisementIntervalMilliseconds: %d is not between 10 and 40950 in steps of 10", ms)
	}
	if s.Priority < LowestPriority || s.Priority > HighestPriority {
		return fmt.Errorf("virtual IP: the base priority %d is not between %d and %d", s.Priority, LowestPriority, HighestPriority)
	}
	if s.APIServerPort < 1 || s.APIServerPort > 65535 {
		return fmt.Errorf("apiServerPort: %d is not a port", s.APIServerPort)
	}
	return nil
}

// conf is keepalived's configuration. keepalived.conf(5) tells of each setting;
// it reads the same from 2.1 on.
func (s Spec) conf(at place) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `%s
global_defs {
    router_id kubectl-ha-%d
    vrrp_version 3
    # Only the peers below may speak.
    vrrp_check_unicast_src
    # Tell the network three times of a move, and again now and then, for switches
    # and hosts that missed it.
    vrrp_garp_master_delay 1
    vrrp_garp_master_repeat 3
    vrrp_garp_master_refresh 10
    # After a partition the one who yields makes the other tell the network anew.
    vrrp_higher_prio_send_advert true
    # Advertisements are due in fractions of a second, whatever else runs. -1: no
    # real-time scheduling on top, and no advice to use it in the log.
    vrrp_priority -10
    max_auto_priority -1
}

track_file apiserver {
    file %s
    weight %d
}

track_file drain {
    file %s
    weight %d
}

track_file holder {
    file %s
    weight %d
}

vrrp_instance kubernetes {
    state BACKUP
    interface %s
    virtual_router_id %d
    priority %d
    advert_int %s
`, configMark, s.RouterID, HealthFile, weightHealth, DrainFile, weightDrain, HolderFile, weightHolder, at.Interface, s.RouterID, s.Priority, seconds(s.AdvertisementMilliseconds))
	if len(s.Peers) > 0 {
		fmt.Fprintf(&b, "    unicast_src_ip %s\n    unicast_peer {\n", s.Address)
		for _, p := range slices.Sorted(slices.Values(s.Peers)) {
			fmt.Fprintf(&b, "        %s\n", p)
		}
		b.WriteString("    }\n")
	}
	fmt.Fprintf(&b, "    virtual_ipaddress {\n        %s dev %s\n    }\n    track_file {\n        apiserver\n        drain\n        holder\n    }\n}\n", at.Prefix, at.Interface)
	return []byte(b.String())
}

// seconds writes milliseconds as keepalived wants them: 0.2.
func seconds(ms int32) string {
	return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64)
}
