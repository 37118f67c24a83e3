package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	rotation "github.com/kubectl-ha/kubectl-ha/pkg/incluster/rotateca"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// lookAround asks every control plane node how far it is, all at once.
func (w *rotating) lookAround(ctx context.Context) error {
	looks, err := w.askAll(ctx, w.Cluster.ControlPlanes())
	if err != nil {
		return action.As(action.Unreachable, fmt.Errorf("%w\nnext: every control plane node takes part in a rotation; bring it back, or remove it: kubectl ha node remove", err))
	}
	w.looks = looks
	return nil
}

func (w *rotating) askAll(ctx context.Context, hosts []v1alpha1.Host) (map[string]certs.RotationLookData, error) {
	looks, failed := transport.Ask(hosts, func(h v1alpha1.Host) (d certs.RotationLookData, err error) {
		err = w.call(ctx, h, tasks.RotationLook, certs.RotationLookSpec{Authority: w.Authority}, &d)
		return d, err
	})
	var all []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		all = append(all, failed[name])
	}
	return looks, errors.Join(all...)
}

// call runs a task on a node, and reads its result.
func (w *rotating) call(ctx context.Context, h v1alpha1.Host, task string, spec, result any) error {
	req := node.Request{Cluster: w.Cluster.Metadata.Name, Task: task, Step: task + "/" + h.Name, Timeout: askTimeout, LockTimeout: lookTimeout}
	res, err := bootstrap.Call(ctx, w.way(h), h.Name, req, spec, report.Warnings(w.sink))
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if err := json.Unmarshal(res.Data, result); err != nil {
		return fmt.Errorf("%s: cannot read its result: %w", h.Name, err)
	}
	return nil
}

// signs is the authority that signs on all control plane nodes.
func (w *rotating) signs() ([]byte, error) {
	var first []byte
	var of string
	for _, name := range slices.Sorted(maps.Keys(w.looks)) {
		signs := w.looks[name].Signs
		switch {
		case signs == nil:
			return nil, fmt.Errorf("the private key of %s is not on %s\nnext: where it is kept elsewhere, put it on every control plane node for as long as the rotation takes", w.Authority, name)
		case first == nil:
			first, of = signs, name
		case !pki.Same(first, signs):
			return nil, fmt.Errorf("%s and %s sign with different keys: %s and %s\nnext: copy %s from the right one to the other, and restart its control plane", of, name, pki.ID(first), pki.ID(signs), w.Authority)
		}
	}
	return first, nil
}

// offering is a node that has the private key of the authority to come, or that creates it.
func (w *rotating) offering() v1alpha1.Host {
	all := w.Cluster.ControlPlanes()
	for _, h := range all {
		held := w.looks[h.Name].Held
		if w.state.to != nil && w.looks[h.Name].Holds(w.state.to) || w.state.to == nil && len(held) > 1 {
			return h
		}
	}
	return all[0]
}

// offer has a node encrypt the authority's private key to others.
func (w *rotating) offer(ctx context.Context, h v1alpha1.Host, next []byte, recipients map[string]string) (certs.RotationOfferData, error) {
	var d certs.RotationOfferData
	err := w.call(ctx, h, tasks.RotationOffer, certs.RotationOfferSpec{Authority: w.Authority, Next: next, Recipients: recipients}, &d)
	return d, action.OfRun(err)
}

// seal encrypts the private key to those control plane nodes that lack it.
func (w *rotating) seal(ctx context.Context, phase certs.Phase) (map[string][]byte, error) {
	if phase == certs.PhaseFinish {
		return nil, nil
	}
	if err := w.lookAround(ctx); err != nil { // A node may have joined since.
		return nil, err
	}
	recipients := map[string]string{}
	for _, h := range w.Cluster.ControlPlanes() {
		if w.looks[h.Name].Holds(w.target()) {
			continue
		}
		var d certs.RotationReceiveData
		if err := w.call(ctx, h, tasks.RotationReceive, certs.RotationLookSpec{Authority: w.Authority}, &d); err != nil {
			return nil, action.OfRun(err)
		}
		recipients[h.Name] = d.Recipient
	}
	if len(recipients) == 0 {
		return nil, nil
	}
	if w.ownsTarget() {
		return w.sealOwn(recipients)
	}
	from := slices.IndexFunc(w.Cluster.ControlPlanes(), func(h v1alpha1.Host) bool { return w.looks[h.Name].Holds(w.target()) })
	if from < 0 {
		return nil, action.As(action.Findings, fmt.Errorf("no control plane node has the private key of the authority %s\nnext: provide it if it is that of a CA of your own (--ca-cert and --ca-key), or take the rotation back with --undo, and begin another one", pki.ID(w.target())))
	}
	d, err := w.offer(ctx, w.Cluster.ControlPlanes()[from], w.target(), recipients)
	return d.Sealed, err
}

// operate has an Operation bring the nodes to a phase. An unfinished one for the same is resumed.
func (w *rotating) operate(ctx context.Context, spec v1alpha1.OperationSpec, sealed map[string][]byte) (string, error) {
	all, err := w.ops.Heads(ctx)
	if err != nil {
		return "", action.OfCluster(err)
	}
	for _, op := range all {
		if !operations.Unfinished(op) || !w.mine(op.Spec) || op.Spec.RotateAuthority.Phase != spec.RotateAuthority.Phase {
			continue
		}
		if err := w.ops.Resume(ctx, op.Name); err != nil {
			return op.Name, action.OfCluster(err)
		}
		return op.Name, w.ops.Watch(ctx, op.Name, w.sink)
	}
	op, err := w.ops.CreateWith(ctx, spec, func(ctx context.Context, op *v1alpha1.Operation) error {
		return rotation.HandOver(ctx, w.clients.Kube, op, sealed)
	})
	if err != nil {
		return "", action.OfCluster(err)
	}
	return op.Name, w.ops.Watch(ctx, op.Name, w.sink)
}

// mayFinish is an error when something is known that would break by the last phase.
func (w *rotating) mayFinish(ctx context.Context) error {
	if w.Back && (w.state.begun != certs.PhaseIssue || w.Authority == certs.AuthorityKubernetes) {
		return nil // Nothing was issued by what goes, or everybody trusts what stays.
	}
	switch w.Authority {
	case certs.AuthorityKubernetes:
		return w.mayDropCA(ctx)
	case certs.AuthorityServiceAccount:
		looks, err := w.askAll(ctx, w.Cluster.Nodes())
		if err != nil {
			return action.As(action.Unreachable, err)
		}
		var left []string
		for _, name := range slices.Sorted(maps.Keys(looks)) {
			if n := len(looks[name].Stale); n > 0 {
				left = append(left, fmt.Sprintf("%s (%d pods)", name, n))
			}
		}
		if len(left) > 0 {
			return action.As(action.Findings, fmt.Errorf("pods still have a token that the former key has signed, on %s\nnext: run the command again in a few minutes; a pod that is being removed gets no new token", strings.Join(left, ", ")))
		}
	}
	return nil
}

// settle bounds waits for what the API has.
const settle = 5 * time.Minute
