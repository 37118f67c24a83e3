package balancer

import (
	"fmt"
	"strings"
	"time"
)

// haproxyConfig is haproxy's configuration, for 2.6 and all later ones. The streams of a
// server that is down are not ended with the check that fails (on-marked-down): an
// apiserver that is slow for a moment would lose its watches, and be slower for all of
// them to come back. Run ends them once it has been down for a while.
// https://docs.haproxy.org/2.6/configuration.html
func haproxyConfig(s Settings, all members, connections int, caFile, statsSocket string) []byte {
	expect := "status 200"
	if all.refused {
		expect = "rstatus ^(200|401|403)$"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `global
    log stdout format raw local0 notice
    maxconn %d
    # A program that was replaced ends at last.
    hard-stop-after %s
    stats socket %s mode 600 level admin

defaults
    mode tcp
    log global
    maxconn %d
    timeout connect %s
    # Watches, logs and shells are silent for hours (kubeadm#2227).
    timeout client %s
    timeout server %s
    timeout tunnel %s
    timeout client-fin 30s
    timeout server-fin 30s
    # Who is gone without a word is found by the kernel.
    option clitcpka
    clitcpka-idle %s
    clitcpka-intvl %s
    clitcpka-cnt %d
    option srvtcpka
    srvtcpka-idle %s
    srvtcpka-intvl %s
    srvtcpka-cnt %d

frontend kubernetes
    bind fd@%d
    default_backend apiservers

backend apiservers
    # Streams last: who has come back gets the new ones.
    balance leastconn
    # A connection that one apiserver does not take goes to another one.
    retries 3
    option redispatch 1
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host %s hdr Connection close
    http-check expect %s
    timeout check %s
    # When all fail their checks, they may still be of more use than nobody.
    option allbackups
    default-server inter %s fastinter %s downinter %s fall %d rise %d
`, connections, ms(drainTime), statsSocket, connections,
		ms(connectTimeout), ms(idleTimeout), ms(idleTimeout), ms(idleTimeout),
		ms(clientIdle), ms(clientProbe), clientProbes, ms(serverIdle), ms(serverProbe), serverProbes,
		inheritedFD, serverName, expect, ms(checkTimeout), ms(checkInterval), ms(quickInterval), ms(checkInterval), checkFall, checkRise)
	for _, x := range all.backends {
		fmt.Fprintf(&b, "    server %s %s check check-ssl verify required ca-file %s verifyhost %s check-sni %s\n",
			x.Name, x.endpoint(s.APIServerPort), caFile, serverName, serverName)
	}
	for _, x := range all.backends {
		fmt.Fprintf(&b, "    server %s%s %s backup\n", x.Name, unchecked, x.endpoint(s.APIServerPort))
	}
	return []byte(b.String())
}

// unchecked ends the names of servers for when all checks fail.
const unchecked = ":unchecked"

// ms writes a duration as haproxy reads it.
func ms(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
