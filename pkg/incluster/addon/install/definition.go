package install

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/lent"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
)

const (
	// applyTimeout bounds the applying of one addon; removeTimeout its removal, in
	// which operators may have to take down what they made.
	applyTimeout  = 5 * time.Minute
	removeTimeout = 10 * time.Minute
	// longestDeadline bounds what a descriptor may ask for.
	longestDeadline = time.Hour
	// packedKey is the packed addon's key in its Secret.
	packedKey = "addon"
)

// Definition is the Addon Operation.
func Definition() engine.Definition {
	return engine.Definition{
		Plan: func(ctx context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			seen, err := observe(ctx, env)
			if err != nil {
				return nil, err
			}
			return Plan(env.Operation, env.Cluster, seen)
		},
		Steps: map[string]engine.Step{
			stepCertificate:   certificateStep{},
			stepApply:         engine.Func{Do: applyAddon, Timeout: applyTimeout},
			stepHealthy:       engine.Func{Do: awaitHealthy, Timeout: longestDeadline, Gate: true},
			stepKubeletConfig: engine.Func{Do: setKubeletConfig, Timeout: time.Minute},
			stepKubelet:       engine.NodeTask{Request: serveKubelet, LostRetries: 1},
			stepRecord:        engine.Func{Do: record, Timeout: time.Minute},
			stepRemove:        engine.Func{Do: removeAddon, Timeout: removeTimeout},
			stepTidy:          engine.Func{Do: tidy, Timeout: time.Minute},
			stepRevoke:        engine.Func{Do: revoke, Timeout: time.Minute},
		},
		End: lent.End,
	}
}

// subject is the part of a step's ID after the slash.
func subject(t engine.Turn) string {
	_, rest, _ := strings.Cut(t.Step.ID, "/")
	return rest
}

// itemOf is the addon that a step is about.
func itemOf(env engine.Env, name string) (v1alpha1.AddonItem, error) {
	for _, item := range env.Operation.Spec.Addon.Addons {
		if item.Name == name {
			return item, nil
		}
	}
	return v1alpha1.AddonItem{}, fmt.Errorf("operation %s is not about the addon %s", env.Operation.Name, name)
}

// ContentName names the Secret with a packed addon, until the Operation is done. An addon may
// have Secrets among its manifests, and who may view a namespace sees its ConfigMaps.
func ContentName(operation, addon string) string { return operation + "-addon-" + addon }

// SecretsName names the Secret with the certificates that an Operation hands over.
func SecretsName(operation string) string { return operation + "-certificates" }

// HandOver puts packed addons, by name, and certificates, by SecretKey, where an
// Operation's coordinator finds them.
func HandOver(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, packed map[string][]byte, certificates map[string][]byte) error {
	for name, content := range packed {
		if err := operations.HandOver(ctx, kube, op, ContentName(op.Name, name), "the addon "+name, map[string][]byte{packedKey: content}); err != nil {
			return err
		}
	}
	if len(certificates) == 0 {
		return nil
	}
	return operations.HandOver(ctx, kube, op, SecretsName(op.Name), "the certificates", certificates)
}

// unpack reads an addon that was handed over.
func unpack(ctx context.Context, env engine.Env, item v1alpha1.AddonItem) (*addon.Addon, error) {
	secret, err := env.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, ContentName(env.Operation.Name, item.Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the addon %s was not handed over to operation %s\nnext: abort it, and run kubectl ha addon install again", item.Name, env.Operation.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the addon %s: %w", item.Name, err)
	}
	return addon.Unpack(secret.Data[packedKey], item.Digest)
}

// awaitHealthy waits until all of an addon is well.
func awaitHealthy(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	inv, err := readInventory(ctx, t.Clients.Kube, subject(t))
	if err != nil {
		return engine.Outcome{}, err
	}
	if inv == nil {
		return engine.Outcome{}, fmt.Errorf("nothing says what the addon %s made", subject(t))
	}
	deadline := inv.Health.Deadline.Duration
	if deadline == 0 {
		deadline = addon.DefaultDeadline
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("not well within %s", deadline))
	defer cancel()
	err = engine.Until(ctx, t, inv.Name+" to be well", func(ctx context.Context) (string, error) {
		lacks, err := Unhealthy(ctx, t.Clients, inv)
		return strings.Join(lacks, "\n"), err
	})
	return engine.Outcome{}, err
}

// record notes that an addon is installed.
func record(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	inv, err := readInventory(ctx, t.Clients.Kube, subject(t))
	if err != nil || inv == nil {
		return engine.Outcome{}, err
	}
	inv.State = Installed
	return engine.Outcome{Message: inv.Version}, writeInventory(ctx, t.Clients.Kube, inv)
}

// tidy removes what was handed over.
func tidy(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	kube := t.Clients.Kube.CoreV1()
	for _, item := range t.Operation.Spec.Addon.Addons {
		err := kube.Secrets(v1alpha1.SystemNamespace).Delete(ctx, ContentName(t.Operation.Name, item.Name), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return engine.Outcome{}, fmt.Errorf("remove what was handed over: %w", err)
		}
	}
	err := kube.Secrets(v1alpha1.SystemNamespace).Delete(ctx, SecretsName(t.Operation.Name), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return engine.Outcome{}, fmt.Errorf("remove what was handed over: %w", err)
	}
	return engine.Outcome{}, nil
}

// revoke is a step of plans that earlier versions have made.
func revoke(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	return engine.Outcome{}, lent.End(ctx, t.Env)
}

// sorted is a copy in order.
func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
