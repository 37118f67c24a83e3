package vip

import (
	"strings"
	"testing"
)

// looks reads observations from letters: + alive, x absent, ~ cut, ! troubled.
func looks(t *testing.T, letters string) []observation {
	t.Helper()
	var out []observation
	for _, c := range letters {
		i := strings.IndexRune("+x~!", c)
		if i < 0 {
			t.Fatalf("no such observation: %c", c)
		}
		out = append(out, observation(i))
	}
	return out
}

func TestPolicy(t *testing.T) {
	tests := []struct {
		name  string
		from  State
		looks string
		want  State
	}{
		{"nothing seen", Dead, "", Dead},
		{"comes to life", Dead, "+++", Healthy},
		{"not yet sure", Dead, "++", Dead},
		{"starts and stops again", Dead, "++x+", Dead},
		{"one refusal", Healthy, "x", Healthy},
		{"two refusals", Healthy, "xx", Dead},
		{"a refusal, then an answer", Healthy, "x+x+x+", Healthy},
		{"cut off, then refused twice", Healthy, "~xx", Dead},
		{"cut off once", Healthy, "~+", Healthy},
		{"cut off again and again", Healthy, "~~~", Sick},
		{"slow once", Healthy, "!", Healthy},
		{"slow three times", Healthy, "!!!", Sick},
		{"slow now and then", Healthy, "!!+!!+", Healthy},
		{"slow, then dead", Healthy, "!!!xx", Dead},
		{"mixed trouble", Healthy, "x!x!", Sick},
		{"sick, then well", Sick, "+++", Healthy},
		{"sick, not well for sure", Sick, "++!", Sick},
		{"starts, not ready yet", Dead, "!!!", Sick},
		{"starts, and is cut off", Dead, "~~~~", Dead},
		{"dead stays dead", Dead, "xxxx", Dead},
		{"dead, a moment of trouble", Dead, "x!x!", Dead},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := policy{state: tt.from}
			for _, o := range looks(t, tt.looks) {
				p.see(o)
			}
			if p.state != tt.want {
				t.Errorf("after %q from %v: %v, want %v", tt.looks, tt.from, p.state, tt.want)
			}
		})
	}
}

func TestPolicyLooksAgainSoonAtTheFirstSignOfDeath(t *testing.T) {
	for letters, want := range map[string]bool{"x": true, "~": true, "!": false, "+": false, "xx": false} {
		p := policy{state: Healthy}
		again := interval
		for _, o := range looks(t, letters) {
			again = p.see(o)
		}
		if got := again < interval; got != want {
			t.Errorf("after %q the next look is in %v", letters, again)
		}
	}
}

// The weights decide who has the address. keepalived.conf(5): a result of -254
// or less is the FAULT state, and priorities are cut off at 1 and 254.
func TestWeights(t *testing.T) {
	const lowest, highest = LowestPriority, HighestPriority
	effective := func(base int, s State, drained, holder bool) int {
		p := base + int(s)*weightHealth
		if drained {
			p += weightDrain
		}
		if holder {
			p += weightHolder
		}
		return min(max(p, 1), 254)
	}
	if int(Dead)*weightHealth > -254 {
		t.Error("a dead apiserver does not put keepalived into its FAULT state")
	}
	if int(Sick)*weightHealth <= -254 {
		t.Error("a sick apiserver takes the address away for good")
	}
	// Each is the worst case of before and the best of after.
	for _, c := range []struct {
		name          string
		before, after int
	}{
		{"the holder, and a host that comes back", effective(lowest, Healthy, false, true), effective(highest, Healthy, false, false)},
		{"a healthy host, and the holder drained", effective(lowest, Healthy, false, false), effective(highest, Healthy, true, true)},
		{"a drained host, and the holder sick", effective(lowest, Healthy, true, false), effective(highest, Sick, false, true)},
		{"sick hosts in their order", effective(lowest+1, Sick, false, false), effective(lowest, Sick, false, false)},
		{"a sick host, and the holder sick and drained", effective(lowest, Sick, false, false), effective(highest, Sick, true, true)},
	} {
		if c.before <= c.after {
			t.Errorf("%s: %d and %d", c.name, c.before, c.after)
		}
	}
	if top := highest + weightHolder; top > 254 {
		t.Errorf("the best is cut off: %d", top)
	}
}
