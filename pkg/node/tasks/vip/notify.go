package vip

import (
	"fmt"
	"net"
	"strings"
)

// notify tells systemd something, by sd_notify(3)'s protocol: one datagram to
// a socket of the file system or, with a leading @, the abstract namespace.
func notify(socket, message string) error {
	if socket == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(socket, "@"); ok {
		socket = "\x00" + name
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer conn.Close() //nolint:errcheck // a datagram is sent or not by then
	if _, err := conn.Write([]byte(message)); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}
