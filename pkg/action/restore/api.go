package restore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

const (
	// apiTimeout bounds the wait for an apiserver, nodesTimeout that for the nodes.
	apiTimeout    = 5 * time.Minute
	nodesTimeout  = 5 * time.Minute
	checkInterval = 2 * time.Second
)

// cluster is what is done through the API of the restored cluster.
type cluster interface {
	// end ends the Operations that the snapshot believes in, and removes the nodes of hosts that are
	// lost.
	end(ctx context.Context, lost []string) (ended, removed []string, err error)
	// nodes tells which nodes are not ready, and which are cordoned.
	nodes(ctx context.Context) (notReady, cordoned []string, err error)
	// settle brings what the snapshot has of the cluster's CAs and keys to those that are in use.
	settle(ctx context.Context) certs.Settled
	// hold keeps Operations from beginning until it is released; id is the restore's.
	hold(ctx context.Context, id string, sink report.Sink) (release func(), err error)
}

// api is the cluster behind one apiserver.
type api struct {
	kube    kubernetes.Interface
	ops     *operations.Client
	clients *client.Clients
}

func (c api) settle(ctx context.Context) certs.Settled {
	return certs.Settle(ctx, c.clients, c.clients.Config.CAData)
}

// hold keeps to itself that the API can't be told: a restore is never stopped by that, and neither by what
// the snapshot, or somebody a moment ago, has left in progress.
func (c api) hold(ctx context.Context, id string, sink report.Sink) (func(), error) {
	held, err := action.Hold{Config: c.clients.Config, ID: id, Command: "kubectl ha etcd restore", Mends: true, Passes: func(b *operations.BusyError) bool {
		action.Warn(sink, "", "%v; the restore does not wait for that", b)
		return true
	}}.Take(ctx, sink)
	if err != nil {
		return nil, err
	}
	return held.Release, nil
}

// connect talks to the apiserver of one control plane, as its administrator.
func (r *Restore) connect(ctx context.Context, h v1alpha1.Host) (cluster, error) {
	var data controlplane.KubeconfigData
	if err := r.call(ctx, h.Name, tasks.AdminKubeconfig, "admin/"+h.Name, lookTimeout, struct{}{}, &data); err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%s: its admin.conf is unusable", h.Name) // The error could quote it.
	}
	config.Host = "https://" + net.JoinHostPort(h.Address, strconv.Itoa(int(r.Cluster.Spec.APIServerPort)))
	config.Dial = r.Hosts.DialContext(h.Name)
	apihttp.LogBodies(config)
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	return api{clients.Kube, operations.New(clients.Dynamic), clients}, nil
}

func (r *Restore) apiReady(ctx context.Context, h v1alpha1.Host) error {
	return host.Until(ctx, apiTimeout, checkInterval, func(ctx context.Context) error {
		var raw observe.Facts
		if err := r.call(ctx, h.Name, tasks.Observe, "observe/"+h.Name, lookTimeout, observe.Spec{Address: h.Address, APIServerPort: r.Cluster.Spec.APIServerPort, DataDir: r.Cluster.Spec.Etcd.DataDir}, &raw); err != nil {
			return err
		}
		if !raw.State.APIServerReady {
			return errors.New("it does not answer /readyz with 200")
		}
		return nil
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("the apiserver of %s is not ready after %v: %w", h.Name, apiTimeout, seen), "check journalctl -u kubelet and /var/log/pods there, then run the same command again")
	})
}

// end comes before anything else that acts runs: pods of Jobs first, so that no kubelet begins a
// step of an Operation of long ago.
func (c api) end(ctx context.Context, lost []string) (ended, removed []string, err error) {
	now := int64(0)
	background := metav1.DeletePropagationBackground
	ofJobs := metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name"}
	if err := c.kube.CoreV1().Pods(v1alpha1.SystemNamespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, ofJobs); err != nil {
		return nil, nil, fmt.Errorf("remove the pods of the snapshot's Jobs: %w", err)
	}
	if err := c.kube.BatchV1().Jobs(v1alpha1.SystemNamespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{LabelSelector: labels.Everything().String()}); err != nil {
		return nil, nil, fmt.Errorf("remove the snapshot's Jobs: %w", err)
	}
	all, err := c.ops.List(ctx)
	if err != nil && !apierrors.IsNotFound(err) { // A cluster without Operations.
		return nil, nil, fmt.Errorf("list the snapshot's Operations: %w", err)
	}
	for _, op := range all {
		if op.Status.Phase.Final() {
			continue
		}
		if err := c.ops.Delete(ctx, op.Name); err != nil && !apierrors.IsNotFound(err) {
			return ended, nil, fmt.Errorf("end the Operation %s: %w", op.Name, err)
		}
		ended = append(ended, op.Name)
	}
	for _, name := range lost {
		switch err := c.kube.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}); {
		case apierrors.IsNotFound(err):
		case err != nil:
			return ended, removed, fmt.Errorf("remove the node %s: %w", name, err)
		default:
			removed = append(removed, name)
		}
		if err := c.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return ended, removed, fmt.Errorf("remove the lease of the node %s: %w", name, err)
		}
	}
	return ended, removed, nil
}

func (c api) nodes(ctx context.Context) (notReady, cordoned []string, err error) {
	list, err := c.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, err
	}
	for _, n := range list.Items {
		// What the snapshot says of a node was true then: only what its kubelet has said since counts.
		ready := slices.ContainsFunc(n.Status.Conditions, func(x corev1.NodeCondition) bool {
			return x.Type == corev1.NodeReady && x.Status == corev1.ConditionTrue
		})
		lease, err := c.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.Name, metav1.GetOptions{})
		fresh := err == nil && lease.Spec.RenewTime != nil && time.Since(lease.Spec.RenewTime.Time) < time.Minute
		if !ready || !fresh {
			notReady = append(notReady, n.Name)
		}
		if n.Spec.Unschedulable {
			cordoned = append(cordoned, n.Name)
		}
	}
	return notReady, cordoned, nil
}

// checked waits for every apiserver and for the nodes. A node that does not come back is told of,
// and does not undo the restore.
func (r *Restore) checked(ctx context.Context, planes []v1alpha1.Host, result *Result) error {
	if err := action.Each(planes, func(_ int, h v1alpha1.Host) error { return r.wait(ctx, h) }); err != nil {
		return err
	}
	c, err := r.api(ctx, planes[0])
	if err != nil {
		return err
	}
	err = host.Until(ctx, nodesTimeout, checkInterval, func(ctx context.Context) error {
		notReady, cordoned, err := c.nodes(ctx)
		if err != nil {
			return err
		}
		result.NotReady, result.Cordoned = notReady, cordoned
		if len(notReady) > 0 {
			return fmt.Errorf("not ready: %s", strings.Join(notReady, ", "))
		}
		return nil
	}, func(seen error) error { return seen })
	if err != nil && len(result.NotReady) > 0 && ctx.Err() == nil {
		return nil
	}
	return err
}
