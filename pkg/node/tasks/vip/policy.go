package vip

import "time"

// State is what keepalived is told of the local apiserver: the content of
// HealthFile.
type State int

// The states. Times weightHealth, Dead is beyond the -254 that put a keepalived
// instance into its FAULT state.
const (
	Healthy State = 0
	Sick    State = 1
	Dead    State = 3
)

func (s State) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Sick:
		return "sick"
	case Dead:
		return "dead"
	}
	return "unknown"
}

// The weights of keepalived's track files; see the package's comment.
const (
	weightHealth = -100
	weightDrain  = -50
)

// observation is what one look at the apiserver showed.
type observation int

const (
	// alive: it answered that it is ready, or refused to tell a stranger.
	alive observation = iota
	// absent: nobody listens, or there is no cluster CA yet.
	absent
	// cut: the connection ended in the middle, as when a process is killed.
	cut
	// troubled: no answer in time, one that it is not ready, or any other error.
	troubled
)

const (
	// interval is the time between two looks.
	interval = 200 * time.Millisecond
	// recheck is the time to the next look after the first sign of a death.
	recheck = 50 * time.Millisecond
	// requestTimeout bounds one look.
	requestTimeout = time.Second

	// How many looks in a row it takes to call an apiserver dead, sick, healthy.
	absentLimit, badLimit, aliveLimit = 2, 3, 3
)

// policy turns observations into a State. It is pure: no time, no files.
type policy struct {
	state                 State
	absent, bad, lookGood int
}

// see takes the next observation, and tells when to look again.
func (p *policy) see(o observation) (again time.Duration) {
	if o == alive {
		p.absent, p.bad = 0, 0
		p.lookGood++
		if p.lookGood >= aliveLimit {
			p.state = Healthy
		}
		return interval
	}
	p.lookGood = 0
	p.bad++
	if o == absent {
		p.absent++
	} else {
		p.absent = 0
	}
	switch {
	case p.absent >= absentLimit:
		p.state = Dead
	case p.state == Dead && o == cut:
		// Somebody listened for a moment; that alone is no life.
	case p.bad >= badLimit && p.absent == 0:
		p.state = Sick
	}
	if p.state != Dead && (o == absent || o == cut) {
		return recheck
	}
	return interval
}
