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

// The weights of keepalived's track files, and the base priorities for which
// they do what the package's comment says. keepalived cuts what comes of them
// to 1 to 254.
const (
	LowestPriority, HighestPriority = 172, 210

	weightHolder = 40
	weightDrain  = -80
	weightHealth = -160
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
	state State
	// How many looks in a row were like the last one: alive, absent, troubled;
	// and how many in a row were anything but alive.
	alive, absent, troubled, bad int
}

// see takes the next observation, and tells when to look again.
func (p *policy) see(o observation) (again time.Duration) {
	p.count(o)
	switch {
	case p.alive >= aliveLimit:
		p.state = Healthy
	case p.absent >= absentLimit:
		p.state = Dead
	case p.state == Healthy && p.bad >= badLimit:
		p.state = Sick
	case p.state == Dead && p.troubled >= badLimit:
		// Somebody is there who is not ready yet. Being cut off is no sign of life.
		p.state = Sick
	}
	if p.state != Dead && (o == absent || o == cut) {
		return recheck
	}
	return interval
}

func (p *policy) count(o observation) {
	row := func(n *int, goesOn bool) {
		if !goesOn {
			*n = 0
			return
		}
		*n++
	}
	row(&p.alive, o == alive)
	row(&p.absent, o == absent)
	row(&p.troubled, o == troubled)
	row(&p.bad, o != alive)
}
