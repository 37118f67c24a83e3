package certs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	taskcerts "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

const (
	// TaskTimeout bounds the exchange of one node's certificates, each of which may take two
	// minutes to be seen at work, and as long to be put back.
	TaskTimeout = 15 * time.Minute
	lockTimeout = 5 * time.Minute
	// lostAfter is for how long a node may be silent before its attempt counts as lost.
	lostAfter   = 2 * time.Minute
	lostRetries = 3
	gateTimeout = 5 * time.Minute
)

// Definition is the RenewCertificates Operation.
func Definition() engine.Definition {
	return engine.Definition{
		Plan: func(_ context.Context, env engine.Env) ([]v1alpha1.StepStatus, error) {
			return Plan(env.Operation.Spec.RenewCertificates, env.Cluster)
		},
		Steps: map[string]engine.Step{
			StepWell:    engine.Func{Do: Well, Timeout: gateTimeout, Gate: true},
			stepInstall: engine.NodeTask{Request: install, LostRetries: lostRetries, LostAfter: lostAfter, Message: said},
			stepRenew:   engine.NodeTask{Request: renew, LostRetries: lostRetries, LostAfter: lostAfter, Message: said},
			StepGate:    engine.Func{Do: Well, Timeout: gateTimeout, Gate: true},
		},
	}
}

// SecretName names the Secret with the certificates that an Operation hands over.
func SecretName(operation string) string { return operation + "-certificates" }

// secretKey is where one of a node's certificates stands in it.
func secretKey(nodeName, certificate string) string { return nodeName + "." + certificate + ".crt" }

// HandOver puts what was signed for nodes, by their names, where the Operation's steps find it.
func HandOver(ctx context.Context, kube kubernetes.Interface, op *v1alpha1.Operation, signed map[string]taskcerts.InstallSpec) error {
	data := map[string][]byte{}
	for nodeName, spec := range signed {
		for name, cert := range spec.Certificates {
			data[secretKey(nodeName, name)] = cert
		}
	}
	if len(data) == 0 {
		return nil
	}
	return operations.HandOver(ctx, kube, op, SecretName(op.Name), "the certificates", data)
}

// of are the certificates of the step's node.
func of(t engine.Turn) (v1alpha1.NodeCertificates, error) {
	spec := t.Operation.Spec.RenewCertificates
	at := slices.IndexFunc(spec.Nodes, func(n v1alpha1.NodeCertificates) bool { return n.Name == t.Step.Node })
	if at < 0 {
		return v1alpha1.NodeCertificates{}, fmt.Errorf("the operation has no certificates of %s", t.Step.Node)
	}
	return spec.Nodes[at], nil
}

// anew is what to do when what was signed can't be used any more.
const anew = "abort this operation, and begin another one: kubectl ha certs renew"

func install(ctx context.Context, t engine.Turn) (node.Request, error) {
	mine, err := of(t)
	if err != nil {
		return node.Request{}, err
	}
	secret, err := t.Clients.Kube.CoreV1().Secrets(v1alpha1.SystemNamespace).Get(ctx, SecretName(t.Operation.Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return node.Request{}, fmt.Errorf("what was signed for this operation is gone: the secret %s\nnext: %s", SecretName(t.Operation.Name), anew)
	}
	if err != nil {
		return node.Request{}, fmt.Errorf("read what was signed for this operation: %w", err)
	}
	spec := taskcerts.InstallSpec{Certificates: map[string][]byte{}}
	for _, name := range mine.Signed {
		cert := secret.Data[secretKey(mine.Name, name)]
		if len(bytes.TrimSpace(cert)) == 0 {
			return node.Request{}, fmt.Errorf("%s of %s was not signed\nnext: %s", name, mine.Name, anew)
		}
		spec.Certificates[name] = cert
	}
	return request(tasks.InstallCertificates, spec)
}

func renew(_ context.Context, t engine.Turn) (node.Request, error) {
	mine, err := of(t)
	if err != nil {
		return node.Request{}, err
	}
	spec := taskcerts.RenewSpec{Names: mine.Local}
	if mine.Validity != "" {
		if spec.Validity, err = time.ParseDuration(mine.Validity); err != nil {
			return node.Request{}, fmt.Errorf("the validity of the certificates of %s: %w", mine.Name, err)
		}
	}
	return request(tasks.RenewCertificates, spec)
}

func request(task string, spec any) (node.Request, error) {
	r, err := node.NewRequest(task, TaskTimeout, spec)
	r.LockTimeout = lockTimeout
	return r, err
}

// said is an exchange in a line.
func said(r node.Result) string {
	var d taskcerts.Data
	if json.Unmarshal(r.Data, &d) != nil {
		return "" // Only the data got lost on its way, not the result.
	}
	return Sum(d)
}

// Sum is what was exchanged on a host, in a line.
func Sum(d taskcerts.Data) string {
	var left string
	if len(d.Left) > 0 {
		left = "not renewed, since another CA has signed it: " + strings.Join(slices.Sorted(maps.Keys(d.Left)), ", ")
	}
	if len(d.Renewed) == 0 {
		return cmp.Or(left, "nothing to renew")
	}
	first := d.Renewed[0].NotAfter
	for _, r := range d.Renewed {
		if r.NotAfter.Before(first) {
			first = r.NotAfter
		}
	}
	text := fmt.Sprintf("%d in use, the first ends at %s", len(d.Renewed), first.UTC().Format(time.RFC3339))
	if len(d.Restarted) > 0 {
		text += "; restarted " + strings.Join(d.Restarted, ", ")
	}
	if len(d.Unseen) > 0 {
		text += fmt.Sprintf("; %d could not be seen at work", len(d.Unseen))
	}
	if left != "" {
		text += "; " + left
	}
	return text
}

// Well carries out the steps StepWell and StepGate, of this Operation and of others: it waits
// until every apiserver and member answers and, in StepGate, the step's node is Ready with its
// static pods.
func Well(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	about := ""
	if strings.HasPrefix(t.Step.ID, StepGate+"/") {
		about = t.About()
	}
	err := engine.Until(ctx, t, "the cluster to be well", func(ctx context.Context) (string, error) {
		o, err := upgrade.Observe(ctx, t.Clients, t.Cluster, upgrade.Look{Inside: true})
		if err != nil {
			return "", err
		}
		return unwell(o, about), nil
	})
	if err != nil {
		return engine.Outcome{}, fmt.Errorf("%w\nnext: see to what is named, and resume; where certificates have ended already, kubectl ha certs rescue renews them without the API", err)
	}
	return engine.Outcome{Message: "all apiservers and members answer"}, nil
}

// unwell says what is not as it should be; empty when all is. It is pure.
func unwell(o upgrade.Observation, about string) string {
	for _, e := range slices.Concat(o.APIServers, o.Etcd) {
		if e.Error != "" {
			return fmt.Sprintf("%s of %s: %s", e.Address, e.Node, e.Error)
		}
	}
	n, ok := o.Nodes[about]
	switch {
	case about == "":
		return ""
	case !ok:
		return about + " is no node of the cluster"
	case n.NotReady != "":
		return about + " is not ready: " + n.NotReady
	}
	for _, component := range slices.Sorted(maps.Keys(n.StaticReady)) {
		if !n.StaticReady[component] {
			return fmt.Sprintf("%s of %s is not ready", component, about)
		}
	}
	return ""
}
