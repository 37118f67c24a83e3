//go:build !linux

package vip

import (
	"errors"
	"net/netip"
)

// hold is for hosts, which run Linux.
func hold(netip.Addr) (func() error, error) {
	return nil, errors.New("new connections can only be held on Linux")
}
