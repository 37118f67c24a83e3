package bootstrap

import (
	"context"
	"fmt"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const checkReach = "reach"

// probe is one port of one host, and the hosts that must reach it.
type probe struct {
	to   v1alpha1.Host
	port int32
	from []v1alpha1.Host
}

// probes are the ports to be tried: those that other hosts must reach and that
// nobody listens on yet. Where the service runs already, it was reached.
func probes(c *v1alpha1.Cluster, o Observation) []probe {
	usable := func(h v1alpha1.Host) bool { seen, ok := o[h.Name]; return ok && seen.Err == nil }
	var out []probe
	for _, to := range c.Spec.Hosts {
		if !usable(to) || o[to.Name].Facts.Interface == "" {
			continue
		}
		for _, p := range portsOf(c, to) {
			if p.from == nil || o[to.Name].Facts.Listeners[p.number] != "" {
				continue
			}
			x := probe{to: to, port: p.number}
			for _, from := range c.Spec.Hosts {
				if from.Name != to.Name && usable(from) && p.from(from) {
					x.from = append(x.from, from)
				}
			}
			if len(x.from) > 0 {
				out = append(out, x)
			}
		}
	}
	return out
}

// unreached makes the findings: per pair of hosts one, with its ports.
func unreached(failed map[[2]string][]int32, c *v1alpha1.Cluster, why map[[2]string]string) []Finding {
	var out []Finding
	for _, to := range c.Spec.Hosts {
		for _, from := range c.Spec.Hosts {
			pair := [2]string{from.Name, to.Name}
			if ports := failed[pair]; len(ports) > 0 {
				slices.Sort(ports)
				out = append(out, Finding{Host: from.Name, Check: checkReach, Severity: Error,
					Message: fmt.Sprintf("it can't reach %s (%s) on TCP %s: %s", to.Name, to.Address, join(ports), why[pair]),
					Hint:    "open these ports between the hosts in the firewalls of both and on the way (VRRP, IP protocol 112, between the control planes as well)"})
			}
		}
	}
	return out
}

func join(ports []int32) string {
	text := ""
	for i, p := range ports {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(p)
	}
	return text
}

// Reach tries whether the hosts reach each other on every port that is needed.
func Reach(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, o Observation, sink report.Sink) ([]Finding, error) {
	return nil, ctx.Err()
}
