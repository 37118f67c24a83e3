package loadbalancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/ready"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/apply"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/balancer"
)

// dialTimeout bounds the look at one address.
const dialTimeout = 5 * time.Second

// Trust is the cluster's CA, without any login.
func Trust(config *rest.Config) (*tls.Config, error) {
	out, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("the cluster's CA: %w", err)
	}
	if out == nil {
		return nil, errors.New("the cluster is talked to without TLS")
	}
	return out, nil
}

// Shake shakes hands with a server by a name.
func Shake(ctx context.Context, config *tls.Config, address, name string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	config = config.Clone()
	config.ServerName = name
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func applyObjects(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	objects, err := Objects(t.Cluster, t.Operation.Spec.LoadBalancer, t.Operation.Annotations[v1alpha1.AnnotationAgentImage])
	if err != nil {
		return engine.Outcome{}, err
	}
	changed, err := apply.Apply(ctx, t.Clients, objects, apply.Options{Force: true})
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Message: fmt.Sprintf("%d of %d objects changed", len(changed), len(objects))}, nil
}

// awaitReady waits for the roll-out, for a pod on each control plane, and for an answer
// through the virtual IP.
func awaitReady(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	want := result(t)
	var names []string
	for _, h := range want.ControlPlanes() {
		names = append(names, h.Name)
	}
	config, err := Trust(t.Clients.Config)
	if err != nil {
		return engine.Outcome{}, err
	}
	err = engine.Until(ctx, t, "the load balancer", func(ctx context.Context) (string, error) {
		ds, err := t.Clients.Kube.AppsV1().DaemonSets(v1alpha1.SystemNamespace).Get(ctx, Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		pods, err := listPods(ctx, t.Clients.Kube)
		if err != nil {
			return "", err
		}
		if waits := uncovered(pods, names); waits != "" {
			return waits, nil
		}
		if waits := ready.DaemonSet(ds); waits != "" {
			return waits, nil
		}
		if err := balancer.Ready(ctx, config, want.BalancedEndpoint(), dialTimeout); err != nil {
			return "no answer at " + want.BalancedEndpoint() + ": " + err.Error(), nil
		}
		return "", nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: kubectl -n %s logs -l app.kubernetes.io/component=loadbalancer says more; resume once the cause is gone, or kubectl ha loadbalancer remove", err, v1alpha1.SystemNamespace)
	}
	return engine.Outcome{Message: want.BalancedURL()}, nil
}

// record notes the load balancer, or that there is none, in the stored Cluster document,
// by which later Operations go.
func record(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	return store(ctx, t, result(t).Spec.LoadBalancer)
}

// note is record while some still use it that are not to: they stay in the document.
func note(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	want := result(t).Spec.LoadBalancer
	want.UseFor = append(slices.Clone(want.UseFor), dropped(t.Cluster.Spec.LoadBalancer, want)...)
	return store(ctx, t, want)
}

func store(ctx context.Context, t engine.Turn, want v1alpha1.LoadBalancer) (engine.Outcome, error) {
	changed, err := document.Change(ctx, t.Clients.Kube, func(c *v1alpha1.Cluster) *v1alpha1.Cluster {
		if reflect.DeepEqual(c.Spec.LoadBalancer, want) {
			return nil
		}
		c.Spec.LoadBalancer = want
		return c
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	if !changed {
		return engine.Outcome{Message: "already up to date"}, nil
	}
	return engine.Outcome{}, nil
}

// heard waits until every kubelet that was pointed elsewhere has renewed its lease since,
// by which it is known to reach the API there.
func heard(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	since := map[string]time.Time{}
	for _, s := range t.Operation.Status.Steps {
		if strings.HasPrefix(s.ID, StepKubelet+"/") && s.FinishedAt != nil {
			since[s.Node] = s.FinishedAt.Time
		}
	}
	err := engine.Until(ctx, t, "the kubelets to be heard of at their new endpoint", func(ctx context.Context) (string, error) {
		var waits []string
		for node, at := range since {
			lease, err := t.Clients.Kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, node, metav1.GetOptions{})
			if err != nil {
				return "", err
			}
			// Renewed before that, by the node's clock.
			if age, known := ready.LeaseAge(lease, at); !known || age > 0 {
				waits = append(waits, node)
			}
		}
		if len(waits) == 0 {
			return "", nil
		}
		return strings.Join(waits, ", ") + " not heard of yet", nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: see journalctl -u kubelet there; resume looks again", err)
	}
	return engine.Outcome{Message: fmt.Sprintf("%d kubelets", len(since))}, nil
}

// remove deletes all that is the load balancer's, the pods first, and waits for their end.
func remove(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	kube := t.Clients.Kube
	background := metav1.DeletePropagationBackground
	if err := kube.AppsV1().DaemonSets(v1alpha1.SystemNamespace).Delete(ctx, Name, metav1.DeleteOptions{PropagationPolicy: &background}); ignoreGone(err) != nil {
		return engine.Outcome{}, fmt.Errorf("remove the load balancer's daemon set: %w", err)
	}
	err := engine.Until(ctx, t, "the load balancer's pods to end", func(ctx context.Context) (string, error) {
		pods, err := listPods(ctx, kube)
		if err != nil || len(pods) == 0 {
			return "", err
		}
		return fmt.Sprintf("%d pods", len(pods)), nil
	})
	if err != nil {
		return engine.Outcome{}, err
	}
	for what, do := range map[string]func() error{
		"cluster role binding": func() error {
			return kube.RbacV1().ClusterRoleBindings().Delete(ctx, Name, metav1.DeleteOptions{})
		},
		"cluster role": func() error { return kube.RbacV1().ClusterRoles().Delete(ctx, Name, metav1.DeleteOptions{}) },
		"settings": func() error {
			return kube.CoreV1().ConfigMaps(v1alpha1.SystemNamespace).Delete(ctx, Name, metav1.DeleteOptions{})
		},
		"service account": func() error {
			return kube.CoreV1().ServiceAccounts(v1alpha1.SystemNamespace).Delete(ctx, Name, metav1.DeleteOptions{})
		},
	} {
		if err := do(); ignoreGone(err) != nil {
			return engine.Outcome{}, fmt.Errorf("remove the load balancer's %s: %w", what, err)
		}
	}
	return engine.Outcome{}, nil
}

// ignoreGone takes what is not there for removed.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
