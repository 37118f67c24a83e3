package certs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// rotatingEtcd is one call of Rotate for the etcd CA. Its key is on this machine, so that this
// machine carries out the phases, over SSH: one host after the other, as bootstrap has set them up.
type rotatingEtcd struct {
	RotateOptions
	clients *client.Clients
	ops     *incluster.Operations
	// may has no objection to another host, while the claim on the cluster is held.
	may   func() error
	cas   *bootstrap.EtcdCAs
	state rotationState
	sink  report.Sink
}

func (o RotateOptions) rotateEtcd(ctx context.Context, sink report.Sink) (RotationResult, error) {
	r := RotationResult{}
	w, err := o.prepareEtcd(ctx, sink)
	if err != nil {
		return r, err
	}
	if !o.DryRun {
		unlock, err := bootstrap.Lock(o.StateDir)
		if err != nil {
			return r, action.OfRun(err)
		}
		defer unlock()
	}
	if w.cas, err = bootstrap.OpenEtcdCAs(ctx, o.StateDir, w.Cluster); err != nil {
		return r, err
	}
	if o.Next != nil {
		if err := o.apart(ctx, w.clients.Kube); err != nil {
			return r, err
		}
		if err := w.cas.Use(*o.Next); err != nil {
			return r, action.As(action.Invalid, err)
		}
	}
	if r.Plan, err = w.plan(); err != nil {
		return r, err
	}
	r.Reached = w.state.reached
	if o.DryRun || r.Plan.Empty() {
		return r, nil
	}
	if err := w.ready(ctx); err != nil {
		return r, err
	}
	if o.Confirm != nil {
		if err := o.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	held := action.Hold{Config: o.Config, StateDir: o.StateDir, Command: "kubectl ha certs rotate-ca etcd", Required: true}
	err = held.While(ctx, sink, func(ctx context.Context, may func() error) error {
		w.may = may
		return w.phases(ctx, &r)
	})
	return r, err
}

// phases carries out those of the plan.
func (w *rotatingEtcd) phases(ctx context.Context, r *RotationResult) error {
	for _, phase := range r.Plan.Phases {
		// Since the last look a person was asked, or a phase has taken its time.
		if err := w.allThere(ctx); err != nil {
			return fmt.Errorf("phase %s: %w", phase, err)
		}
		if err := w.carryOut(ctx, phase); err != nil {
			return fmt.Errorf("phase %s: %w", phase, err)
		}
		r.Plan.To = pki.ID(w.target())
		if r.Reached = phase; phase == certs.PhaseFinish {
			r.Reached = ""
		}
	}
	return nil
}

// prepareEtcd reads what a plan is made of, and refuses what can't be.
func (o RotateOptions) prepareEtcd(ctx context.Context, sink report.Sink) (*rotatingEtcd, error) {
	w := &rotatingEtcd{RotateOptions: o, sink: sink}
	var err error
	if w.clients, err = o.Options.open(ctx); err != nil {
		return nil, err
	}
	if w.Cluster, err = o.document(ctx, w.clients); err != nil {
		return nil, err
	}
	switch {
	case w.Cluster.Spec.Etcd.Topology == v1alpha1.EtcdStacked:
		return nil, action.Invalidf("the etcd members are static pods of kubeadm's, whose CA is on the control planes: it is not rotated by kubectl ha so far. kubectl ha certs renew renews what it has signed")
	case len(o.CAs) > 0 || o.SignedDir != "":
		return nil, action.Invalidf("the etcd CA is rotated where its key is, in the state directory: %s", o.StateDir)
	case !o.DryRun && o.Hosts == nil:
		return nil, action.Invalidf("etcd members get their CAs over SSH: pass the Cluster file with -f")
	}
	if w.ops, err = incluster.NewOperations(o.Config, nil); err != nil {
		return nil, err
	}
	if w.state, err = readRotation(ctx, w.clients.Kube, o.Authority); err != nil {
		return nil, action.OfCluster(err)
	}
	return w, nil
}

// plan says what is to be done, from where the cluster is. It is pure.
func (w *rotatingEtcd) plan() (RotationPlan, error) {
	p := RotationPlan{Authority: w.Authority, Back: w.Back, Reached: w.state.reached, ControlPlanes: len(w.Cluster.ControlPlanes()), Members: len(w.Cluster.EtcdMembers())}
	if w.state.exists && !w.sameRotation() {
		return p, action.As(action.Findings, fmt.Errorf("the rotation was begun on another machine, and the next etcd CA is not in %s\nnext: continue it there, or copy that machine's state directory of this cluster here", w.StateDir))
	}
	if w.Back && w.cas.To() == nil && !w.state.exists {
		return p, action.Invalidf("there is no rotation of %s to take back", w.Authority)
	}
	if !w.state.exists && w.inUse(w.cas.From(), w.cas.To()) {
		p.From, p.To = pki.ID(w.cas.From()), pki.ID(w.cas.From())
		return p, nil
	}
	var err error
	if p.Phases, err = w.state.phases(w.Until, w.Back); err != nil {
		return p, action.As(action.Findings, err)
	}
	if w.Back && !w.completed() {
		// A member may have joined with a certificate of the new CA, whatever phase was reached.
		p.Phases = []certs.Phase{certs.PhaseIssue, certs.PhaseFinish}
	}
	if !w.completed() {
		if p.Notes, err = w.checkNext(w.cas.From(), w.cas.To(), time.Now()); err != nil {
			return p, err
		}
	}
	p.From, p.To = pki.ID(w.cas.From()), pki.ID(w.next(w.cas.To()))
	if w.Back {
		p.From, p.To = p.To, p.From
	}
	if !w.Back && slices.Contains(p.Phases, certs.PhaseFinish) {
		p.Notes = append(p.Notes, "in the last phase, client certificates of the former etcd CA stop working that kubectl-ha does not know of, such as those of monitoring and of backup scripts")
	}
	return p, nil
}

// sameRotation tells whether the cluster's note is of the CAs of this machine.
func (w *rotatingEtcd) sameRotation() bool {
	return pki.Same(w.state.from, w.cas.From()) && pki.Same(w.state.to, w.cas.To()) || w.completed()
}

// completed tells whether everything but the cluster's note of it was done, or the note has come back
// with a backup. Of one that was taken back that the former CA is in use tells nothing: it is in use in
// every copy of the state directory from before, too.
func (w *rotatingEtcd) completed() bool {
	if !w.state.exists || w.cas.To() != nil {
		return false
	}
	return pki.Same(w.state.to, w.cas.From()) || pki.Same(w.state.from, w.cas.From()) && w.cas.TookBack(w.state.to)
}

// target is the CA that stays at the end.
func (w *rotatingEtcd) target() []byte {
	if w.Back {
		return w.cas.From()
	}
	return w.cas.To()
}

// ready is an error while another Operation is unfinished, or not all hosts take part.
func (w *rotatingEtcd) ready(ctx context.Context) error {
	if err := w.ops.Refuse(ctx, nil); err != nil {
		return action.OfCluster(err)
	}
	return w.allThere(ctx)
}

// allThere is an error while a host is not in the Cluster file or can't be reached: each of them
// takes part.
func (w *rotatingEtcd) allThere(ctx context.Context) error {
	stored, err := incluster.StoredCluster(ctx, w.clients.Kube)
	if err != nil {
		return action.OfCluster(err)
	}
	if left := leftOut(w.Cluster, stored); len(left) > 0 {
		return action.Invalidf("the Cluster file lacks hosts of the cluster, or roles of theirs, which would be cut off from etcd: %s\nnext: bring the file up to date, and run the command again", strings.Join(left, ", "))
	}
	_, err = w.look(ctx)
	return err
}

// leftOut are the control planes and etcd members of the document in the cluster that a file does not
// have as such. It is pure.
func leftOut(file, stored *v1alpha1.Cluster) []string {
	var out []string
	for _, h := range stored.Keepers(stored.Spec.Hosts) {
		given, there := file.Host(h.Name)
		switch {
		case !there, h.Has(v1alpha1.RoleControlPlane) && !given.Has(v1alpha1.RoleControlPlane), stored.IsMember(h.Name) && !file.IsMember(given.Name):
			out = append(out, h.Name)
		}
	}
	return out
}

// look finds the certificates of all hosts that have some of etcd's.
func (w *rotatingEtcd) look(ctx context.Context) (map[string]certs.LookData, error) {
	found, unseen := look(ctx, w.Cluster, w.Cluster.Keepers(w.Cluster.Spec.Hosts), func(v1alpha1.Host) transport.Runner { return w.Hosts }, report.Warnings(w.sink))
	if len(unseen) == 0 {
		return found, context.Cause(ctx)
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(unseen)) {
		all = append(all, fmt.Errorf("%s: %s", name, unseen[name]))
	}
	return nil, action.As(action.Unreachable, fmt.Errorf("%w\nnext: every control plane node and etcd member takes part in the rotation; bring it back, or remove it: kubectl ha node remove", errors.Join(all...)))
}

// carryOut brings the cluster to a phase. What this machine signs by is noted before the first host
// is touched, and that it is complete after the last one.
func (w *rotatingEtcd) carryOut(ctx context.Context, phase certs.Phase) error {
	if w.completed() {
		if err := w.cas.Complete(ctx); err != nil { // The former key may be left.
			return err
		}
		return action.OfCluster(w.state.reach(ctx, w.clients.Kube, certs.PhaseFinish))
	}
	if phase == certs.PhaseFinish {
		if err := w.mayFinish(ctx); err != nil {
			return err
		}
	}
	if err := w.cas.Begin(ctx, phase, w.Back); err != nil {
		return err
	}
	w.state.from, w.state.to = w.cas.From(), w.cas.To()
	if err := w.state.write(ctx, w.clients.Kube); err != nil {
		return action.OfCluster(err)
	}
	if err := w.state.begin(ctx, w.clients.Kube, phase, w.Back); err != nil {
		return action.OfCluster(err)
	}
	signer, err := w.cas.Signer(ctx, w.Life)
	if err != nil {
		return err
	}
	if err := w.hosts(ctx, phase, signer); err != nil {
		return err
	}
	err = action.Step(w.sink, "addons/"+string(phase), "change the certificates of addons that log in to etcd", func() error { return w.secrets(ctx, phase, signer) })
	if err != nil {
		return action.OfCluster(err)
	}
	if phase == certs.PhaseFinish {
		if err := w.cas.Complete(ctx); err != nil {
			return err
		}
	}
	return action.OfCluster(w.state.reach(ctx, w.clients.Kube, phase))
}

// mayFinish is an error while something is in use that the CA has signed which is to go.
func (w *rotatingEtcd) mayFinish(ctx context.Context) error {
	found, err := w.look(ctx)
	if err != nil {
		return err
	}
	var left []string
	for _, h := range w.Cluster.Keepers(w.Cluster.Spec.Hosts) {
		for _, name := range w.unissued(found[h.Name]) {
			left = append(left, name+" of "+h.Name)
		}
	}
	if len(left) == 0 {
		return nil
	}
	again := "--until issue"
	if w.Back {
		again = "--undo"
	}
	return action.As(action.Findings, fmt.Errorf("the CA that is to go has signed certificates that are still in use: %s\nnext: repeat the phase issue: kubectl ha certs rotate-ca etcd -f CLUSTER %s", strings.Join(left, ", "), again))
}

// unissued are a host's certificates that the CA which stays has not signed.
func (w *rotatingEtcd) unissued(d certs.LookData) []string {
	cert, err := pki.ParseCert(w.target())
	if err != nil {
		return certs.OfEtcd()
	}
	want := pki.Fingerprint(cert)
	var out []string
	for _, c := range d.Certificates {
		if slices.Contains(certs.OfEtcd(), c.Name) && c.IssuerFingerprint != want {
			out = append(out, c.Name)
		}
	}
	return out
}
