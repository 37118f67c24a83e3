package certs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	operation "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

const (
	rescueTimeout = 15 * time.Minute
	// etcdTimeout bounds the wait for a quorum of members that find each other again.
	etcdTimeout = 5 * time.Minute
	// apiTimeout bounds the wait for a control plane's apiserver, and apiInterval is the time
	// between two looks at it.
	apiTimeout  = 5 * time.Minute
	apiInterval = 2 * time.Second
	// lockWait is for an agent of an interrupted run to end.
	lockWait = 2 * time.Minute
)

// Rescue renews over SSH, in the order in which a cluster comes back, whose certificates have
// ended: etcd's members, then on each control plane the kubelet's login, the apiserver's login
// to etcd and what kubeadm's CAs sign, then the workers' kubelets. It needs no API, and does as
// much as it can: a host that can't be reached now is helped by running it again.
//
// It looks first; with Options.Confirm nothing is changed before that has seen what will be.
// With Only it helps single hosts, such as one that was away when its kubelet's login ended.
func Rescue(ctx context.Context, o Options, sink report.Sink) (Result, error) {
	r := rescuer{Options: o, sink: sink, ready: apiReady, result: Result{Renewed: map[string]certs.Data{}}}
	r.api = r.apiOf
	return r.run(ctx)
}

type rescuer struct {
	Options
	sink   report.Sink
	signer signers
	// ready waits until a control plane's apiserver answers.
	ready func(ctx context.Context, runner transport.Runner, c *v1alpha1.Cluster, h v1alpha1.Host, sink report.Sink) error
	// api is the way to the API; nil where there is none.
	api func(ctx context.Context) *rest.Config
	// held is the claim on the cluster; nil before there was a try.
	held *action.Held
	// id is whose claim it is, where the state directory can't tell.
	id     string
	found  map[string]certs.LookData
	result Result
	errs   []error
}

func (r *rescuer) run(ctx context.Context) (Result, error) {
	if err := r.check(); err != nil {
		return r.result, err
	}
	if r.Hosts == nil {
		return r.result, action.Invalidf("a rescue needs SSH, but there is no host to log in to")
	}
	var err error
	if r.signer, err = r.signers(ctx); err != nil {
		return r.result, err
	}
	hosts := slices.DeleteFunc(slices.Clone(r.Cluster.Spec.Hosts), func(h v1alpha1.Host) bool { return !r.about(h) })
	var unseen map[string]string
	r.found, unseen = look(ctx, r.Cluster, hosts, func(v1alpha1.Host) transport.Runner { return r.Hosts }, report.Warnings(r.sink))
	for _, h := range hosts {
		if why := unseen[h.Name]; why != "" {
			r.errs = append(r.errs, action.As(action.Unreachable, fmt.Errorf("cannot inspect %s: %s", h.Name, why)))
		}
	}
	if err := context.Cause(ctx); err != nil {
		return r.result, err
	}
	if len(r.found) == 0 {
		return r.result, errors.Join(r.errs...)
	}
	r.result.Plan = r.plan(hosts)
	for _, left := range r.result.Plan.Left {
		r.errs = append(r.errs, errors.New(left))
	}
	if r.DryRun || r.result.Plan.Empty() {
		return r.result, errors.Join(r.errs...)
	}
	if r.Confirm != nil {
		if err := r.Confirm(ctx, r.result.Plan); err != nil {
			return r.result, err
		}
	}
	if err := r.claimed(ctx, func() {
		r.etcd(ctx)
		r.controlPlanes(ctx)
		r.workers(ctx)
	}); err != nil {
		return r.result, err
	}
	if err := context.Cause(ctx); err != nil {
		return r.result, err
	}
	return r.result, errors.Join(r.errs...)
}

// plan is what is renewed on each host, and what is left, with why.
func (r *rescuer) plan(hosts []v1alpha1.Host) Plan {
	p := Plan{}
	for _, h := range hosts {
		one := v1alpha1.NodeCertificates{Name: h.Name}
		for _, c := range r.found[h.Name].Certificates {
			switch why := r.cannot(h, c); {
			case !r.due(h, c):
			case why != nil:
				p.Left = append(p.Left, fmt.Sprintf("%s of %s: %v", c.Name, h.Name, why))
			case r.here(h, c):
				one.Local = append(one.Local, c.Name)
			default:
				one.Signed = append(one.Signed, c.Name)
			}
		}
		if len(one.Signed)+len(one.Local) > 0 {
			p.Hosts = append(p.Hosts, one)
		}
	}
	return p
}

// due tells whether a certificate of a host is to be renewed. Of one that has more than half of its
// life left nothing is touched, unless that is asked for.
func (r *rescuer) due(h v1alpha1.Host, c certs.Certificate) bool {
	if c.Name == certs.Kubelet && len(r.Names) == 0 {
		// The kubelet renews its own for as long as it can log in.
		return c.NotAfter.Before(r.found[h.Name].Time) || c.KeyState != certs.KeyFits
	}
	return r.wanted(c)
}

// cannot says why nobody can sign a certificate's successor; nil when somebody can.
func (r *rescuer) cannot(h v1alpha1.Host, c certs.Certificate) error {
	switch c.RenewedBy {
	case certs.OwnerNobody:
		return fmt.Errorf("another CA (%s) has signed it; have its successor signed there, and put it in its place", c.Issuer)
	case certs.OwnerWorkstation, certs.OwnerElsewhere:
		return r.signer.lacks(h.Name, c)
	}
	return nil
}

// here tells whether the host itself signs it.
func (r *rescuer) here(h v1alpha1.Host, c certs.Certificate) bool {
	return c.RenewedBy == certs.OwnerHost || c.Name == certs.Kubelet && h.Has(v1alpha1.RoleControlPlane) && !r.caAway(h)
}

// caAway tells whether the key of the cluster's CA is not on a control plane.
func (r *rescuer) caAway(h v1alpha1.Host) bool {
	return slices.ContainsFunc(r.found[h.Name].Certificates, func(c certs.Certificate) bool {
		return c.Name == certs.APIServer && c.RenewedBy == certs.OwnerElsewhere
	})
}

// names are those of a host's certificates that are renewed, among some: by the host itself, and
// by who has signed them.
func (r *rescuer) names(h v1alpha1.Host, among ...string) (local, signed []string) {
	at := slices.IndexFunc(r.result.Plan.Hosts, func(n v1alpha1.NodeCertificates) bool { return n.Name == h.Name })
	if at < 0 {
		return nil, nil
	}
	only := func(all []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return !slices.Contains(among, n) })
	}
	return only(r.result.Plan.Hosts[at].Local), only(r.result.Plan.Hosts[at].Signed)
}

// step runs something on a host that is told of as a step; its error does not end the rescue.
// Once the context has ended it runs nothing.
func (r *rescuer) step(ctx context.Context, h v1alpha1.Host, kind, title string, do func(step string) (certs.Data, error)) bool {
	if ctx.Err() != nil {
		return false // Nothing new is begun.
	}
	id := kind + "/" + h.Name
	end := action.Begin(r.sink, id, title)
	data, err := do(id)
	have := r.result.Renewed[h.Name]
	have.Renewed, have.Restarted = append(have.Renewed, data.Renewed...), append(have.Restarted, data.Restarted...)
	r.result.Renewed[h.Name] = have
	if err != nil {
		end(err.Error())
		r.errs = append(r.errs, action.OfRun(err))
		return false
	}
	end("")
	if len(data.Renewed) > 0 {
		action.Tell(r.sink, "%s: %s", h.Name, operation.Sum(data))
	}
	return true
}

// etcd renews the members, and waits until enough of them have found each other. None waits
// for another: with certificates that have ended they can't be well before all are renewed.
func (r *rescuer) etcd(ctx context.Context) {
	any := false
	for _, h := range r.Cluster.EtcdMembers() {
		_, names := r.names(h, certs.EtcdServer, certs.EtcdPeer)
		if len(names) == 0 {
			continue
		}
		any = r.step(ctx, h, "etcd", "renew the certificates of the etcd member of "+h.Name, func(step string) (certs.Data, error) {
			return r.bySigner(ctx, h, names, step)
		}) || any
	}
	if !any {
		return
	}
	r.step(ctx, r.Cluster.EtcdMembers()[0], "etcd-health", "wait for a healthy etcd", func(step string) (certs.Data, error) {
		return certs.Data{}, r.healthy(ctx, step)
	})
}

// bySigner has a host make keys, and signs for these here.
func (r *rescuer) bySigner(ctx context.Context, h v1alpha1.Host, names []string, step string) (certs.Data, error) {
	return bootstrap.RenewHost(ctx, r.Hosts, r.Cluster.Metadata.Name, r.signer, h, names, step, report.Warnings(r.sink))
}

// healthy asks from the first member that was looked at.
func (r *rescuer) healthy(ctx context.Context, step string) error {
	members := r.Cluster.EtcdMembers()
	at := slices.IndexFunc(members, func(h v1alpha1.Host) bool { _, ok := r.found[h.Name]; return ok })
	if at < 0 {
		return errors.New("cannot inspect any etcd member")
	}
	var server certs.Certificate
	for _, c := range r.found[members[at].Name].Certificates {
		if c.Name == certs.EtcdServer {
			server = c
		}
	}
	signer, err := r.signer.etcdOf(server)
	if err != nil {
		return err
	}
	login, err := signer.Client("kubectl-ha-health")
	if err != nil {
		return err
	}
	_, err = bootstrap.Call(ctx, r.Hosts, members[at].Name, node.Request{Cluster: r.Cluster.Metadata.Name, Task: tasks.EtcdHealth, Step: step, Timeout: etcdTimeout},
		etcdmember.HealthSpec{Endpoints: r.Cluster.EtcdEndpoints(), CA: signer.CA(), Cert: login.CertPEM, Key: login.KeyPEM, Quorum: true}, report.Warnings(r.sink))
	return err
}

// controlPlanes go one after the other. The kubelet comes first: without its login it may not
// even start, and with it no static pod.
func (r *rescuer) controlPlanes(ctx context.Context) {
	for _, h := range r.Cluster.ControlPlanes() {
		touched := false
		for _, part := range []struct {
			kind, what string
			names      []string
		}{
			{"kubelet", "the kubelet client certificate", []string{certs.Kubelet}},
			{"etcd-login", "the etcd client certificate", []string{certs.EtcdClient}},
			{"control-plane", "", certs.OfHost()},
		} {
			local, signed := r.names(h, part.names...)
			title := func(names []string) string {
				return "renew " + cmp.Or(part.what, strings.Join(names, ", ")) + " of " + h.Name
			}
			if len(local) > 0 {
				touched = r.step(ctx, h, part.kind, title(local), func(step string) (certs.Data, error) { return r.local(ctx, h, local, step) }) || touched
			}
			if len(signed) > 0 {
				touched = r.step(ctx, h, part.kind, title(signed), func(step string) (certs.Data, error) { return r.bySigner(ctx, h, signed, step) }) || touched
			}
		}
		if touched && r.step(ctx, h, "ready", "wait for the apiserver of "+h.Name, func(string) (certs.Data, error) {
			return certs.Data{}, r.ready(ctx, r.Hosts, r.Cluster, h, report.Warnings(r.sink))
		}) {
			r.claimAgain(ctx)
		}
	}
}

// local renews by the CAs of the host itself.
func (r *rescuer) local(ctx context.Context, h v1alpha1.Host, names []string, step string) (certs.Data, error) {
	return r.call(ctx, h, tasks.RenewCertificates, step, certs.RenewSpec{Names: names, Validity: r.Life})
}

func (r *rescuer) call(ctx context.Context, h v1alpha1.Host, task, step string, spec any) (certs.Data, error) {
	var data certs.Data
	res, err := bootstrap.Call(ctx, r.Hosts, h.Name, node.Request{Cluster: r.Cluster.Metadata.Name, Task: task, Step: step, Timeout: rescueTimeout, LockTimeout: lockWait}, spec, report.Warnings(r.sink))
	if err != nil {
		return data, err
	}
	if err := json.Unmarshal(res.Data, &data); err != nil {
		return data, fmt.Errorf("%s: cannot read its result: %w", h.Name, err)
	}
	return data, nil
}

// workers have their kubelets' logins signed on a control plane, where the cluster's CA is.
func (r *rescuer) workers(ctx context.Context) {
	for _, h := range r.Cluster.Workers() {
		local, names := r.names(h, certs.Kubelet)
		if names = append(names, local...); len(names) == 0 {
			continue
		}
		r.step(ctx, h, "kubelet", "renew the kubelet client certificate of "+h.Name, func(step string) (certs.Data, error) {
			pending, err := ask(ctx, r.Cluster, r.Hosts, h, names, report.Warnings(r.sink))
			if err != nil {
				return certs.Data{}, err
			}
			if err := own(h, pending); err != nil {
				return certs.Data{}, err
			}
			signed, err := r.sign(ctx, h, pending, step)
			if err != nil {
				return certs.Data{}, err
			}
			return r.call(ctx, h, tasks.InstallCertificates, step, signed)
		})
	}
}

// own is nil when a host asks for its own kubelet's login. What the host shows as the
// certificate in use is only its word.
func own(h v1alpha1.Host, pending map[string]certs.Pending) error {
	for _, p := range pending {
		of, err := certs.KubeletNode(p.Current)
		if err == nil && of != h.Name {
			err = fmt.Errorf("it is the login of the kubelet of %s", of)
		}
		if err != nil {
			return fmt.Errorf("what %s shows as its kubelet's login: %w; nothing is signed for it\nnext: look whether the host is in the wrong hands; else take its node away and join it anew", h.Name, err)
		}
	}
	return nil
}

// sign signs by a CA that was given, or else tries the control planes in turn, those too that the rescue is not about.
func (r *rescuer) sign(ctx context.Context, h v1alpha1.Host, pending map[string]certs.Pending, step string) (certs.InstallSpec, error) {
	if slices.ContainsFunc(r.signer.given, func(ca pki.KeyPair) bool { return pki.IssuedBy(ca.CertPEM, pending[certs.Kubelet].Current) == nil }) {
		return r.signer.Sign(h, pending)
	}
	var errs []error
	for _, h := range r.Cluster.ControlPlanes() {
		res, err := bootstrap.Call(ctx, r.Hosts, h.Name, node.Request{Cluster: r.Cluster.Metadata.Name, Task: tasks.SignCertificates, Step: step, Timeout: lookTimeout},
			certs.SignSpec{Requests: pending, Validity: r.Life}, report.Warnings(r.sink))
		var data certs.SignData
		if err == nil {
			err = json.Unmarshal(res.Data, &data)
		}
		if err == nil {
			return certs.InstallSpec(data), nil
		}
		errs = append(errs, err)
	}
	return certs.InstallSpec{}, fmt.Errorf("no control plane node signs it: %w", errors.Join(errs...))
}

// apiReady looks at a control plane until its apiserver answers.
func apiReady(ctx context.Context, runner transport.Runner, c *v1alpha1.Cluster, h v1alpha1.Host, sink report.Sink) error {
	return host.Until(ctx, apiTimeout, apiInterval, func(ctx context.Context) error {
		res, err := bootstrap.Call(ctx, runner, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.Observe, Step: "observe/" + h.Name, Timeout: lookTimeout},
			observe.Spec{Address: h.Address, APIServerPort: c.Spec.APIServerPort, DataDir: c.Spec.Etcd.DataDir}, sink)
		if err != nil {
			return err
		}
		facts, err := observe.Decode(res.Data)
		if err == nil && !facts.State.APIServerReady {
			err = errors.New("it does not answer /readyz with 200")
		}
		return err
	}, func(seen error) error {
		return fmt.Errorf("the apiserver of %s is not ready after %v: %w\nnext: check journalctl -u kubelet and /var/log/pods there, then run the rescue again", h.Name, apiTimeout, seen)
	})
}
