// Package flagtable knows which flags, configuration fields and feature gates the
// supported minor versions of etcd and of Kubernetes' components have, and what
// their values look like. It is for settings that a user hands through to them: a
// name that a program does not know keeps it from starting, or is dropped without a
// word, and both are found out on hosts that were changed already.
//
// The tables (flags.txt, fields.txt, gates.txt) are written by hack/flagtables from
// the programs' own source; tests compare them with real programs.
package flagtable
