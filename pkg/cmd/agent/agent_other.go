//go:build !linux

package agent

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// agentTasks: hosts are Linux machines, so there is nothing to be done here.
func agentTasks() map[string]node.Task { return nil }

func moreAgents(genericiooptions.IOStreams) []*cobra.Command { return nil }
