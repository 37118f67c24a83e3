package cmd

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// agentTasks are all tasks that this program can do on a host.
func agentTasks() map[string]node.Task { return nil }

// moreAgents are the agent's long-running forms.
func moreAgents(genericiooptions.IOStreams) []*cobra.Command { return nil }
