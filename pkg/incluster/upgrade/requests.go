package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	checkTimeout = 5 * time.Minute
	vipTimeout   = time.Minute
	// lockTimeout is for a task on the node that was thought lost and is not.
	lockTimeout = 5 * time.Minute
	// lostAfter is for how long a node may be silent, beyond the 40 seconds or so
	// after which its condition tells: longer than a kubelet's restart beside a starting
	// apiserver takes.
	lostAfter = 2 * time.Minute
	// lostRetries is how often a node that went away is begun with anew; each task
	// finishes what was begun.
	lostRetries = 3
	// backWithin is how long a node that went away is waited for.
	backWithin = 10 * time.Minute
)

// task is a NodeTask that waits for its node to come back when that went away.
func task(request func(ctx context.Context, t engine.Turn) (node.Request, error), message func(node.Result) string) engine.NodeTask {
	return engine.NodeTask{
		LostRetries: lostRetries, LostAfter: lostAfter, Message: message,
		Request: func(ctx context.Context, t engine.Turn) (node.Request, error) {
			if err := awaitHeard(ctx, t); err != nil {
				return node.Request{}, err
			}
			return request(ctx, t)
		},
	}
}

// awaitHeard waits until the step's node has been heard of lately. It need not be
// Ready: what it lacks may be just what the task brings.
func awaitHeard(ctx context.Context, t engine.Turn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, backWithin, fmt.Errorf("not heard of within %s", backWithin))
	defer cancel()
	err := engine.Until(ctx, t, "the node "+t.Step.Node, func(ctx context.Context) (string, error) {
		lease, err := t.Clients.Kube.CoordinationV1().Leases("kube-node-lease").Get(ctx, t.Step.Node, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		return ready.Lease(lease, lostAfter, time.Now()), nil
	})
	if err != nil {
		return fmt.Errorf("%w\nnext: bring %s back and resume, or abort", err, t.Step.Node)
	}
	return nil
}

func checkContent(_ context.Context, t engine.Turn) (node.Request, error) {
	r, err := request(tasks.UpgradeCheck, checkTimeout, upgrade.CheckSpec{Version: t.Operation.Spec.Upgrade.Version,
		RemoveFeatureGates: t.Operation.Spec.Upgrade.RemoveFeatureGates})
	// The node's backup may run at the same time, and only one task does on a host.
	r.LockTimeout += backup.Timeout
	return r, err
}

// makeBackup asks the node's own member for the snapshot first.
func makeBackup(ctx context.Context, t engine.Turn) (node.Request, error) {
	h, err := host(t)
	if err != nil {
		return node.Request{}, err
	}
	own := func(url string) int {
		if strings.Contains(url, "//"+h.Address+":") || strings.Contains(url, "//["+h.Address+"]:") {
			return 0
		}
		return 1
	}
	urls := t.Cluster.EtcdEndpoints()
	slices.SortStableFunc(urls, func(a, b string) int { return own(a) - own(b) })
	all, err := operations.New(t.Clients.Dynamic).List(ctx)
	if err != nil {
		return node.Request{}, err
	}
	return request(tasks.Backup, backup.Timeout, backup.Spec{Operation: t.Operation.Name, Endpoints: urls, Keep: t.Operation.Spec.Upgrade.Backups(), Protect: operations.FirstTries(all)})
}

func drainVIP(drain bool) func(context.Context, engine.Turn) (node.Request, error) {
	return func(context.Context, engine.Turn) (node.Request, error) {
		return request(tasks.Drain, vipTimeout, vip.DrainSpec{Drain: drain})
	}
}

func upgradeControlPlane(first bool) func(context.Context, engine.Turn) (node.Request, error) {
	return func(ctx context.Context, t engine.Turn) (node.Request, error) {
		h, err := host(t)
		if err != nil {
			return node.Request{}, err
		}
		if err := keepPrevious(ctx, t); err != nil {
			return node.Request{}, err
		}
		config, err := config(t)
		if err != nil {
			return node.Request{}, err
		}
		patches, err := patches(t)
		if err != nil {
			return node.Request{}, err
		}
		return request(tasks.UpgradeControlPlane, upgrade.ControlPlaneTimeout, upgrade.ControlPlaneSpec{
			Version: t.Operation.Spec.Upgrade.Version, First: first, Config: config, Patches: patches,
			LocalEndpoint: t.Cluster.APIServerURL(h.Address),
		})
	}
}

func upgradeKubelet(ctx context.Context, t engine.Turn) (node.Request, error) {
	h, err := host(t)
	if err != nil {
		return node.Request{}, err
	}
	if err := keepPrevious(ctx, t); err != nil {
		return node.Request{}, err
	}
	spec := upgrade.KubeletSpec{Version: t.Operation.Spec.Upgrade.Version, ControlPlane: h.Has(v1alpha1.RoleControlPlane),
		RemoveFeatureGates: t.Operation.Spec.Upgrade.RemoveFeatureGates}
	if spec.Patches, err = patches(t); err != nil {
		return node.Request{}, err
	}
	if spec.Config, err = config(t); err != nil {
		return node.Request{}, err
	}
	return request(tasks.UpgradeKubelet, upgrade.KubeletTimeout, spec)
}

// keepPrevious notes on the node what it comes from, before anything is done.
func keepPrevious(ctx context.Context, t engine.Turn) error {
	n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, t.Step.Node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read node %s: %w", t.Step.Node, err)
	}
	return notePrevious(ctx, t, n, t.Operation.Spec.Upgrade.Version)
}

// patches are kubeadm's, without what removeGates has taken out of the stored document:
// the coordinator may have read that before.
func patches(t engine.Turn) (map[string]string, error) {
	out := maps.Clone(t.Cluster.Spec.Kubeadm.Patches)
	if !t.Operation.Spec.Upgrade.RemoveFeatureGates {
		return out, nil
	}
	for name, content := range out {
		text, _, err := cutPatch(name, content, t.Operation.Spec.Upgrade.Version)
		if err != nil {
			return nil, err
		}
		out[name] = text
	}
	return out, nil
}

func config(t engine.Turn) ([]byte, error) {
	p := kubeadm.UpgradeParams{Version: t.Operation.Spec.Upgrade.Version}
	if len(t.Cluster.Spec.Kubeadm.Patches) > 0 {
		p.PatchesDir = controlplane.PatchesDir
	}
	return kubeadm.Upgrade(t.Cluster, p)
}

func request(task string, timeout time.Duration, spec any) (node.Request, error) {
	r, err := node.NewRequest(task, timeout, spec)
	r.LockTimeout = lockTimeout
	return r, err
}

// saying is the line of a task whose success says all.
func saying(text string) func(node.Result) string { return func(node.Result) string { return text } }

// checked is a look at a node's content in a line.
func checked(r node.Result) string {
	var d upgrade.CheckData
	if json.Unmarshal(r.Data, &d) != nil || len(d.Binaries) == 0 {
		return "" // Only the data got lost on its way, not the result.
	}
	return "has " + strings.Join(slices.Sorted(maps.Keys(d.Binaries)), ", ")
}

// backedUp is a backup's result in a line.
func backedUp(r node.Result) string {
	var d backup.Data
	if json.Unmarshal(r.Data, &d) != nil || d.Name == "" {
		return "" // Only the data got lost on its way, not the result.
	}
	return d.Content()
}

// upgraded is an upgrade's result in a line.
func upgraded(r node.Result) string {
	var d upgrade.Data
	switch {
	case json.Unmarshal(r.Data, &d) != nil:
		return "" // Only the data got lost on its way, not the result.
	case d.Already:
		return "already up to date"
	case d.From == "":
		return "" // A rollback.
	case d.Resumed:
		return "from " + d.From + ", going on from where an earlier run ended"
	}
	return "from " + d.From
}
