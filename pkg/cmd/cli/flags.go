package cli

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The flags that kubectl has as well are added here and in wait.go, so that each is the same on
// every command: name, shorthand, type and meaning.

// AddYes adds --yes to a command that changes something. what is empty, or says which of it.
func AddYes(f *pflag.FlagSet, yes *bool, what string) {
	f.BoolVarP(yes, "yes", "y", false, what+"do not prompt for confirmation")
}

// AddSelector adds -l. nodes are those that it chooses; earlier releases called it --nodes.
func AddSelector(c *cobra.Command, errOut io.Writer, selector *string, nodes string) {
	f := c.Flags()
	f.StringVarP(selector, "selector", "l", "", nodes+" nodes that match this label `selector`, such as role=edge,zone!=a")
	AddFormer(f, errOut, "nodes", "selector")
}

// AddDryRun adds kubectl's --dry-run. Its two kinds are one here: hosts and cluster are
// looked at, and nothing is changed. Alone it is client, which kubectl had once.
func AddDryRun(f *pflag.FlagSet, dryRun *bool, what string) {
	f.Var(&dryRunValue{dryRun}, "dry-run", what+"; `strategy` is none, client or server; client and server do the same")
	f.Lookup("dry-run").NoOptDefVal = "client"
}

type dryRunValue struct{ is *bool }

// String is the strategy.
func (v *dryRunValue) String() string {
	if v.is != nil && *v.is {
		return "client"
	}
	return "none"
}

// Type is kubectl's.
func (v *dryRunValue) Type() string { return "string" }

// Set takes kubectl's words, and those of a switch.
func (v *dryRunValue) Set(text string) error {
	switch text {
	case "none", "false":
		*v.is = false
	case "client", "server", "true":
		*v.is = true
	default:
		return errors.New("use none, client or server")
	}
	return nil
}
