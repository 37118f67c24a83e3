// Package cmd is the command line: one file per verb, each with kubectl's
// Options, Complete, Validate and Run. It is the only package beside main that
// reads flags and the environment, and that prints.
package cmd
