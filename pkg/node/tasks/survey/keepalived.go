package survey

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Parse reads keepalived.conf(5) as far as it is needed: words and blocks, comments from # or !
// to the line's end. It is made for files of others, and takes what it does not know for nothing.
func Parse(raw []byte) Keepalived {
	var k Keepalived
	p := &words{}
	for line := range strings.Lines(string(raw)) {
		if at := strings.IndexAny(line, "#!"); at >= 0 {
			line = line[:at]
		}
		line = strings.NewReplacer("{", " { ", "}", " } ").Replace(line)
		p.all = append(p.all, append(strings.Fields(line), "\n")...)
	}
	for p.at < len(p.all) {
		line := p.line()
		switch {
		case len(line) == 0:
		case line[0] == "vrrp_instance" && k.RouterID == 0:
			k = p.instance(k)
		case strings.HasPrefix(line[0], "vrrp_script") || strings.HasPrefix(line[0], "vrrp_track"):
			p.skip()
		}
	}
	return k
}

type words struct {
	all []string
	at  int
}

// line is the words up to the line's end, or to a brace, which is its last word then.
func (p *words) line() []string {
	var out []string
	for p.at < len(p.all) {
		w := p.all[p.at]
		p.at++
		if w == "\n" {
			// A brace may come on a line of its own.
			if len(out) == 0 {
				continue
			}
			if next := p.next(); next == "{" {
				continue
			}
			return out
		}
		out = append(out, w)
		if w == "{" || w == "}" {
			return out
		}
	}
	return out
}

// next is the next word that is no line's end; empty for none.
func (p *words) next() string {
	for _, w := range p.all[p.at:] {
		if w != "\n" {
			return w
		}
	}
	return ""
}

// skip passes over the rest of a block that was begun.
func (p *words) skip() {
	for depth := 1; depth > 0 && p.at < len(p.all); p.at++ {
		switch p.all[p.at] {
		case "{":
			depth++
		case "}":
			depth--
		}
	}
}

// instance reads a vrrp_instance, whose brace was read.
func (p *words) instance(k Keepalived) Keepalived {
	for p.at < len(p.all) {
		line := p.line()
		if len(line) == 0 || line[0] == "}" {
			return k
		}
		opens := slices.Contains(line, "{")
		switch word := line[0]; {
		case word == "virtual_ipaddress" && opens:
			k.Addresses = append(k.Addresses, p.addresses()...)
			continue
		case strings.HasPrefix(word, "track_"):
			k.Checks = true
		case len(line) < 2:
		case word == "interface":
			k.Interface = line[1]
		case word == "virtual_router_id":
			k.RouterID, _ = strconv.Atoi(line[1]) // What is no number is of no use to anybody.
		case word == "advert_int":
			k.Seconds, _ = strconv.ParseFloat(line[1], 64) // As above.
		}
		if opens {
			p.skip()
		}
	}
	return k
}

// addresses reads a block of addresses, each of which may have a prefix and settings.
func (p *words) addresses() []string {
	var out []string
	for p.at < len(p.all) {
		line := p.line()
		if len(line) == 0 || line[0] == "}" {
			return out
		}
		text, _, _ := strings.Cut(line[0], "/")
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a.String())
		}
		if line[len(line)-1] == "}" {
			return out
		}
	}
	return out
}
