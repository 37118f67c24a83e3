//go:build !linux

package netfilter

import "errors"

var errLinux = errors.New("there is no nftables but on Linux")

// Chains is for Linux only.
func Chains() ([]string, error) { return nil, errLinux }

// Clean is for Linux only.
func Clean([]string, bool) (Found, error) { return Found{}, errLinux }
