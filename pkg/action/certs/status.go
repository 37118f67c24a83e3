package certs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/addon/install"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Report is every certificate of a cluster that was seen.
type Report struct {
	Time    time.Time `json:"time"`
	Cluster string    `json:"cluster"`
	// Deep: hosts' files were read. Without that it is what is shown at ports.
	Deep         bool    `json:"deep,omitempty"`
	Certificates []Entry `json:"certificates"`
	// Schedule is what renews by itself; nil where nothing does.
	Schedule *schedule.State `json:"schedule,omitempty"`
	// Unseen says of hosts, and of files on them, why they could not be looked at.
	Unseen map[string]string `json:"unseen,omitempty"`
	Missed []string          `json:"missed,omitempty"`
}

// Entry is one certificate, and where it is.
type Entry struct {
	// Host is where it is; empty for what is in the cluster's own objects, or on this machine.
	Host string `json:"host,omitempty"`
	// What it is for, of one that was seen at a port or in an object.
	What string `json:"what,omitempty"`
	certs.Certificate
}

// Ended tells whether it has.
func (e Entry) Ended(now time.Time) bool { return !e.NotAfter.IsZero() && e.NotAfter.Before(now) }

// Due are those of which less than half of their life is left, the first that ends first. Left
// out are those that nobody renews by a command of this program: a kubelet renews its own when
// a fifth of their life is left or so.
func (r Report) Due() []Entry {
	out := slices.DeleteFunc(slices.Clone(r.Certificates), func(e Entry) bool {
		return !e.Due || e.CA || slices.Contains([]certs.Owner{certs.OwnerKubelet, certs.OwnerNobody, certs.OwnerRotation}, e.RenewedBy)
	})
	slices.SortStableFunc(out, func(a, b Entry) int { return a.NotAfter.Compare(b.NotAfter) })
	return out
}

// Err is nil when there is nothing to do, else an action.Findings. What has ended is to be seen to
// whoever renews it.
func (r Report) Err() error {
	ended := 0
	for _, e := range r.Certificates {
		if e.Ended(r.Time) {
			ended++
		}
	}
	n := len(r.Due())
	switch {
	case ended > 0:
		return action.As(action.Findings, fmt.Errorf("%s expired; renew with %s certs renew, or %s certs rescue -f CLUSTER if the API is down", report.Plural(ended, "certificate has", "certificates have"), program.Name, program.Name))
	case n > 0:
		return action.As(action.Findings, fmt.Errorf("%s due; renew with %s certs renew", report.Plural(n, "certificate is", "certificates are"), program.Name))
	}
	return nil
}

// Status looks at all certificates: with Deep in the files of every host, else at the ports
// where they are shown, which takes less than a second. It changes nothing. What can't be seen
// is in the report.
func Status(ctx context.Context, o Options, sink report.Sink) (Report, error) {
	r := Report{Time: time.Now().UTC(), Deep: o.Deep, Unseen: map[string]string{}}
	clients, err := o.open(ctx)
	if err != nil {
		return r, err
	}
	// All at the same time: it takes as long as the slowest part of it.
	var all sync.WaitGroup
	var issued []install.Issued
	var errs [3]error
	all.Go(func() { r.Cluster = o.clusterName(ctx, clients) })
	all.Go(func() {
		var err error
		issued, err = install.IssuedCertificates(ctx, clients.Kube)
		errs[1] = action.OfCluster(err)
	})
	all.Go(func() {
		var err error
		r.Schedule, err = renewal.Renewal().Look(ctx, clients.Kube)
		errs[2] = action.OfCluster(err)
	})
	if o.Deep {
		errs[0] = o.deep(ctx, clients, &r, sink)
	} else {
		errs[0] = o.shallow(ctx, &r)
	}
	all.Wait()
	if err := cmp.Or(errs[0], errs[1], errs[2]); err != nil {
		return r, err
	}
	for _, c := range issued {
		r.Certificates = append(r.Certificates, Entry{What: "addon " + c.Addon + ": " + c.Namespace + "/" + c.Secret,
			Certificate: certs.Certificate{NotAfter: c.NotAfter, RenewedBy: OwnerAddon, Due: c.NotAfter.Sub(r.Time) < addonSoon}})
	}
	order(r.Certificates)
	return r, context.Cause(ctx)
}

const (
	// OwnerAddon renews a certificate that was made for an addon.
	OwnerAddon certs.Owner = "kubectl ha addon install, or certs renew"
	// addonSoon is before its end when an addon's certificate is due. Its life is not told.
	addonSoon = 182 * 24 * time.Hour
)

func (o Options) open(ctx context.Context) (*client.Clients, error) {
	clients, err := client.New(o.Config)
	if err != nil {
		return nil, err
	}
	return clients, context.Cause(ctx)
}

func (o Options) clusterName(ctx context.Context, clients *client.Clients) string {
	if o.Cluster != nil {
		return o.Cluster.Metadata.Name
	}
	if c, err := incluster.StoredCluster(ctx, clients.Kube); err == nil {
		return c.Metadata.Name
	}
	return "" // What there is to be seen says the rest.
}

// shallow asks ports.
func (o Options) shallow(ctx context.Context, r *Report) error {
	seen, err := status.Certificates(o.Config, o.Cluster).Look(ctx)
	for _, c := range seen.Certificates {
		r.Certificates = append(r.Certificates, Entry{Host: c.Node, What: c.What,
			Certificate: certs.Certificate{NotAfter: c.NotAfter, CA: c.Authority, Due: c.Due}})
	}
	r.Missed = append(r.Missed, seen.Unseen...)
	return action.OfCluster(err)
}

// deep reads files, on nodes by Jobs and elsewhere over SSH.
func (o Options) deep(ctx context.Context, clients *client.Clients, r *Report, sink report.Sink) error {
	cluster, err := o.document(ctx, clients)
	if err != nil {
		return err
	}
	source, err := agents.Or(o.Source)
	if err != nil {
		return err
	}
	chosen, err := source.Usual(ctx, o.Config)
	if err != nil {
		return err
	}
	way := o.ways(clients, cluster, chosen)
	hosts := slices.DeleteFunc(slices.Clone(cluster.Spec.Hosts), func(h v1alpha1.Host) bool { return !o.about(h) })
	found, unseen := look(ctx, cluster, hosts, way, report.Warnings(sink))
	r.Unseen = unseen
	for _, h := range hosts {
		data := found[h.Name]
		for _, c := range data.Certificates {
			r.Certificates = append(r.Certificates, Entry{Host: h.Name, Certificate: c})
		}
		for _, m := range data.Missed {
			r.Missed = append(r.Missed, h.Name+": "+m)
		}
	}
	return nil
}

func (o Options) document(ctx context.Context, clients *client.Clients) (*v1alpha1.Cluster, error) {
	if o.Cluster != nil {
		return o.Cluster, nil
	}
	c, err := incluster.StoredCluster(ctx, clients.Kube)
	return c, action.OfCluster(err)
}

// ways are Jobs for nodes, and SSH for the others.
func (o Options) ways(clients *client.Clients, c *v1alpha1.Cluster, chosen v1alpha1.Agents) via {
	onNodes := agents.Jobs{Kube: clients.Kube, Agents: chosen, For: "certs"}
	return func(h v1alpha1.Host) transport.Runner {
		if isNode(c, h) {
			return onNodes
		}
		return o.Hosts
	}
}

func order(all []Entry) {
	slices.SortStableFunc(all, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.File, b.File), cmp.Compare(a.What, b.What))
	})
}
