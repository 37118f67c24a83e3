package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// RotateOptions say which authority is rotated, and how far.
type RotateOptions struct {
	// Options say which cluster it is, and how it is reached.
	Options
	Authority certs.Authority
	// Next is a CA of the caller's own that replaces the one in use; nil: one is made. Its key gets to
	// control plane nodes encrypted to each, that of the etcd CA into the state directory.
	Next *pki.KeyPair
	// Until is the phase after which the rotation pauses. Empty: the last one.
	Until certs.Phase
	// Back takes the rotation back instead: possible until the last phase has begun.
	Back bool
	// Restart are workloads that are restarted, within their budgets, once they can trust the new
	// CA: NAMESPACE, NAMESPACE/KIND or NAMESPACE/KIND/NAME.
	Restart []string
	// LeaveStale has the last phase begin although pods run that may not trust the new CA.
	LeaveStale bool
	// Login issues credentials like those of config, by the new CA, and puts them where the caller
	// keeps its own; it returns what works from then on. It is asked when config's own would stop
	// working. Nil: the rotation stops there with an error.
	Login func(ctx context.Context, config *rest.Config) (*rest.Config, error)
	// Confirm is asked with the plan before anything is changed; an error ends it.
	Confirm func(ctx context.Context, p RotationPlan) error
}

// Logins are the hosts that Rotate has to log in to: for the etcd CA all that have a certificate of
// it, else those that are no nodes.
func (o RotateOptions) Logins() []v1alpha1.Host {
	if o.Authority == certs.AuthorityEtcd {
		return o.Cluster.Keepers(o.Cluster.Spec.Hosts)
	}
	return o.LoginsInUse()
}

// RotationPlan is what a rotation does, before it does.
type RotationPlan struct {
	Authority certs.Authority `json:"authority"`
	// From and To are short names of the two; To is empty until it has been created. They are the same
	// when the caller's own CA is the one in use already.
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	Back bool   `json:"back,omitempty"`
	// Reached is the phase that the cluster is in; empty before the first.
	Reached certs.Phase   `json:"reached,omitempty"`
	Phases  []certs.Phase `json:"phases"`
	// ControlPlanes and Workers are how many nodes take part; of the etcd CA Members instead of
	// workers.
	ControlPlanes int `json:"controlPlanes"`
	Workers       int `json:"workers"`
	Members       int `json:"members,omitempty"`
	// Stale are workloads with pods that may not trust the new CA, NAMESPACE/KIND/NAME: they were
	// started before it was there for them. It is known once the first phase is done.
	Stale []string `json:"stale,omitempty"`
	// Notes say what else there is to know before it is begun.
	Notes []string `json:"notes,omitempty"`
}

// Empty reports whether nothing is to be done.
func (p RotationPlan) Empty() bool { return len(p.Phases) == 0 }

// InUse reports whether nothing is to be done since the cluster has the caller's own CA already.
func (p RotationPlan) InUse() bool { return p.Empty() && p.From != "" && p.From == p.To }

// RotationResult is what was done.
type RotationResult struct {
	Plan RotationPlan `json:"plan"`
	// Operations carried it out on the nodes, one for each phase.
	Operations []string `json:"operations,omitempty"`
	// Reached is the phase that the cluster is in now; empty when there is no rotation any more.
	Reached certs.Phase `json:"reached,omitempty"`
}

// Rotate replaces a CA, or the key of service accounts, while the cluster is in use. It can be
// interrupted anywhere and run again.
func Rotate(ctx context.Context, o RotateOptions, sink report.Sink) (RotationResult, error) {
	r := RotationResult{}
	named, err := o.checkRotation()
	if err != nil {
		return r, err
	}
	if o.Authority == certs.AuthorityEtcd {
		return o.rotateEtcd(ctx, sink)
	}
	w, err := o.prepare(ctx, named, sink)
	if err != nil {
		return r, err
	}
	if r.Plan, err = w.plan(ctx); err != nil {
		return r, err
	}
	r.Reached = w.state.reached
	if o.DryRun || r.Plan.Empty() {
		return r, nil
	}
	if err := w.ops.Refuse(ctx, w.mine); err != nil {
		return r, action.OfCluster(err)
	}
	if o.Confirm != nil {
		if err := o.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	if err := w.open(ctx); err != nil {
		return r, err
	}
	r.Plan.To = pki.ID(w.state.to)
	for _, phase := range r.Plan.Phases {
		name, err := w.carryOut(ctx, phase)
		if name != "" {
			r.Operations = append(r.Operations, name)
		}
		if err != nil {
			return r, fmt.Errorf("phase %s: %w", phase, err)
		}
		r.Reached = phase
		if phase == certs.PhaseFinish {
			r.Reached = ""
		}
	}
	return r, nil
}

// checkRotation finds what is asked for and does not exist, and reads the workloads of Restart.
func (o RotateOptions) checkRotation() (restart []workload, err error) {
	switch {
	case !slices.Contains(certs.Authorities(), o.Authority):
		return nil, action.Invalidf("there is no authority %q; choose one of %s", o.Authority, names(certs.Authorities()))
	case o.Until != "" && !slices.Contains(certs.Phases(), o.Until):
		return nil, action.Invalidf("there is no phase %q; choose one of %s", o.Until, names(certs.Phases()))
	case o.Back && o.Until != "":
		return nil, action.Invalidf("a rotation is taken back as a whole: choose either a phase or the way back")
	case o.Next != nil && o.Authority == certs.AuthorityServiceAccount:
		return nil, action.Invalidf("service accounts have a key and no CA, and it is made on a control plane node")
	case o.Next != nil && o.Back:
		return nil, action.Invalidf("a rotation that is taken back needs no new CA")
	case len(o.Only) > 0:
		return nil, action.Invalidf("a rotation is of all hosts: they have to trust the same")
	case o.Authority == certs.AuthorityEtcd && len(o.Restart) > 0:
		return nil, action.Invalidf("no workload is restarted for the etcd CA: pods do not trust it")
	case o.Life < 0 || o.Life > pki.DefaultValidity:
		return nil, action.Invalidf("the validity of a certificate is greater than zero and %s at most", pki.DefaultValidity)
	}
	for _, text := range o.Restart {
		one, err := parseWorkloads(text)
		if err != nil {
			return nil, action.As(action.Invalid, err)
		}
		restart = append(restart, one)
	}
	return restart, nil
}

func names[T ~string](all []T) string {
	var out []string
	for _, one := range all {
		out = append(out, string(one))
	}
	return strings.Join(out, ", ")
}

// rotating is one call of Rotate.
type rotating struct {
	RotateOptions
	clients *client.Clients
	ops     *incluster.Operations
	way     via
	sink    report.Sink
	state   rotationState
	looks   map[string]certs.RotationLookData
	// named are the workloads of Restart.
	named []workload
}

// prepare reads all that a plan is made of.
func (o RotateOptions) prepare(ctx context.Context, named []workload, sink report.Sink) (*rotating, error) {
	w := &rotating{RotateOptions: o, named: named, sink: sink}
	var err error
	if w.clients, err = o.Options.open(ctx); err != nil {
		return nil, err
	}
	if w.Cluster, err = o.document(ctx, w.clients); err != nil {
		return nil, err
	}
	if w.ops, w.way, err = w.begin(ctx, w.clients, sink); err != nil {
		return nil, err
	}
	if w.state, err = readRotation(ctx, w.clients.Kube, o.Authority); err != nil {
		return nil, action.OfCluster(err)
	}
	return w, w.lookAround(ctx)
}

// plan says what is to be done, from where the cluster is.
func (w *rotating) plan(ctx context.Context) (RotationPlan, error) {
	p := RotationPlan{Authority: w.Authority, Back: w.Back, Reached: w.state.reached, ControlPlanes: len(w.Cluster.ControlPlanes()), Workers: len(w.Cluster.Workers())}
	if w.state.from == nil {
		if w.Back {
			return p, action.Invalidf("there is no rotation of %s to take back", w.Authority)
		}
		signs, err := w.signs()
		if err != nil {
			return p, action.As(action.Findings, err)
		}
		w.state.from = signs
	}
	var err error
	if w.inUse(w.state.from, w.state.to) {
		p.From, p.To = pki.ID(w.state.from), pki.ID(w.state.from)
		return p, nil
	}
	if p.Phases, err = w.state.phases(w.Until, w.Back); err != nil {
		return p, action.As(action.Findings, err)
	}
	if p.Notes, err = w.checkNext(w.state.from, w.state.to, time.Now()); err != nil {
		return p, err
	}
	if err := w.apart(ctx, w.clients.Kube); err != nil {
		return p, err
	}
	if err := w.apartOnHosts(); err != nil {
		return p, err
	}
	p.From, p.To = pki.ID(w.state.from), pki.ID(w.next(w.state.to))
	if w.Back {
		p.From, p.To = p.To, p.From
	}
	p.Notes = append(p.Notes, w.notes(p.Phases)...)
	if w.state.reached == "" || w.Authority != certs.AuthorityKubernetes {
		return p, nil
	}
	stale, err := w.staleWorkloads(ctx)
	for _, s := range stale {
		p.Stale = append(p.Stale, s.String())
	}
	return p, action.OfCluster(err)
}

// notes are what people have to know of the phases to come.
func (w *rotating) notes(phases []certs.Phase) []string {
	if w.cuts() == certs.PhaseIssue && slices.Contains(phases, certs.PhaseIssue) {
		return []string{"the path length of the CA in use is 0, so that it can sign no certificate of the new one: kubeconfigs and pods that trust it alone stop working in the phase issue already"}
	}
	if w.Back || !slices.Contains(phases, certs.PhaseFinish) {
		return nil
	}
	switch w.Authority {
	case certs.AuthorityKubernetes:
		return []string{"in the last phase, kubeconfigs with a certificate of the former CA stop working: write new ones with kubectl ha kubeconfig"}
	case certs.AuthorityServiceAccount:
		return []string{"in the last phase, tokens stop working that were requested outside of pods, such as by kubectl create token"}
	}
	return nil
}

// mine reports whether an Operation is a part of this rotation, in this direction.
func (w *rotating) mine(spec v1alpha1.OperationSpec) bool {
	r := spec.RotateAuthority
	return r != nil && r.Authority == string(w.Authority) && w.state.to != nil && pki.Same([]byte(r.To), w.target()) && !spec.Aborted
}

// target is the authority that stays at the end.
func (w *rotating) target() []byte {
	if w.Back {
		return w.state.from
	}
	return w.state.to
}

func (w *rotating) source() []byte {
	if w.Back {
		return w.state.to
	}
	return w.state.from
}

// open notes that the rotation has begun, and with that what is replaced by what.
func (w *rotating) open(ctx context.Context) error {
	if w.Next != nil && w.state.to == nil {
		w.state.to = w.Next.CertPEM
	}
	if w.state.to == nil {
		offer, err := w.offer(ctx, w.offering(), nil, nil)
		if err != nil {
			return err
		}
		w.state.to = offer.Next
	}
	if pki.Same(w.state.from, w.state.to) {
		return errors.New("the new authority is the former one") // What a host says is not believed blindly.
	}
	return action.OfCluster(w.state.write(ctx, w.clients.Kube))
}

// carryOut brings the cluster to a phase: its nodes by an Operation, then what the API has.
func (w *rotating) carryOut(ctx context.Context, phase certs.Phase) (string, error) {
	if phase == certs.PhaseFinish || phase == w.cuts() {
		if err := w.mayFinish(ctx); err != nil {
			return "", err
		}
	}
	sealed, err := w.seal(ctx, phase)
	if err != nil {
		return "", err
	}
	if err := w.state.begin(ctx, w.clients.Kube, phase, w.Back); err != nil {
		return "", action.OfCluster(err)
	}
	spec := v1alpha1.OperationSpec{Type: v1alpha1.OperationRotateAuthority, RotateAuthority: &v1alpha1.RotateAuthoritySpec{
		Authority: string(w.Authority), Phase: string(phase), From: string(w.source()), To: string(w.target())}}
	if w.Life > 0 {
		spec.RotateAuthority.Validity = w.Life.String()
	}
	name, err := w.operate(ctx, spec, sealed)
	if err != nil {
		return name, err
	}
	if err := w.objects(ctx, phase); err != nil {
		return name, err
	}
	if phase == certs.PhaseIssue {
		if err := w.relogin(ctx); err != nil {
			return name, err
		}
	}
	return name, action.OfCluster(w.state.reach(ctx, w.clients.Kube, phase))
}
