package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// stageTimeout bounds the bringing of etcd's programs to one host, over a slow link.
const stageTimeout = 30 * time.Minute

// StageEtcd brings etcd's programs of one version to the hosts of members, over SSH, where an
// upgrade finds them. They travel once over the workstation's link; the hosts pass them on to each other. What is
// there already is not sent.
func StageEtcd(ctx context.Context, c *v1alpha1.Cluster, hosts Hosts, b Bundle, on []v1alpha1.Host, sink report.Sink) error {
	var binaries []bundle.Binary
	version := ""
	for _, one := range b.Contents().Binaries {
		if one.Component == bundle.ComponentEtcd {
			binaries, version = append(binaries, one), one.Version
		}
	}
	if len(binaries) == 0 {
		return errors.New("the bundle contains no etcd")
	}
	if len(on) == 0 {
		return nil
	}
	var p plan.Plan
	for _, h := range on {
		p.Steps = append(p.Steps, plan.Step{ID: tasks.EtcdStage + "/" + version + "/" + h.Name, Title: "bring etcd " + version + " to " + h.Name, Host: h.Name, Task: tasks.EtcdStage,
			Timeout: stageTimeout, Spec: prepare.StageSpec{Binaries: binaries, Dir: path.Join(etcdmember.ReleasesDir, version)}})
	}
	cfg := Config{Cluster: c, Hosts: hosts}
	e := &executor{cfg: cfg, sink: sink, source: on[0], blobs: newBlobs(cfg, on[0].Name, b, p.Steps)}
	defer e.blobs.close()
	if err := plan.Run(ctx, p, plan.Options{Exec: e.run}, sink); err != nil {
		return fmt.Errorf("bring etcd %s to the members' hosts: %w", version, err)
	}
	return nil
}
