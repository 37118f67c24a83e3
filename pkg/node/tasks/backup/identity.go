package backup

import (
	"context"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

// IdentitySpec has no settings.
type IdentitySpec struct{}

// IdentityData is the identity with which a host may talk to etcd, PEM. The key is
// a secret.
type IdentityData struct {
	CA   []byte `json:"ca"`
	Cert []byte `json:"cert"`
	Key  []byte `json:"key"`
}

// Identity gives the host's certificates for etcd to who takes a snapshot from
// outside, since nothing else of the cluster may work any more.
func Identity(_ context.Context, env node.Env, _ IdentitySpec) (any, error) {
	id, err := etcdmember.Identity(env.Host)
	if err != nil {
		return nil, err
	}
	return IdentityData{CA: id.CA, Cert: id.Cert, Key: id.Key}, nil
}
