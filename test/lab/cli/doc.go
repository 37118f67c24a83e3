// Package cli is the lab's command line: a verb per file or per kind of verb.
// All flags, the environment and all printing are here.
package cli
