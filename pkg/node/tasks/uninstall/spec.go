package uninstall

import "time"

// DefaultGrace is what the containers of pods get to end by themselves.
const DefaultGrace = 10 * time.Second

// Timeout bounds the whole task.
const Timeout = 10 * time.Minute

// Spec has no settings that must be there.
type Spec struct {
	// Grace is what the containers of pods get to end by themselves. Zero: DefaultGrace.
	Grace time.Duration `json:"grace,omitempty"`
}

// Data is what was done.
type Data struct {
	// Bare is true when there was nothing to be taken back.
	Bare bool `json:"bare,omitempty"`
	// Pods and Mounts are how many were ended, and unmounted.
	Pods   int `json:"pods,omitempty"`
	Mounts int `json:"mounts,omitempty"`
	// Files is how many files, links and directories of the ledger went or were put back.
	Files int `json:"files,omitempty"`
	// Left is what stays since it is not ours, with the reason.
	Left []string `json:"left,omitempty"`
}
