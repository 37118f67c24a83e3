package vip

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// link is what `ip -json address` tells of an interface.
type link struct {
	Name      string `json:"ifname"`
	Addresses []struct {
		Local        string `json:"local"`
		PrefixLength int    `json:"prefixlen"`
	} `json:"addr_info"`
}

func links(ctx context.Context, h *host.Host) ([]link, error) {
	out, err := h.Query(ctx, host.Command{Argv: []string{"ip", "-json", "address", "show"}, Timeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("look at the host's interfaces: %w", err)
	}
	var all []link
	if err := json.Unmarshal(out.Stdout, &all); err != nil {
		return nil, fmt.Errorf("look at the host's interfaces: %w", err)
	}
	return all, nil
}

// locate finds the interface for the virtual IP, and its prefix length there.
func (s Spec) locate(all []link) (place, error) {
	vip, err := netip.ParseAddr(s.VirtualIP)
	if err != nil {
		return place{}, err
	}
	own, err := netip.ParseAddr(s.Address)
	if err != nil {
		return place{}, err
	}
	known := false
	for _, l := range all {
		if s.Interface != "" && l.Name != s.Interface {
			continue
		}
		known = known || s.Interface != ""
		for _, a := range l.Addresses {
			addr, err := netip.ParseAddr(a.Local)
			if err != nil || addr == vip {
				continue
			}
			prefix := netip.PrefixFrom(addr, a.PrefixLength)
			if s.Interface == "" && addr != own || s.Interface != "" && !prefix.Contains(vip) {
				continue
			}
			if !prefix.Contains(vip) {
				return place{}, host.WithHint(fmt.Errorf("the virtual IP %s is outside of the subnet %s of the interface %s, which has the host's address", vip, prefix.Masked(), l.Name),
					"set virtualIP to a free address of that subnet, or keepalived.interface to the interface that it belongs on")
			}
			if vip.Is6() {
				// With its whole length keepalived deprecates the address, so that
				// no connection of the host's own begins from it.
				return place{l.Name, netip.PrefixFrom(vip, vip.BitLen())}, nil
			}
			return place{l.Name, netip.PrefixFrom(vip, a.PrefixLength)}, nil
		}
	}
	switch {
	case s.Interface == "":
		return place{}, host.WithHint(fmt.Errorf("no interface has the address %s", s.Address), "correct the host's address in the Cluster file")
	case !known:
		return place{}, host.WithHint(fmt.Errorf("there is no interface %s", s.Interface), "correct keepalived.interface, or leave it out")
	}
	return place{}, host.WithHint(fmt.Errorf("the interface %s has no address in the subnet of the virtual IP %s", s.Interface, vip),
		"correct keepalived.interface or virtualIP")
}

// holds tells whether any interface has the address.
func holds(all []link, address string) bool {
	want, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, l := range all {
		for _, a := range l.Addresses {
			if got, err := netip.ParseAddr(a.Local); err == nil && got == want {
				return true
			}
		}
	}
	return false
}
