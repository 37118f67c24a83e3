package prepare

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// AgentSpec asks for nothing: the agent that runs is the one that is installed.
type AgentSpec struct{}

// Agent puts this very program where the host's own services, and pods that run it as
// the host has it, find it. What runs goes on with the one that it was started from.
func Agent(ctx context.Context, env node.Env, _ AgentSpec) (any, error) {
	p := &preparer{h: env.Host, env: env, progress: env.Progress, executable: ownExecutable}
	return nil, p.installAgent(ctx)
}
