package doctor

import (
	"fmt"
	"strings"
)

func addressChecks() []Check {
	return []Check{
		{ID: "one-holder", Title: "one host has the virtual IP", Source: "keepalived#2387", Files: true,
			Why: "with two holders connections break at random, depending on which one the network believes", Run: oneHolder},
		{ID: "unicast-peers", Title: "keepalived speaks to a list of peers", Source: "keepalived#2387", Files: true,
			Why: "by multicast anybody in the subnet may take part, and networks that drop multicast make two holders", Run: unicastPeers},
		{ID: "address-watch", Title: "the virtual IP leaves a host whose apiserver is gone", Source: "PMK8-I-136", Files: true,
			Why: "without the watcher keepalived notices a dead apiserver late or never, and a planned move loses requests", Run: addressWatch},
		{ID: "control-planes", Title: "there are three control planes or more, and they answer", Source: "etcd's FAQ", Document: true,
			Why: "with fewer, or with one that is away, the next loss stops the API", Run: controlPlanes},
	}
}

func oneHolder(in Input) []Finding {
	var holders []string
	for node, f := range ordered(in.Inspection.Facts) {
		if f.VIP != nil && f.VIP.Here {
			holders = append(holders, node)
		}
	}
	if len(holders) > 1 {
		return []Finding{problem("", "held by "+strings.Join(holders, " and "),
			"see whether the hosts' keepalived reach each other (protocol 112 in every firewall between them)")}
	}
	return nil
}

func unicastPeers(in Input) []Finding {
	var out []Finding
	for node, f := range ordered(in.Inspection.Facts) {
		if f.VIP != nil && !f.VIP.Unicast {
			out = append(out, warning(node, "keepalived.conf has no unicast_peer",
				"list the other control planes in unicast_peer, and set vrrp_check_unicast_src"))
		}
	}
	return out
}

func addressWatch(in Input) []Finding {
	const unit = "kubectl-ha-vip.service"
	var out []Finding
	for node, f := range ordered(in.Inspection.Facts) {
		if f.VIP == nil {
			continue
		}
		switch state, ok := f.Units[unit]; {
		case !ok && in.Ours && !f.VIP.Checks:
			out = append(out, warning(node, "there is no "+unit+", and keepalived runs no check of its own",
				"see that keepalived checks the local apiserver's /readyz every second"))
		case ok && state != "active":
			out = append(out, problem(node, unit+" is "+state, "systemctl restart "+unit+" on it; journalctl -u "+unit+" tells why"))
		}
		if f.VIP.Draining && !running(in.Objects) {
			out = append(out, warning(node, "it is kept from holding the virtual IP, and no Operation runs",
				"kubectl ha upgrade resumes or aborts what left it so; or write 0 to /run/kubectl-ha/drain"))
		}
	}
	return out
}

func controlPlanes(in Input) []Finding {
	var out []Finding
	all := len(in.Report.ControlPlanes)
	if all > 0 && all < 3 {
		out = append(out, problem("", fmt.Sprintf("there are %d", all), "add hosts until there are three"))
	}
	for _, cp := range in.Report.ControlPlanes {
		if !cp.APIServer.Healthy {
			out = append(out, problem(cp.Node, "apiserver: "+cp.APIServer.Error, "crictl logs, and journalctl -u kubelet, on it"))
		}
	}
	return out
}
