//go:build !linux

package agent

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// tasks: hosts are Linux machines, so there is nothing to be done here.
func tasks() map[string]node.Task { return nil }

func more(genericiooptions.IOStreams) []*cobra.Command { return nil }
