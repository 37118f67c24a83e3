package status

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// The ports on which controller-manager and scheduler answer, on the loopback.
// https://kubernetes.io/docs/reference/networking/ports-and-protocols/
const (
	controllerManagerPort = 10257
	schedulerPort         = 10259
	kubeletPort           = 10250
)

// Looker looks at one cluster, once or again and again.
type Looker struct {
	config *rest.Config
	given  *v1alpha1.Cluster
	// before has the histograms of the last look, by etcd member.
	before map[string]map[string][]bucket
	// cluster is the document that was read last; with it a cluster whose API has
	// gone since can still be looked at.
	cluster *v1alpha1.Cluster
	// certificates: only these are asked for.
	certificates bool
}

// Certificates is a Looker that asks for what has a certificate, and leaves out what a whole look takes its
// time for: health checks, and the numbers of etcd members.
func Certificates(config *rest.Config, given *v1alpha1.Cluster) *Looker {
	l := New(config, given)
	l.certificates = true
	return l
}

// New makes a Looker. given may be nil: then the cluster's own document is read,
// and where there is none what kubeadm has stored.
func New(config *rest.Config, given *v1alpha1.Cluster) *Looker {
	return &Looker{config: config, given: given, cluster: given, before: map[string]map[string][]bucket{}}
}

// Cluster is the document that the last look went by; nil when there was none.
func (l *Looker) Cluster() *v1alpha1.Cluster { return l.cluster }

// Look looks once. It always returns what could be seen, and what could not is in
// it. It ends early only with the context.
func (l *Looker) Look(ctx context.Context) (Report, error) {
	r := Report{Time: time.Now().UTC(), Health: Healthy, Problems: []Problem{}, Operations: []Operation{}}
	clients, err := l.reach(ctx, &r)
	if err != nil {
		return r, err
	}
	seen := &objects{}
	if r.API.Error == "" {
		var all sync.WaitGroup
		var cluster *v1alpha1.Cluster
		if l.given == nil {
			all.Go(func() { cluster, err = document(ctx, clients) })
		}
		seen = readObjects(ctx, clients)
		all.Wait()
		switch {
		case l.given != nil:
		case err != nil:
			r.Unseen = append(r.Unseen, "the Cluster document: "+short(err))
		default:
			l.cluster = cluster
		}
		r.Unseen = append(r.Unseen, seen.unseen...)
		r.API.Reads = seen.failed == nil
		if seen.failed != nil {
			r.API.Error = "it can't read what is stored: " + short(seen.failed)
		}
	}
	l.describe(&r, seen)
	l.probe(ctx, &r, seen, clients)
	addWorkstation(&r, l.config)
	finish(&r, l.cluster)
	Judge(&r)
	return r, context.Cause(ctx)
}

// reach finds an address by which the API answers: the kubeconfig's, else, when the
// hosts are known, that of one of the apiservers.
func (l *Looker) reach(ctx context.Context, r *Report) (*client.Clients, error) {
	clients, err := client.New(l.config)
	if err != nil {
		return nil, err
	}
	r.API.Asked = strings.TrimPrefix(l.config.Host, "https://")
	first := askServer(ctx, l.config, r.API.Asked, nil)
	if first.Version != "" || l.cluster == nil {
		r.API.Error = first.Error
		return clients, nil
	}
	for _, h := range l.cluster.ControlPlanes() {
		address := net.JoinHostPort(h.Address, strconv.Itoa(int(l.cluster.Spec.APIServerPort)))
		if answer := askServer(ctx, l.config, address, nil); answer.Version != "" {
			own := rest.CopyConfig(l.config)
			own.Host = "https://" + address
			r.API.Unreached, r.API.Asked = first.Error, address
			return client.New(own)
		}
	}
	r.API.Error = first.Error
	return clients, nil
}

// describe fills in what the objects tell.
func (l *Looker) describe(r *Report, o *objects) {
	r.Nodes, r.DNS, r.Version = o.nodeReports(r.Time), o.dnsReport(), o.configured
	r.Renewal, r.BackupSchedule = o.renewal, o.backups
	describeOperations(r, o.operations)
	describeImages(r, o.nodes)
	c := l.cluster
	if c == nil {
		r.Cluster, r.API.Endpoint = "unknown", r.API.Asked
		return
	}
	r.Cluster, r.API.VirtualIP, r.API.Endpoint = c.Metadata.Name, c.Spec.VirtualIP, c.Endpoint()
	r.API.Others = !c.KeepsVirtualIP()
	if r.Version == "" {
		r.Version = c.Spec.KubernetesVersion
	}
	for _, h := range c.ControlPlanes() {
		r.ControlPlanes = append(r.ControlPlanes, ControlPlane{Node: h.Name, Address: net.JoinHostPort(h.Address, strconv.Itoa(int(c.Spec.APIServerPort)))})
	}
	for _, h := range c.EtcdMembers() {
		r.Etcd = append(r.Etcd, Member{Node: h.Name, Address: net.JoinHostPort(h.Address, strconv.Itoa(v1alpha1.EtcdClientPort))})
	}
}

// probe asks every component itself, all at once.
func (l *Looker) probe(ctx context.Context, r *Report, o *objects, clients *client.Clients) {
	p := &prober{l: l, r: r, o: o, tunnels: map[string]*tunnel{}}
	for _, n := range r.Nodes {
		p.tunnels[n.Name] = &tunnel{clients: clients, pod: o.doorway(n.Name)}
	}
	var all sync.WaitGroup
	for i := range r.ControlPlanes {
		all.Go(func() { p.server(ctx, i) })
		if l.certificates {
			continue
		}
		all.Go(func() { p.component(ctx, i, controllerManager, controllerManagerPort) })
		all.Go(func() { p.component(ctx, i, scheduler, schedulerPort) })
	}
	for i := range r.Etcd {
		all.Go(func() { p.member(ctx, i) })
	}
	for _, n := range r.Nodes {
		all.Go(func() { p.kubelet(ctx, n) })
	}
	if l.cluster != nil {
		if !l.certificates {
			all.Go(func() { p.holder(ctx) })
		}
		all.Go(func() { p.loadBalancer(ctx) })
	}
	all.Wait()
	for _, t := range p.tunnels {
		t.Close()
	}
	p.nameHolder()
	lags(r.Etcd)
}

// prober writes into different parts of the report at the same time.
type prober struct {
	l       *Looker
	r       *Report
	o       *objects
	tunnels map[string]*tunnel

	mu      sync.Mutex
	servers map[string]*x509.Certificate
	atVIP   *x509.Certificate
}

func (p *prober) tunnel(node string) *tunnel {
	if t := p.tunnels[node]; t != nil {
		return t
	}
	return &tunnel{}
}

// keep notes a certificate that was shown.
func (p *prober) keep(node, what string, c *x509.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.r.Certificates = append(p.r.Certificates, Certificate{Node: node, What: what, NotAfter: c.NotAfter, Due: pki.Due(c, p.r.Time), RenewsItself: what == kubeletServing})
}

// server asks an apiserver at its own address, and through its kubelet where that
// way is not open from here.
func (p *prober) server(ctx context.Context, i int) {
	cp := &p.r.ControlPlanes[i]
	_, port, _ := net.SplitHostPort(cp.Address)
	number, _ := strconv.Atoi(port) // Made from a number.
	cert, dial, err := shown(ctx, direct(cp.Address), p.tunnel(cp.Node).through(number))
	if !p.l.certificates {
		cp.APIServer = askServer(ctx, p.l.config, cp.Address, dial)
	}
	if err != nil {
		return
	}
	p.keep(cp.Node, "apiserver", cert)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.servers == nil {
		p.servers = map[string]*x509.Certificate{}
	}
	p.servers[cp.Node] = cert
}

// component asks controller-manager or scheduler whether it is well.
func (p *prober) component(ctx context.Context, i int, name string, port int) {
	node := p.r.ControlPlanes[i].Node
	c := Component{Version: version(p.o.static(name, node)), Leader: leaderOf(p.o.leaders[name], p.r.Time) == node}
	began := time.Now()
	code, body, err := get(ctx, p.tunnel(node).through(port), fmt.Sprintf("https://127.0.0.1:%d/healthz", port))
	switch {
	case err == nil && code == http.StatusOK:
		c.Healthy, c.Milliseconds = true, max(1, time.Since(began).Milliseconds())
	case err == nil:
		c.Error = fmt.Sprintf("its health check answers %d: %s", code, strings.TrimSpace(string(body[:min(len(body), 200)])))
	default:
		c.Error, c.Unseen = short(err), !refused(err)
	}
	if name == controllerManager {
		p.r.ControlPlanes[i].ControllerManager = c
	} else {
		p.r.ControlPlanes[i].Scheduler = c
	}
}

// refused tells whether the host itself says that nobody listens there.
func refused(err error) bool { return strings.Contains(err.Error(), "on its loopback") }

// member looks at an etcd member: at its own port, and for its numbers.
func (p *prober) member(ctx context.Context, i int) {
	m := &p.r.Etcd[i]
	cert, _, err := shown(ctx, direct(m.Address), p.tunnel(m.Node).through(v1alpha1.EtcdClientPort))
	if err != nil {
		m.Error = short(err)
	} else {
		m.Answers = true
		p.keep(m.Node, "etcd", cert)
	}
	if p.tunnel(m.Node).pod == "" || p.l.certificates {
		return
	}
	p.mu.Lock()
	before := p.l.before[m.Node]
	p.mu.Unlock()
	buckets := measure(ctx, m, p.tunnel(m.Node), before)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l.before[m.Node] = buckets
}

// kubeletServing is what a kubelet's own certificate is for.
const kubeletServing = "kubelet, serving"

// kubelet looks at the certificate that a kubelet serves with.
func (p *prober) kubelet(ctx context.Context, n Node) {
	address := net.JoinHostPort(n.Address, strconv.Itoa(kubeletPort))
	if cert, _, err := shown(ctx, direct(address), p.tunnel(n.Name).through(kubeletPort)); err == nil {
		p.keep(n.Name, kubeletServing, cert)
	}
}

// holder looks at whose certificate is served at the virtual IP.
func (p *prober) holder(ctx context.Context) {
	cert, err := certificate(ctx, direct(p.r.API.Endpoint))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.r.API.Unreached == "" {
		p.r.API.Unreached = short(err)
		var unknown *net.DNSError
		p.r.API.UnknownName = errors.As(err, &unknown) && unknown.IsNotFound
	}
	p.atVIP = cert
}

// nameHolder finds the holder: each apiserver has a certificate of its own.
func (p *prober) nameHolder() {
	for _, cp := range p.r.ControlPlanes {
		if c := p.servers[cp.Node]; c != nil && p.atVIP != nil && bytes.Equal(c.Raw, p.atVIP.Raw) {
			p.r.API.Holder = cp.Node
		}
	}
	for _, cp := range p.r.ControlPlanes {
		if cp.Node != p.r.API.Holder && cp.APIServer.Healthy {
			p.r.API.Could = append(p.r.API.Could, cp.Node)
		}
	}
}

// addWorkstation adds the certificate of the kubeconfig that is used.
func addWorkstation(r *Report, config *rest.Config) {
	if certs, err := cert.ParseCertsPEM(config.CertData); err == nil {
		r.Certificates = append(r.Certificates, Certificate{What: "your kubeconfig", NotAfter: certs[0].NotAfter})
	}
}

// finish puts lists in order and counts days.
func finish(r *Report, c *v1alpha1.Cluster) {
	for i := range r.Certificates {
		r.Certificates[i].DaysLeft = int(r.Certificates[i].NotAfter.Sub(r.Time).Hours() / 24)
	}
	slices.SortStableFunc(r.Certificates, func(a, b Certificate) int {
		if order := strings.Compare(a.Node+"\x00"+a.What, b.Node+"\x00"+b.What); order != 0 {
			return order
		}
		return a.NotAfter.Compare(b.NotAfter)
	})
	if c == nil {
		return
	}
	slices.SortStableFunc(r.Nodes, func(a, b Node) int { return place(c, a.Name) - place(c, b.Name) })
}

// place is a host's in the document; nodes that it does not know come last.
func place(c *v1alpha1.Cluster, name string) int {
	i := slices.IndexFunc(c.Spec.Hosts, func(h v1alpha1.Host) bool { return h.Name == name })
	if i < 0 {
		return len(c.Spec.Hosts)
	}
	return i
}
