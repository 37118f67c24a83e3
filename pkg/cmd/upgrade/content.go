package upgrade

import (
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	push "github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"

	"context"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// manifests prints the Operation and its coordinator's Job, with this program's agent.
func (o *upgradeOptions) manifests(ctx context.Context) error {
	agents, err := agents.Own(ctx, o.config)
	if err != nil {
		return err
	}
	ops, err := incluster.NewOperations(o.config, agents)
	if err != nil {
		return err
	}
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationUpgrade, Upgrade: &o.spec}
	objects, err := ops.Manifests(ctx, spec, o.spec.Version)
	if err != nil {
		return action.OfCluster(err)
	}
	if _, err := fmt.Fprintf(o.Out, "# The nodes must have all of %s before, and this agent: %s images push --programs BUNDLE.\n", o.spec.Version, program.Name); err != nil {
		return err
	}
	return cli.PrintManifests(o.Out, objects)
}

// bring puts all that the version is made of onto the nodes, so that nothing is
// fetched while one is out. What is there is not sent again.
func (o *upgradeOptions) bring(ctx context.Context) error {
	nodes, err := o.clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return action.OfCluster(err)
	}
	path, err := o.bundlePath(ctx, nodes.Items)
	if err != nil {
		return err
	}
	shown := cli.NewProgress(o.Out, o.output)
	defer shown.Close()
	_, err = push.RunPush(ctx, push.PushOptions{Config: o.config, What: []string{path}, Trust: o.trust, Programs: true}, shown)
	return err
}

// bundlePath is the bundle that was named, else the one in the cache, which is made
// first when it is not there.
func (o *upgradeOptions) bundlePath(ctx context.Context, nodes []corev1.Node) (string, error) {
	if o.file != "" {
		return o.file, nil
	}
	archs := agents.ArchsOf(nodes)
	if len(archs) > 1 {
		return "", action.Invalidf("the nodes are %s: make a bundle with `%s bundle create --arch %s`, and name it with --bundle", strings.Join(archs, " and "), program.Name, strings.Join(archs, ","))
	}
	cluster := *o.cluster
	cluster.Spec.KubernetesVersion = o.spec.Version
	shown := cli.NewProgress(o.Out, o.output)
	b, err := bundles.Ensure(ctx, "", &cluster, strings.Join(archs, ""), shown)
	shown.Close()
	if err != nil {
		return "", err
	}
	defer b.Close() //nolint:errcheck // only read
	return bundles.Cached(&cluster, strings.Join(archs, ""))
}

// atHand are versions that could be had: the bundle's, those of bundles in the cache,
// and what the mirror has. Who does not answer has none.
func (o *upgradeOptions) atHand(ctx context.Context, seen upgrade.Observation) []string {
	var out []string
	if dir, err := bundles.Dir(); err == nil {
		entries, _ := os.ReadDir(dir) // None is no error: there are none then.
		for _, e := range entries {
			if v, _, ok := strings.Cut(e.Name(), "-"); ok && strings.HasSuffix(e.Name(), ".tar") {
				out = append(out, v)
			}
		}
	}
	for _, minor := range upgrade.NextMinors(seen.Versions(o.cluster)) {
		v, err := bundle.LatestKubernetes(ctx, o.cluster.Spec.Images.Mirror, minor)
		if err != nil {
			cli.NewProgress(o.ErrOut, "").Emit(report.Event{Kind: report.Warning, Message: err.Error()})
			continue
		}
		out = append(out, v)
	}
	return out
}
