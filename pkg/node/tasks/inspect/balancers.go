package inspect

import (
	"strings"
)

// balancers reads what a load balancer of the host's own does with connections that are
// silent, and with those to a server that is down.
func (l *look) balancers() {
	config := l.text("/etc/haproxy/haproxy.cfg")
	l.facts.Timeouts, l.facts.Resets = timeouts(config), resets(config)
	if idle := nginxIdle(l.text("/etc/nginx/nginx.conf")); idle != "" {
		if l.facts.Timeouts == nil {
			l.facts.Timeouts = map[string]string{}
		}
		l.facts.Timeouts["nginx"] = idle
	}
}

// timeouts reads `timeout client 4h` and its like; of several sections the last counts.
func timeouts(config string) map[string]string {
	var out map[string]string
	for line := range strings.Lines(config) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "timeout" || f[1] != "client" && f[1] != "server" && f[1] != "tunnel" {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[f[1]] = f[2]
	}
	return out
}

// resets tells whether each server of a haproxy has `on-marked-down shutdown-sessions`,
// itself or by a default-server above it; nil when there is none.
// https://docs.haproxy.org/3.0/configuration.html#5.2-on-marked-down
func resets(config string) *bool {
	servers, all := 0, true
	common, here := false, false // By the defaults section, by the section that is read.
	inDefaults := false
	for line := range strings.Lines(config) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		ends := strings.Contains(strings.Join(f, " "), "on-marked-down shutdown-sessions")
		switch f[0] {
		case "defaults":
			inDefaults, common, here = true, false, false
		case "global", "frontend", "backend", "listen", "peers", "resolvers":
			inDefaults, here = false, common
		case "default-server":
			if ends {
				here, common = true, common || inDefaults
			}
		case "server":
			servers++
			all = all && (ends || here)
		}
	}
	if servers == 0 {
		return nil
	}
	return &all
}

// nginxIdle is the proxy_timeout of nginx's streams, ten minutes where none is set; empty
// without streams, or when other files have them.
// https://nginx.org/en/docs/stream/ngx_stream_proxy_module.html#proxy_timeout
func nginxIdle(config string) string {
	var plain strings.Builder
	for line := range strings.Lines(config) {
		line, _, _ = strings.Cut(line, "#")
		plain.WriteString(strings.NewReplacer("{", " { ", "}", " } ", ";", " ; ").Replace(line) + " ")
	}
	words := strings.Fields(plain.String())
	depth, inside, elsewhere, found := 0, -1, false, ""
	for i, w := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch {
		case w == "stream" && next == "{" && depth == 0:
			inside, found = depth, "10m"
		case w == "{":
			depth++
		case w == "}":
			if depth--; depth == inside {
				inside = -1
			}
		case w == "proxy_timeout" && inside >= 0:
			return next
		case w == "include" && inside >= 0:
			elsewhere = true
		}
	}
	if elsewhere {
		return ""
	}
	return found
}
