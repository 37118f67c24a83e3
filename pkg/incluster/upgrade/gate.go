package upgrade

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
)

const (
	// gateTimeout is how long a node may take to be well after its upgrade.
	gateTimeout = 10 * time.Minute
	// settled is for how long all must have been well: a static pod whose manifest was
	// written a moment ago is still the old one, and Ready.
	settled = 3 * time.Second
)

// gate waits until a node is well at the Operation's version, and has been for a moment.
func gate(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	target := targetOf(t.Operation)
	h, err := host(t)
	if err != nil {
		return engine.Outcome{}, err
	}
	var since time.Time
	err = engine.Until(ctx, t, h.Name+" to be well at "+target, func(ctx context.Context) (string, error) {
		waits, err := unwell(ctx, t, h, target)
		switch {
		case err != nil || waits != "":
			since = time.Time{}
			return waits, err
		case since.IsZero():
			since = time.Now()
		}
		if time.Since(since) < settled {
			return "it is well, and is looked at for a moment more", nil
		}
		return "", nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: see to %s (journalctl -u kubelet) and resume; or abort, then kubectl ha upgrade rollback-node %s", err, h.Name, h.Name)
	}
	return engine.Outcome{Message: "Ready at " + target}, nil
}

// targetOf is the version that the Operation brings nodes to.
func targetOf(op *v1alpha1.Operation) string {
	if op.Spec.RollbackNode != nil {
		return op.Spec.RollbackNode.Version
	}
	return op.Spec.Upgrade.Version
}

// unwell says what is not yet as it should be on a node; empty when all is.
func unwell(ctx context.Context, t engine.Turn, h v1alpha1.Host, target string) (string, error) {
	kube := t.Clients.Kube
	n, err := kube.CoreV1().Nodes().Get(ctx, h.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	nodes, err := nodesOf(ctx, kube, []corev1.Node{*n}, time.Now())
	if err != nil {
		return "", err
	}
	one := nodes[h.Name]
	if h.Has(v1alpha1.RoleControlPlane) && !kubeletsOnly(t) {
		if waits, err := serverUnwell(ctx, t, h, one, target); waits != "" || err != nil {
			return waits, err
		}
	}
	switch {
	case one.Kubelet != target:
		return "its kubelet reports " + one.Kubelet, nil
	case one.NotReady != "":
		return "it is not ready: " + one.NotReady, nil
	}
	return "", nil
}

// kubeletsOnly tells whether the Operation is about no control plane.
func kubeletsOnly(t engine.Turn) bool {
	return t.Operation.Spec.Upgrade != nil && t.Operation.Spec.Upgrade.Only == v1alpha1.UpgradeNodes
}

// serverUnwell looks at a control plane: its own apiserver, which is ready only when
// etcd answers with its quorum; the static pods at the version, and Ready; CoreDNS.
func serverUnwell(ctx context.Context, t engine.Turn, h v1alpha1.Host, n Node, target string) (string, error) {
	info, err := serverVersion(ctx, t.Clients.Config, t.Cluster.APIServerAddress(h.Address))
	if err != nil {
		return "", err
	}
	if info.GitVersion != target {
		return "its apiserver is at " + info.GitVersion, nil
	}
	for _, c := range components() {
		switch {
		case n.Static[c] != target:
			return fmt.Sprintf("%s is at %q", c, n.Static[c]), nil
		case !n.StaticReady[c]:
			return c + " is not ready", nil
		}
	}
	if waits, err := memberUnwell(ctx, t.Cluster, h, n); waits != "" || err != nil {
		return waits, err
	}
	d, err := t.Clients.Kube.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil // It is not everybody's DNS.
	case err != nil:
		return "", err
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentAvailable && c.Status != corev1.ConditionTrue {
			return "CoreDNS is not available: " + strings.TrimSpace(c.Message), nil
		}
	}
	return "", nil
}
