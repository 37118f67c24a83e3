//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// resolve asks a DNS server, from a host, for the API service's address, with
// nothing but what every Debian has.
func resolve(c *cluster, t testing.TB, host, server string) (string, error) {
	t.Helper()
	// A query for kubernetes.default.svc.cluster.local, type A, over TCP through curl's telnet would be
	// obscure; DNS over plain TCP is two bytes of length and the message.
	var q []byte
	q = append(q, 0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0)
	for _, label := range strings.Split("kubernetes.default.svc.cluster.local", ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = append(q, 0, 0, 1, 0, 1)
	msg := append([]byte{byte(len(q) >> 8), byte(len(q))}, q...)
	r := c.try(t, host, msg, "socat", "-t3", "-", "TCP4:"+server+":53,connect-timeout=3")
	out := []byte(r.stdout)
	if r.code != 0 || len(out) < len(msg)+16 {
		return "", fmt.Errorf("no answer from %s: %s", server, r)
	}
	a := out[len(out)-4:]
	return fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3]), nil
}
