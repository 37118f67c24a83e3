package images

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

// The keys of the Secret with the credentials.
const (
	keyCA   = "ca.crt"
	keyCert = "tls.crt"
	keyKey  = "tls.key"
)

// ErrNoCredentials: an Operation has them from its first step to its last.
var ErrNoCredentials = errors.New("it has no credentials yet, or has ended")

func secretName(operation string) string { return operation + "-peers" }

// makeCredentials makes what the Operation's peers prove themselves with, unless
// an earlier coordinator has.
func makeCredentials(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	api := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace)
	_, err := api.Get(ctx, secretName(t.Operation.Name), metav1.GetOptions{})
	if err == nil {
		return engine.Outcome{Message: "they are there"}, nil
	}
	if !apierrors.IsNotFound(err) {
		return engine.Outcome{}, fmt.Errorf("read the operation's credentials: %w", err)
	}
	hosts, err := addresses(ctx, t)
	if err != nil {
		return engine.Outcome{}, err
	}
	peers, err := bundle.NewPeers(hosts)
	if err != nil {
		return engine.Outcome{}, err
	}
	_, err = api.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:            secretName(t.Operation.Name),
			Labels:          map[string]string{"app.kubernetes.io/name": "kubectl-ha"},
			OwnerReferences: []metav1.OwnerReference{operations.Owner(t.Operation)},
		},
		Data: map[string][]byte{keyCA: peers.CA, keyCert: peers.Cert, keyKey: peers.Key},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return engine.Outcome{}, fmt.Errorf("keep the operation's credentials: %w", err)
	}
	return engine.Outcome{}, nil
}

// addresses are those of all the Operation's nodes, whether they can take part
// now or not.
func addresses(ctx context.Context, t engine.Turn) ([]string, error) {
	nodes, err := t.Clients.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	wanted := map[string]bool{}
	for _, name := range t.Operation.Spec.Images.Nodes {
		wanted[name] = true
	}
	var out []string
	for _, n := range nodes.Items {
		if a := address(n); wanted[n.Name] && a != "" {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of the nodes %v has an internal address", t.Operation.Spec.Images.Nodes)
	}
	return out, nil
}

// Credentials reads an Images Operation's; the error of an Operation that has
// none yet, or none any more, wraps ErrNoCredentials.
func Credentials(ctx context.Context, kube kubernetes.Interface, operation string) (bundle.Peers, error) {
	s, err := kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, secretName(operation), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return bundle.Peers{}, fmt.Errorf("operation %s: %w", operation, ErrNoCredentials)
	}
	if err != nil {
		return bundle.Peers{}, fmt.Errorf("read the credentials of operation %s: %w", operation, err)
	}
	return bundle.Peers{CA: s.Data[keyCA], Cert: s.Data[keyCert], Key: s.Data[keyKey]}, nil
}

func removeCredentials(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	err := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Delete(ctx, secretName(t.Operation.Name), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return engine.Outcome{}, fmt.Errorf("remove the operation's credentials: %w", err)
	}
	return engine.Outcome{}, nil
}
