package balancer

import "time"

// State is what a pod's load balancer is for, as `agent balance --state` prints it.
type State struct {
	Settings Settings `json:"settings"`
	// Backends are the control planes that it hands connections to.
	Backends []Backend `json:"backends"`
	// Since is when the program that runs was started.
	Since time.Time `json:"since"`
	// IdleSeconds is how long a stream may be silent.
	IdleSeconds int `json:"idleSeconds,omitempty"`
	// Down are those that get no connections, for nginx, and why; haproxy tells itself.
	Down map[string]string `json:"down,omitempty"`
	// ListError says why the control planes can't be asked for; empty when they can.
	ListError string `json:"listError,omitempty"`
	// StatsSocket is haproxy's.
	StatsSocket string `json:"statsSocket,omitempty"`
	// Health is how each control plane is, as this load balancer sees it.
	Health []Health `json:"health,omitempty"`
}

// Health is how a control plane's apiserver is seen.
type Health struct {
	Name string `json:"name"`
	// Up tells whether it gets connections.
	Up bool `json:"up"`
	// Seconds is for how long it has been so; -1 when that can't be told.
	Seconds int `json:"seconds"`
	// Streams it has through this load balancer now; -1 when that can't be told.
	Streams int `json:"streams"`
	// Reason says what the last look saw.
	Reason string `json:"reason,omitempty"`
}
