package balancer

import (
	"fmt"
	"net"
	"strings"
)

// nginxConfig is nginx's configuration, for 1.22 and all later ones. down are the names
// of those that fail their checks; all of them is none of them.
// https://nginx.org/en/docs/stream/ngx_stream_proxy_module.html
func nginxConfig(s Settings, backends []Backend, down map[string]bool, connections int, listen net.Addr, pidFile string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `worker_processes 2;
daemon off;
pid %s;
# A client that goes away is no error; who is down is told elsewhere.
error_log stderr crit;

events {
    worker_connections %d;
}

stream {
    upstream apiservers {
        # What one worker knows all know.
        zone apiservers 64k;
        least_conn;
`, pidFile, 2*connections)
	for _, x := range backends {
		state := "max_fails=1 fail_timeout=1s"
		if down[x.Name] && len(down) < len(backends) {
			state = "down"
		}
		fmt.Fprintf(&b, "        server %s %s; # %s\n", x.endpoint(s.APIServerPort), state, x.Name)
	}
	fmt.Fprintf(&b, `    }
    server {
        listen %s so_keepalive=%d:%d:%d;
        proxy_pass apiservers;
        # A connection that one apiserver does not take goes to another one.
        proxy_connect_timeout %s;
        proxy_next_upstream on;
        proxy_next_upstream_tries %d;
        # Watches, logs and shells are silent for hours (kubeadm#2227).
        proxy_timeout %s;
        proxy_socket_keepalive on;
    }
}
`, nginxListen(listen), int(clientIdle.Seconds()), int(clientProbe.Seconds()), clientProbes,
		ms(connectTimeout), len(backends)+1, ms(idleTimeout))
	return []byte(b.String())
}

// nginxListen writes the socket's address as nginx has to for knowing it again among
// the inherited ones.
func nginxListen(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.To4() == nil {
		return t.String() + " ipv6only=off"
	}
	return a.String()
}
