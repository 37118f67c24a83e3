package prepare

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// AgentSpec asks for nothing but the image: the agent that runs is the one that is
// installed.
type AgentSpec struct {
	// Image, when not empty, is the reference under which containerd gets the agent as an
	// image too, for a node that another tool has made.
	Image string `json:"image,omitempty"`
}

// Agent puts this very program where the host's own services, and pods that run it as
// the host has it, find it. What runs goes on with the one that it was started from.
func Agent(ctx context.Context, env node.Env, spec AgentSpec) (any, error) {
	p := &preparer{h: env.Host, env: env, progress: env.Progress, executable: host.SelfPath}
	if err := p.installAgent(ctx); err != nil || spec.Image == "" {
		return nil, err
	}
	i := &importer{h: env.Host, spec: ImagesSpec{AgentImage: spec.Image}, progress: env.Progress, executable: host.SelfPath,
		runtime: containerdRuntime{socket: Socket}}
	return i.agent(ctx)
}

// agent brings the agent's image, and nothing else.
func (i *importer) agent(ctx context.Context) (any, error) {
	// Asked first, so that nothing is noted of a host without containerd.
	if err := i.runtime.Ready(ctx); err != nil {
		return nil, err
	}
	if err := i.record(ctx, nil); err != nil || i.h.DryRun() {
		return nil, err
	}
	var data Data
	made, err := i.runtime.ImportAgent(ctx, i.spec.AgentImage, i.executable)
	if made {
		data.ImportedImages = 1
	}
	return data, err
}
