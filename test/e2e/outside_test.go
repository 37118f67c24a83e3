//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestHostsReachNothingOutside: a host reaches other hosts, the mirror and the
// workstation. A connection to any other address is refused at once, so that no
// test's outcome depends on what the machine's network answers. The addresses
// are those that RFC 5737 and RFC 3849 keep for documentation.
func TestHostsReachNothingOutside(t *testing.T) {
	c := sharedCluster(t)
	for _, host := range []string{"cp1", "w1"} {
		for _, url := range []string{"http://198.51.100.1/", "http://203.0.113.1:443/", "http://198.51.100.1:53/", "http://[2001:db8::1]/"} {
			r := c.try(t, host, nil, "curl", "--silent", "--max-time", "20", "--output", "/dev/null", "--write-out", "%{time_total}", url)
			// 7: the connection failed. 28 would be a time-out, others an answer. What is not refused is tried again after 1 s.
			if took, err := strconv.ParseFloat(strings.TrimSpace(r.stdout), 64); r.code != 7 || err != nil || took > 1 {
				t.Errorf("%s to %s: %s, want exit code 7 in less than 1 s", host, url, r)
			}
		}
		if r := c.try(t, host, nil, "curl", "--silent", "--show-error", "--fail", "--max-time", "20", c.cached.Mirror+"/dl.k8s.io/release/stable.txt"); r.code != 0 {
			t.Errorf("%s to the mirror: %s", host, r)
		}
		// A name that is not the lab's has no address, and that is said soon as well.
		begin := time.Now()
		if r := c.try(t, host, nil, "getent", "hosts", "outside.example"); r.code == 0 || time.Since(begin) > 15*time.Second {
			t.Errorf("%s: outside.example after %s: %s", host, time.Since(begin), r)
		}
		for _, h := range c.cached.Hosts {
			if r := c.try(t, host, nil, "socat", "/dev/null", "TCP4:"+h.Address+":22,connect-timeout=10"); r.code != 0 {
				t.Errorf("%s to %s: %s", host, h.Name, r)
			}
		}
	}
}
