package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// verb is the options of a command without arguments.
type verb interface {
	Complete() error
	Validate() error
	Run(ctx context.Context) error
}

// InOrder is the RunE of a verb.
func InOrder(v verb) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		if err := v.Complete(); err != nil {
			return err
		}
		if err := v.Validate(); err != nil {
			return err
		}
		return v.Run(c.Context())
	}
}
