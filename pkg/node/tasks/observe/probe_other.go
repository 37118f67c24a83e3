//go:build !linux

package observe

import (
	"context"
	"errors"
	"net"
	"time"
)

var errNotLinux = errors.New("hosts are Linux machines: this system is none")

func statDisk(string) (Disk, error) { return Disk{}, errNotLinux }

func arpProbe(context.Context, string, net.IP, time.Duration) (net.HardwareAddr, error) {
	return nil, errNotLinux
}

func joinGroup(*net.IPConn, string, net.IP) error { return errNotLinux }
