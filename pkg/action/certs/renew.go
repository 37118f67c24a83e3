package certs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	operation "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Plan is what is renewed, before anything is.
type Plan struct {
	// Hosts are etcd members that are no nodes, over SSH; Nodes take their turns in an
	// Operation, after them. Addons are Secrets, namespace/name.
	Hosts  []v1alpha1.NodeCertificates `json:"hosts,omitempty"`
	Nodes  []v1alpha1.NodeCertificates `json:"nodes,omitempty"`
	Addons []string                    `json:"addons,omitempty"`
	// Left says what is due, or was asked for, and is not renewed, with why.
	Left []string `json:"left,omitempty"`
	// Unsigned are those of Left that etcd's CA would have to sign, which is not here.
	Unsigned []Entry `json:"-"`
	// Unseen says of nodes why they could not be looked at; it is in Left too.
	Unseen map[string]string `json:"-"`
}

// Empty tells whether nothing is to be done.
func (p Plan) Empty() bool { return p.Count() == 0 }

// Due is an error when nothing is to be done although something is due, or could not be looked
// at: an empty plan does not say that all is well then.
func (p Plan) Due() error {
	if !p.Empty() || len(p.Left) == 0 {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("nothing is renewed: %s", strings.Join(p.Left, "; ")))
}

// refused is an error while another Operation is unfinished: the nodes' would have to wait for
// it, after hosts and addons were renewed. It is pure.
func (p Plan) refused(all []v1alpha1.Operation) error {
	if len(p.Nodes) == 0 {
		return nil
	}
	return operations.Refuse(all, nil)
}

// Result is what Renew, or Rescue, has done.
type Result struct {
	Plan Plan `json:"plan"`
	// Operation carried out the nodes' part.
	Operation string `json:"operation,omitempty"`
	// Renewed are the certificates that are in use now, by host, of those over SSH.
	Renewed map[string]certs.Data `json:"renewed,omitempty"`
}

// Renew renews certificates while the cluster is in use: first etcd members on hosts of their
// own, then nodes, one after the other. Running it again does what is left.
func Renew(ctx context.Context, o Options, sink report.Sink) (Result, error) {
	r := Result{Renewed: map[string]certs.Data{}}
	clients, err := o.open(ctx)
	if err != nil {
		return r, err
	}
	if o.Cluster, err = o.document(ctx, clients); err != nil {
		return r, err
	}
	if err := o.check(); err != nil {
		return r, err
	}
	if slices.Contains(o.Names, certs.Kubelet) {
		return r, action.Invalidf("kubelets renew their logins themselves, for as long as they have one; where it has ended: kubectl ha certs rescue --host HOST")
	}
	signer, err := o.signers(ctx)
	if err != nil {
		return r, err
	}
	ops, way, err := o.begin(ctx, clients, sink)
	if err != nil {
		return r, err
	}
	found, unseen, err := o.lookAll(ctx, clients, way, sink)
	if err != nil {
		return r, err
	}
	r.Plan = makePlan(o, o.keepers(), found, unseen, signer)
	forAddons, noSigner := signer.addons(found)
	if err := o.addons(ctx, clients, &r.Plan, forAddons, noSigner); err != nil {
		return r, err
	}
	for _, left := range r.Plan.Left {
		action.Warn(sink, "", "%s", left)
	}
	if o.DryRun || r.Plan.Empty() {
		return r, o.complete(r.Plan)
	}
	all, err := ops.Heads(ctx)
	if err != nil {
		return r, action.OfCluster(err)
	}
	if err := r.Plan.refused(all); err != nil {
		return r, err
	}
	if o.Confirm != nil {
		if err := o.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	if err := o.overSSH(ctx, signer, &r, sink); err != nil {
		return r, err
	}
	if err := o.renewAddons(ctx, clients, forAddons, r.Plan, sink); err != nil {
		return r, err
	}
	if err := o.operate(ctx, clients, ops, signer, &r, way, sink); err != nil {
		return r, err
	}
	return r, o.complete(r.Plan)
}

// lookAll looks at all hosts that have certificates which are renewed. unseen says why of those
// that could not be looked at.
func (o Options) lookAll(ctx context.Context, clients *client.Clients, way via, sink report.Sink) (found map[string]certs.LookData, unseen map[string]string, err error) {
	hosts := o.keepers()
	away, err := notReady(ctx, clients)
	if err != nil {
		return nil, nil, err
	}
	there := slices.DeleteFunc(slices.Clone(hosts), func(h v1alpha1.Host) bool { return away[h.Name] != "" && isNode(o.Cluster, h) })
	found, unseen = look(ctx, o.Cluster, there, way, report.Warnings(sink))
	for _, h := range hosts {
		if !slices.ContainsFunc(there, func(t v1alpha1.Host) bool { return t.Name == h.Name }) {
			unseen[h.Name] = away[h.Name]
		}
	}
	return found, unseen, context.Cause(ctx)
}

// begin brings this program's agent to the nodes, which an earlier one's can't stand in for: it
// does not know the tasks. A dry run makes do with what is there.
func (o Options) begin(ctx context.Context, clients *client.Clients, sink report.Sink) (*incluster.Operations, via, error) {
	source, err := agents.Or(o.Source)
	if err != nil {
		return nil, nil, err
	}
	bring := source.Usual
	if !o.DryRun {
		if _, err := incluster.Install(ctx, o.Config, o.Cluster); err != nil {
			return nil, nil, action.OfCluster(err)
		}
		bring = func(ctx context.Context, config *rest.Config) (v1alpha1.Agents, error) {
			return source.Ensure(ctx, config, sink)
		}
	}
	chosen, err := bring(ctx, o.Config)
	if err != nil {
		return nil, nil, err
	}
	ops, err := incluster.NewOperations(o.Config, chosen)
	return ops, o.ways(clients, o.Cluster, chosen), err
}

// complete is an error when what was asked for by name, or all, was not done.
func (o Options) complete(p Plan) error {
	if len(p.Left) == 0 || len(o.Names) == 0 && !o.All {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("some certificates were not renewed: %s", strings.Join(p.Left, "; ")))
}

// makePlan says what is renewed on which host, and how. But for the files of a folder with what was
// signed it is pure.
func makePlan(o Options, hosts []v1alpha1.Host, found map[string]certs.LookData, unseen map[string]string, signer signers) Plan {
	p := Plan{Unseen: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(unseen)) {
		if h, ok := o.Cluster.Host(name); ok && isNode(o.Cluster, h) {
			p.Unseen[name] = unseen[name]
		}
		p.Left = append(p.Left, name+": "+unseen[name])
	}
	for _, n := range o.Names {
		has := func(d certs.LookData) bool {
			return slices.ContainsFunc(d.Certificates, func(c certs.Certificate) bool { return c.Name == n })
		}
		if n != addonNames && !slices.ContainsFunc(slices.Collect(maps.Values(found)), has) {
			p.Left = append(p.Left, n+": none of the hosts that were looked at has it")
		}
	}
	for _, h := range hosts {
		p.add(o, h, found[h.Name], signer)
	}
	return p
}

// add adds a host's part.
func (p *Plan) add(o Options, h v1alpha1.Host, data certs.LookData, signer signers) {
	one := v1alpha1.NodeCertificates{Name: h.Name}
	var foreign []string
	var reasons []string // In the order in which they come up.
	lacking := map[string][]string{}
	for _, c := range data.Certificates {
		switch {
		case !o.wanted(c):
		case c.RenewedBy == certs.OwnerNobody:
			foreign = append(foreign, c.Name+" (signed by "+c.Issuer+")")
		case c.RenewedBy == certs.OwnerHost:
			one.Local = append(one.Local, c.Name)
		case c.RenewedBy == certs.OwnerWorkstation || c.RenewedBy == certs.OwnerElsewhere:
			err := signer.lacks(h.Name, c)
			if err == nil {
				one.Signed = append(one.Signed, c.Name)
				continue
			}
			if lacking[err.Error()] == nil {
				reasons = append(reasons, err.Error())
			}
			lacking[err.Error()] = append(lacking[err.Error()], c.Name)
			if c.RenewedBy == certs.OwnerWorkstation {
				p.Unsigned = append(p.Unsigned, Entry{Host: h.Name, Certificate: c})
			}
		}
	}
	if len(foreign) > 0 {
		p.Left = append(p.Left, fmt.Sprintf("%s of %s: another CA has signed it, which is to renew it", strings.Join(foreign, ", "), h.Name))
	}
	for _, why := range reasons {
		p.Left = append(p.Left, fmt.Sprintf("%s of %s: %s", strings.Join(lacking[why], ", "), h.Name, why))
	}
	switch {
	case len(one.Signed)+len(one.Local) == 0:
	case isNode(o.Cluster, h):
		p.Nodes = append(p.Nodes, one)
	default:
		p.Hosts = append(p.Hosts, one)
	}
}

// overSSH renews etcd members on hosts of their own, one after the other; each has to follow
// the leader as it did before. No Operation begins meanwhile: that of the nodes does afterwards.
func (o Options) overSSH(ctx context.Context, signer signers, r *Result, sink report.Sink) error {
	if len(r.Plan.Hosts) == 0 {
		return nil
	}
	if o.StateDir == "" {
		return action.Invalidf("the claim on the cluster is made from its state directory, and there is none")
	}
	unlock, err := bootstrap.Lock(o.StateDir)
	if err != nil {
		return action.OfRun(err)
	}
	defer unlock()
	held := action.Hold{Config: o.Config, StateDir: o.StateDir, Command: "kubectl ha certs renew", Required: true}
	return held.While(ctx, sink, func(ctx context.Context, may func() error) error {
		return o.renewHosts(ctx, signer, r, may, sink)
	})
}

func (o Options) renewHosts(ctx context.Context, signer signers, r *Result, may func() error, sink report.Sink) error {
	for _, n := range r.Plan.Hosts {
		if err := may(); err != nil {
			return err
		}
		h, _ := o.Cluster.Host(n.Name)
		end := action.Begin(sink, "renew/"+n.Name, "renew "+strings.Join(n.Signed, ", ")+" of "+n.Name)
		data, err := bootstrap.RenewHost(ctx, o.Hosts, o.Cluster.Metadata.Name, signer, h, n.Signed, "renew/"+n.Name, report.Warnings(sink))
		r.Renewed[n.Name] = data
		if err != nil {
			end(err.Error())
			return action.OfRun(err)
		}
		end("")
	}
	return nil
}

// operate has the nodes make keys, signs for them, and has an Operation do the rest.
func (o Options) operate(ctx context.Context, clients *client.Clients, ops *incluster.Operations, signer signers, r *Result, way via, sink report.Sink) error {
	if len(r.Plan.Nodes) == 0 {
		return nil
	}
	signed := map[string]certs.InstallSpec{}
	spec := &v1alpha1.RenewCertificatesSpec{Nodes: slices.Clone(r.Plan.Nodes)}
	validity, err := o.localLife(ctx, clients)
	if err != nil {
		return err
	}
	for i, n := range spec.Nodes {
		spec.Nodes[i].Validity = validity
		if len(n.Signed) == 0 {
			continue
		}
		h, _ := o.Cluster.Host(n.Name)
		pending, err := ask(ctx, o.Cluster, way(h), h, n.Signed, report.Warnings(sink))
		if err != nil {
			return action.OfRun(err)
		}
		if signed[n.Name], err = signer.Sign(h, pending); err != nil {
			return err
		}
	}
	op, err := ops.CreateWith(ctx, v1alpha1.OperationSpec{Type: v1alpha1.OperationRenewCertificates, RenewCertificates: spec},
		func(ctx context.Context, op *v1alpha1.Operation) error {
			return operation.HandOver(ctx, clients.Kube, op, signed)
		})
	if err != nil {
		return action.OfCluster(err)
	}
	r.Operation = op.Name
	return ops.Watch(ctx, op.Name, sink)
}

// localLife is how long those live that are signed on nodes: as kubeadm's own configuration
// says, where it says anything.
func (o Options) localLife(ctx context.Context, clients *client.Clients) (string, error) {
	if o.Life > 0 {
		return o.Life.String(), nil
	}
	var doc struct {
		// https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
		Period string `json:"certificateValidityPeriod"`
	}
	if err := kubeadmconfig.Read(ctx, clients.Kube, &doc); err != nil {
		return "", action.OfCluster(err)
	}
	if d, err := time.ParseDuration(doc.Period); err == nil && d > 0 {
		return d.String(), nil
	}
	return "", nil
}
