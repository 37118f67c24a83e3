package images

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// pushTimeout bounds a node's part: a little less than the life of the
	// credentials. A node that nobody feeds gives up long before.
	pushTimeout  = 23 * time.Hour
	pruneTimeout = 15 * time.Minute
	// lockTimeout is for a task on the node that was thought lost and is not.
	lockTimeout = 5 * time.Minute
	// lostAfter is for how long a node may be silent, beyond the 40 seconds or so
	// after which its condition tells.
	lostAfter = time.Minute
	// lostRetries is how often a node that went away is begun with anew.
	lostRetries = 1
	// backWithin is how long a node that went away is waited for.
	backWithin   = 2 * time.Minute
	backInterval = time.Second
)

// Definition is the Images Operation.
func Definition() engine.Definition {
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) { return Plan(env.Operation) },
		Steps: map[string]engine.Step{
			stepCredentials: engine.Func{Do: makeCredentials, Timeout: 2 * time.Minute},
			stepImages:      engine.NodeTask{Request: push, LostRetries: lostRetries, LostAfter: lostAfter, MayAbort: true, Message: pushed},
			stepCleanUp:     engine.Func{Do: removeCredentials, Timeout: 2 * time.Minute},
		},
	}
}

// PruneDefinition is the PruneImages Operation.
func PruneDefinition() engine.Definition {
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return PrunePlan(env.Operation)
		},
		Steps: map[string]engine.Step{
			stepPrune: engine.NodeTask{Request: prune, LostRetries: lostRetries, LostAfter: lostAfter, Message: pruned},
		},
	}
}

// push is a node's request.
func push(ctx context.Context, t engine.Turn) (node.Request, error) {
	spec := t.Operation.Spec.Images
	self, err := fitNode(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	peers, err := peersOf(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	credentials, err := Credentials(ctx, t.Clients.Kube, t.Operation.Name)
	if err != nil {
		return node.Request{}, err
	}
	return request(tasks.PushImages, pushTimeout, images.Spec{
		Parcel: bundle.Blob{Digest: digest.Digest(spec.Parcel.Digest), Size: spec.Parcel.Size},
		Roles:  RolesOf(*self), AllRoles: spec.AllRoles, MaxRate: spec.MaxRate,
		Self: PeerAddress(*self, spec), Peers: peers.addresses, Names: peers.names, After: peers.before(*self), Credentials: credentials,
	})
}

// PeerAddress is host:port of a node's peer; empty without an address.
func PeerAddress(n corev1.Node, spec *v1alpha1.ImagesSpec) string {
	if address(n) == "" {
		return ""
	}
	return net.JoinHostPort(address(n), strconv.Itoa(int(spec.PeerPort())))
}

// peers are the nodes that take part in a push.
type peers struct {
	addresses []string
	// names are the nodes, by address.
	names map[string]string
	// controlPlanes are the addresses of those among them, in the order of their names.
	controlPlanes []string
}

// peersOf are the nodes whose steps have not ended and that can take part now:
// others would only be waited for.
func peersOf(ctx context.Context, t engine.Turn) (peers, error) {
	p := peers{names: map[string]string{}}
	nodes, err := t.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return p, fmt.Errorf("list nodes: %w", err)
	}
	working := map[string]bool{}
	for _, s := range t.Operation.Status.Steps {
		working[s.Node] = s.State == v1alpha1.StepPending || s.State == v1alpha1.StepRunning
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	for _, n := range nodes.Items {
		if !working[n.Name] || unfit(n) != "" {
			continue
		}
		addr := PeerAddress(n, t.Operation.Spec.Images)
		p.addresses, p.names[addr] = append(p.addresses, addr), n.Name
		if slices.Contains(RolesOf(n), v1alpha1.RoleControlPlane) {
			p.controlPlanes = append(p.controlPlanes, addr)
		}
	}
	return p, nil
}

// before are those that put images into their container runtime before a node does.
// Unpacking writes a gigabyte in a moment, and an etcd member on the same disk has to
// wait for its own writes meanwhile: with one control plane at a time the others
// are a quorum that answers. See https://etcd.io/docs/v3.6/op-guide/hardware/#disks.
func (p peers) before(self corev1.Node) []string {
	at := slices.IndexFunc(p.controlPlanes, func(addr string) bool { return p.names[addr] == self.Name })
	return p.controlPlanes[:max(at, 0)]
}

// fitNode reads the step's node and refuses it when it can't take part. One that
// went away in the middle is waited for.
func fitNode(ctx context.Context, t engine.Turn) (*corev1.Node, error) {
	patience := time.Duration(0)
	if t.Step.Attempt > 1 {
		patience = backWithin
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		n, err := t.Clients.Kube.CoreV1().Nodes().Get(ctx, t.Step.Node, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s is no node of the cluster any more", t.Step.Node)
		}
		if err != nil {
			return nil, fmt.Errorf("read node %s: %w", t.Step.Node, err)
		}
		why := unfit(*n)
		if why == "" {
			return n, nil
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("%s gets no images: %s\nnext: once it is well run the same kubectl ha images command again", t.Step.Node, why)
		case <-time.After(backInterval):
			t.Progress("waiting for the node: %s", why)
		}
	}
}

// prune is a node's request. The pods are looked at again: the choice was made
// before somebody was asked and before other Operations were waited for, and an
// image that goes from a node without a registry does not come back.
func prune(ctx context.Context, t engine.Turn) (node.Request, error) {
	self, err := fitNode(ctx, t)
	if err != nil {
		return node.Request{}, err
	}
	pods, err := t.Clients.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return node.Request{}, fmt.Errorf("list pods: %w", err)
	}
	for _, n := range t.Operation.Spec.PruneImages.Nodes {
		if n.Name == t.Step.Node {
			unused, used := StillUnused(*self, n.Refs, pods.Items)
			return request(tasks.PruneImages, pruneTimeout, images.PruneSpec{Refs: unused, Used: used})
		}
	}
	return node.Request{}, fmt.Errorf("operation %s names no images for %s", t.Operation.Name, t.Step.Node)
}

func request(task string, timeout time.Duration, spec any) (node.Request, error) {
	r, err := node.NewRequest(task, timeout, spec)
	r.LockTimeout = lockTimeout
	return r, err
}

// pushed is a node's result in a line.
func pushed(r node.Result) string {
	var d images.Data
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	if d.Imported == 0 {
		return "had all images" + gone(d)
	}
	return fmt.Sprintf("%d of %d images were missing; %s came from the workstation, %s from other nodes, %s went to them",
		d.Imported, d.Images, report.Size(d.FromFeed), report.Size(d.FromPeers), report.Size(d.Sent)) + gone(d)
}

// gone tells whom a node did not wait for.
func gone(d images.Data) string {
	if len(d.Gone) == 0 {
		return ""
	}
	return "; not waited for any longer: " + strings.Join(d.Gone, ", ")
}

// pruned is a node's result in a line.
func pruned(r node.Result) string {
	var d images.PruneData
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	removed := 0
	var kept []string
	for _, one := range d.Removals {
		if one.Removed {
			removed++
		}
		if one.Kept != "" {
			kept = append(kept, one.Ref+": "+one.Kept)
		}
	}
	text := fmt.Sprintf("%d of %d removed", removed, len(d.Removals))
	if len(kept) > 0 {
		text += "; kept " + strings.Join(kept, ", ")
	}
	return text
}
