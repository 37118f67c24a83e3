package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func balancerChecks() []Check {
	return []Check{
		{ID: "balancer", Title: "the load balancer serves, and who is to use it does", Source: "ADR 12", Reads: partBalancer,
			Why: "who goes through it is without the API as soon as one control plane more is away", Run: ownBalancer},
		{ID: "balancer-timeouts", Title: "the load balancer keeps idle connections for hours", Source: "kubeadm#2227, kubernetes#94301", Files: true,
			Why: "a shorter timeout cuts watches, kubectl exec and logs -f", Run: balancerTimeouts},
		{ID: "balancer-resets", Title: "the load balancer ends connections to an apiserver that is down", Source: "kubernetes#48638", Files: true,
			Why: "kubelets and controllers wait on a connection to a dead host for up to 15 minutes", Run: balancerResets},
	}
}

// ownBalancer is about the one that kubectl-ha has set up.
func ownBalancer(in Input) []Finding {
	if in.Objects.Balancer == nil {
		return nil
	}
	var out []Finding
	for _, p := range in.Objects.Balancer.Problems {
		out = append(out, problem("", p, "kubectl ha loadbalancer status tells more; install sets it up anew"))
	}
	return out
}

// shortestIdle is what watches need: apiservers end them after half an hour to an hour.
const shortestIdle = time.Hour

func balancerTimeouts(in Input) []Finding {
	var out []Finding
	for node, facts := range ordered(in.Inspection.Facts) {
		for _, kind := range []string{"client", "server", "tunnel"} {
			if d, ok := haproxyTime(facts.Timeouts[kind]); ok && d < shortestIdle {
				out = append(out, warning(node, fmt.Sprintf("haproxy's timeout %s is %s", kind, facts.Timeouts[kind]),
					"set it to hours in /etc/haproxy/haproxy.cfg and reload"))
			}
		}
		// nginx's times are written alike; ten minutes is what it does by itself.
		if d, ok := haproxyTime(facts.Timeouts["nginx"]); ok && d < shortestIdle {
			out = append(out, warning(node, "nginx's proxy_timeout is "+facts.Timeouts["nginx"],
				"set it to hours in the stream section of /etc/nginx/nginx.conf and reload"))
		}
	}
	if in.Objects.Balancer == nil {
		return out
	}
	for _, p := range in.Objects.Balancer.Pods {
		if d := time.Duration(p.IdleSeconds) * time.Second; d > 0 && d < shortestIdle {
			out = append(out, warning(p.Node, fmt.Sprintf("the load balancer of kubectl ha ends what is silent for %s", d),
				"kubectl ha loadbalancer install brings this version's"))
		}
	}
	return out
}

// balancerResets is about a haproxy of the host's own: kubectl-ha's ends them by itself.
func balancerResets(in Input) []Finding {
	var out []Finding
	for node, facts := range ordered(in.Inspection.Facts) {
		if facts.Resets != nil && !*facts.Resets {
			out = append(out, warning(node, "haproxy keeps the connections to a server that it has found down",
				"add on-marked-down shutdown-sessions to default-server in /etc/haproxy/haproxy.cfg and reload"))
		}
	}
	return out
}

// haproxyTime reads haproxy's times: a number and a unit, milliseconds without one.
// https://docs.haproxy.org/3.0/configuration.html#2.5
func haproxyTime(text string) (time.Duration, bool) {
	digits := strings.TrimRight(text, "usmhd")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	units := map[string]time.Duration{"": time.Millisecond, "ms": time.Millisecond, "us": time.Microsecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	unit, ok := units[text[len(digits):]]
	return time.Duration(n) * unit, ok
}
