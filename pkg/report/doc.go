// Package report carries what happens to whoever watches: people on a terminal
// or a plain log, programs as one JSON document per line.
//
// Every printing sink takes secrets that a foreign command may have printed out
// of an event's texts first; see Redact.
package report
