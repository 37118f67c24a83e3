package certs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// hostTimeout bounds what is done on a host: a restart, and the wait until all is well again.
const hostTimeout = 10 * time.Minute

// hosts brings the hosts to a phase, one after the other, each behind a gate.
func (w *rotatingEtcd) hosts(ctx context.Context, phase certs.Phase, signer bootstrap.Signer) error {
	if err := w.gate(ctx, "well/"+string(phase), "see that all etcd members and apiservers are well"); err != nil {
		return err
	}
	if phase == certs.PhaseIssue && !w.Back {
		// A host may have joined since, with what was signed for it before the rotation: it trusts the
		// former CA only, and would refuse all that is signed now.
		for _, h := range w.Cluster.Keepers(w.Cluster.Spec.Hosts) {
			if err := w.gated(ctx, h, phase, func() (bool, error) { return w.trust(ctx, h, phase, signer) }); err != nil {
				return err
			}
		}
	}
	found, err := w.look(ctx)
	if err != nil {
		return err
	}
	for _, h := range w.Cluster.Keepers(w.Cluster.Spec.Hosts) {
		err := w.gated(ctx, h, phase, func() (bool, error) {
			if phase == certs.PhaseIssue {
				return w.issue(ctx, h, signer, w.unissued(found[h.Name]))
			}
			return w.trust(ctx, h, phase, signer)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// gated changes something on a host, and waits until all is well if that has changed anything.
func (w *rotatingEtcd) gated(ctx context.Context, h v1alpha1.Host, phase certs.Phase, change func() (changed bool, err error)) error {
	if err := w.may(); err != nil {
		return err
	}
	changed, err := change()
	if err != nil {
		return action.OfRun(err)
	}
	if !changed {
		return nil
	}
	return w.gate(ctx, "gate/"+string(phase)+"/"+h.Name, "see that "+h.Name+" and all else is well")
}

// issue has a host's certificates signed by the CA that stays. What uses them reads them at the next
// handshake; nothing is restarted.
func (w *rotatingEtcd) issue(ctx context.Context, h v1alpha1.Host, signer bootstrap.Signer, names []string) (changed bool, err error) {
	if len(names) == 0 {
		return false, nil
	}
	step := "issue/" + h.Name
	err = action.Step(w.sink, step, "sign "+strings.Join(names, ", ")+" of "+h.Name+" with the new CA", func() error {
		_, err := bootstrap.RenewHost(ctx, w.Hosts, w.Cluster.Metadata.Name, signer, h, names, step, report.Inner(w.sink))
		return err
	})
	return true, err
}

// trust has a host trust what is trusted in a phase. Its apiserver is restarted, while the virtual IP
// is elsewhere, and so is its member; neither if there is nothing to change.
func (w *rotatingEtcd) trust(ctx context.Context, h v1alpha1.Host, phase certs.Phase, signer bootstrap.Signer) (changed bool, err error) {
	moves := h.Has(v1alpha1.RoleControlPlane) && w.Cluster.MovesVirtualIP()
	pending, err := w.trustOf(ctx, h, phase, signer, true)
	if err != nil || !pending {
		if err == nil && moves { // An earlier run may have been cut off before this.
			_, err = w.call(ctx, h, tasks.Drain, vip.DrainSpec{}, false)
		}
		return false, err
	}
	what := "trust both etcd CAs on "
	if phase == certs.PhaseFinish {
		what = "trust only the new etcd CA on "
	}
	return true, action.Step(w.sink, "trust/"+string(phase)+"/"+h.Name, what+h.Name, func() (err error) {
		if moves {
			defer func() {
				// Also after an interruption: the host would never have the address again.
				back, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
				defer cancel()
				if _, failed := w.call(back, h, tasks.Drain, vip.DrainSpec{}, false); failed != nil && err == nil {
					err = failed
				}
			}()
			if _, err := w.call(ctx, h, tasks.Drain, vip.DrainSpec{Drain: true}, false); err != nil {
				return err
			}
		}
		_, err = w.trustOf(ctx, h, phase, signer, false)
		return err
	})
}

// trustOf changes what a host trusts, or with dry tells whether it would.
func (w *rotatingEtcd) trustOf(ctx context.Context, h v1alpha1.Host, phase certs.Phase, signer bootstrap.Signer, dry bool) (changes bool, err error) {
	if w.Cluster.IsMember(h.Name) {
		spec := etcdmember.TrustSpec{Name: h.Name, Address: h.Address, Members: map[string]string{}, CAs: signer.CA()}
		for _, m := range w.Cluster.EtcdMembers() {
			spec.Members[m.Name] = m.Address
		}
		if changes, err = w.call(ctx, h, tasks.EtcdTrust, spec, dry); err != nil {
			return changes, err
		}
	}
	if !h.Has(v1alpha1.RoleControlPlane) {
		return changes, nil
	}
	spec := certs.RotationSpec{Authority: certs.AuthorityEtcd, Phase: phase, From: w.cas.From(), To: w.cas.To()}
	if w.Back {
		spec.From, spec.To = spec.To, spec.From
	}
	more, err := w.call(ctx, h, tasks.RotateAuthority, spec, dry)
	return changes || more, err
}

// call runs a task on a host, and tells whether it changes anything.
func (w *rotatingEtcd) call(ctx context.Context, h v1alpha1.Host, task string, spec any, dry bool) (changes bool, err error) {
	req := node.Request{Cluster: w.Cluster.Metadata.Name, Task: task, Step: task + "/" + h.Name, Timeout: hostTimeout, LockTimeout: lookTimeout, DryRun: dry}
	res, err := bootstrap.Call(ctx, w.Hosts, h.Name, req, spec, report.Inner(w.sink))
	return len(res.Changes) > 0, err
}

// gate waits, on a control plane, until every member and apiserver is well and all have the same data.
func (w *rotatingEtcd) gate(ctx context.Context, id, title string) error {
	spec := etcdcare.GateSpec{Endpoints: w.Cluster.EtcdEndpoints()}
	for _, h := range w.Cluster.ControlPlanes() {
		spec.APIServers = append(spec.APIServers, w.Cluster.APIServerAddress(h.Address))
	}
	return action.OfRun(action.Step(w.sink, id, title, func() error {
		_, err := w.call(ctx, w.Cluster.ControlPlanes()[0], tasks.EtcdGate, spec, false)
		return err
	}))
}

// signed tells whether one of the two CAs has signed a certificate.
func (w *rotatingEtcd) signed(certPEM []byte) bool {
	return slices.ContainsFunc([][]byte{w.cas.From(), w.cas.To()}, func(ca []byte) bool {
		by, err := pki.SignedBy(certPEM, ca)
		return err == nil && by
	})
}

// secrets gives addons that log in to etcd the CAs that are trusted, and certificates by the one that
// signs. Whoever mounts them has them within a minute or so.
func (w *rotatingEtcd) secrets(ctx context.Context, phase certs.Phase, signer bootstrap.Signer) error {
	issued, err := install.IssuedCertificates(ctx, w.clients.Kube)
	if err != nil {
		return err
	}
	for _, c := range issued {
		api := w.clients.Kube.CoreV1().Secrets(c.Namespace)
		s, err := api.Get(ctx, c.Secret, metav1.GetOptions{})
		if err != nil {
			continue // IssuedCertificates has said what there is to say: it is gone.
		}
		old, err := pki.ParseCert(s.Data["tls.crt"])
		if err != nil || !w.signed(s.Data["tls.crt"]) {
			continue // Another CA's, which is to renew it.
		}
		if phase != certs.PhaseTrust {
			pair, err := signer.Addon(old.Subject.CommonName)
			if err != nil {
				return err
			}
			s.Data["tls.crt"], s.Data["tls.key"] = pair.CertPEM, pair.KeyPEM
		}
		s.Data["ca.crt"] = signer.CA()
		if _, err := api.Update(ctx, s, metav1.UpdateOptions{FieldManager: "kubectl-ha-addon"}); err != nil {
			return fmt.Errorf("write the secret %s/%s: %w", c.Namespace, c.Secret, err)
		}
		action.Tell(w.sink, "changed the etcd certificate in %s/%s", c.Namespace, c.Secret)
	}
	return nil
}
