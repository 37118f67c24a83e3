package cmd

import (
	"context"
	"errors"
)

// printScript prints a script that enrols the host.
func (o *nodeAddOptions) printScript(context.Context, *nodePlan) error {
	return errors.New("--print: not yet")
}
