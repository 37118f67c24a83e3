package agents

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// The functions here are for who does one thing only, each with a Source of its own.

// Ready is Source.Ready.
func Ready(ctx context.Context, config *rest.Config, c *v1alpha1.Cluster, sink report.Sink) (*incluster.Operations, error) {
	source, err := NewSource()
	if err != nil {
		return nil, err
	}
	return source.Ready(ctx, config, c, sink)
}

// Usual is Source.Usual.
func Usual(ctx context.Context, config *rest.Config) (v1alpha1.Agents, error) {
	source, err := NewSource()
	if err != nil {
		return nil, err
	}
	return source.Usual(ctx, config)
}

// Looking is Source.Looking.
func Looking(ctx context.Context, config *rest.Config) (Lookers, error) {
	source, err := NewSource()
	if err != nil {
		return Lookers{}, err
	}
	return source.Looking(ctx, config)
}
