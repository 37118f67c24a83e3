package bootstrap

import (
	"context"
	"encoding/json"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/uninstall"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Clean takes everything back that was made on a host which has left the cluster. What
// is returned stays there, since it is not ours. identity is the fingerprint of the cluster's
// first etcd CA, empty when it is not known here: a host of another cluster of this name is an error.
func Clean(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, identity, name string, sink report.Sink) (left []string, err error) {
	res, err := Call(ctx, hosts, name, node.Request{Cluster: c.Metadata.Name, Identity: identity, Task: tasks.Uninstall, Step: tasks.Uninstall + "/" + name,
		Timeout: uninstall.Timeout, LockTimeout: lockWait}, uninstall.Spec{}, sink)
	if err != nil {
		return nil, err
	}
	var data uninstall.Data
	if len(res.Data) > 0 {
		err = json.Unmarshal(res.Data, &data)
	}
	return data.Left, err
}
