package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// RunGroup is the Run of a command that only has others below it: without an
// argument it is the help, with one it is an unknown verb.
func RunGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
			names = append(names, sub.Aliases...)
		}
	}
	message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := yamldoc.Nearest(args[0], names); near != "" {
		return action.Invalidf("%s; did you mean %q?", message, near)
	}
	return action.Invalidf("%s; see %s --help", message, cmd.CommandPath())
}

// FlagError says what is wrong with a flag and, when it is unknown, which one
// is near.
func FlagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := yamldoc.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			return action.Invalidf("%w; did you mean --%s?", err, near)
		}
	}
	var format *formatError
	if errors.As(err, &format) {
		return action.As(action.Invalid, format) // As kubectl says it.
	}
	return action.Invalidf("%w; see %s --help", err, cmd.CommandPath())
}

// NoArgs refuses arguments, naming the first.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return action.Invalidf("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// OneArg asks for exactly one argument.
func OneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return action.Invalidf("specify %s, and nothing else: %s", what, c.UseLine())
		}
		return nil
	}
}
