package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The aims: the bytes that leave the workstation as a ratio to the bundle's, the
// time as a ratio to the one for a single node, memory in bytes, and what a push
// of what is there already may cost.
const (
	aimSent        = 1.05
	aimSlower      = 1.25
	aimWorkstation = 200e6
	aimAgent       = 150e6
	aimAgain       = 5 * time.Second
	aimAgainBytes  = 1e6
)

// missedError names the aims that were missed.
type missedError struct{ aims []string }

func (e *missedError) Error() string { return "missed aims:\n  " + strings.Join(e.aims, "\n  ") }

// sent is the ratio of what left the workstation to the bundle.
func (p pushed) sent() float64 { return float64(p.uplink) / float64(p.size) }

// slower is the ratio of the times until every node held every blob.
func (p pushed) slower(one pushed) float64 { return p.spread.Seconds() / one.spread.Seconds() }

// whole refuses what was not measured: a ratio to nothing misses no aim.
func (p pushed) whole() error {
	var lacking []error
	for what, n := range map[string]int64{
		"when every node held every blob": int64(p.spread), "the bytes that left the workstation": p.uplink,
		"the workstation's memory": p.workstation, "an agent's memory": p.agent,
	} {
		if n <= 0 {
			lacking = append(lacking, fmt.Errorf("nobody saw %s", what))
		}
	}
	return errors.Join(lacking...)
}

// missed are the aims that a push missed, beside the one to a single node.
func (p pushed) missed(one pushed) (out []string) {
	miss := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%d nodes: ", p.nodes)+fmt.Sprintf(format, args...))
	}
	if got := p.sent(); got > aimSent {
		miss("%.3f x the bundle left the workstation, more than %.2f", got, aimSent)
	}
	if got := p.slower(one); got > aimSlower {
		miss("it took %.2f x the time for %d, more than %.2f", got, one.nodes, aimSlower)
	}
	if p.workstation > aimWorkstation {
		miss("the workstation had %.0f MB of memory, more than %.0f", float64(p.workstation)/1e6, aimWorkstation/1e6)
	}
	if p.agent > aimAgent {
		miss("an agent had %.0f MB of memory, more than %.0f", float64(p.agent)/1e6, aimAgent/1e6)
	}
	return out
}

// missedAgain are the aims that a push of what is there already missed.
func (p pushed) missedAgain() (out []string) {
	if p.all > aimAgain {
		out = append(out, fmt.Sprintf("the second push took %.1f s, more than %.0f", p.all.Seconds(), aimAgain.Seconds()))
	}
	if p.uplink > aimAgainBytes {
		out = append(out, fmt.Sprintf("with the second push %.2f MB left the workstation, more than %.0f", float64(p.uplink)/1e6, aimAgainBytes/1e6))
	}
	return out
}
