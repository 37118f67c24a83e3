package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// addEtcdTimeout bounds the join of an etcd member, which has to get all data.
const addEtcdTimeout = 15 * time.Minute

// AddConfig brings hosts to a cluster that runs: the part over SSH, up to
// kubelets that are joined and etcd members that vote. Only these hosts are
// logged in to, so that it takes as long in a large cluster as in a small one.
type AddConfig struct {
	// Cluster is the document with the new hosts, defaults set and valid.
	Cluster *v1alpha1.Cluster
	// Names are the new hosts.
	Names []string
	// Hosts are connected, at least to these.
	Hosts Hosts
	// Bundle is as in Config.
	Bundle func(ctx context.Context, arch string) (Bundle, error)
	// APIAt is host:port where hosts are to reach the API while they are looked at: a cluster that is
	// about to get another endpoint does not answer there yet. Default: the Cluster's endpoint.
	APIAt string
	// StateDir is this cluster's directory on the workstation; its etcd CA is needed
	// for a new member only.
	StateDir   string
	AgentImage string
	// AgentDigest is as in Config.
	AgentDigest func(ctx context.Context, arch string) (string, error)
	DryRun      bool
	// Confirm, when set, is asked with the plan; an error ends it.
	Confirm func(ctx context.Context, p plan.Plan) error
	// Discovery gives what kubelets join with: a bootstrap token that lives for
	// twenty minutes or so, and the fingerprint of the cluster's CA. It is called once.
	Discovery func(ctx context.Context) (token, caHash string, err error)
	// Member gives the certificates of an etcd member that the plan adds, where the
	// etcd CA is not at hand. Nil: they are signed here.
	Member func(h v1alpha1.Host) (MemberFiles, error)
}

// MemberFiles are one etcd member's certificates, PEM, and etcd's initial cluster
// token. The keys are secrets.
type MemberFiles struct {
	// Identity is what the cluster is known by (ADR 27). Empty, from an earlier version of this
	// program, it is the fingerprint of CA.
	Identity   string `json:"identity,omitempty"`
	Token      string `json:"token"`
	CA         []byte `json:"ca"`
	ServerCert []byte `json:"serverCert"`
	ServerKey  []byte `json:"serverKey"`
	PeerCert   []byte `json:"peerCert"`
	PeerKey    []byte `json:"peerKey"`
}

// answering is the document with the endpoint that answers while hosts are looked at.
func answering(cfg AddConfig) *v1alpha1.Cluster {
	if cfg.APIAt == "" {
		return cfg.Cluster
	}
	out := *cfg.Cluster
	out.Spec.Endpoint.Address = cfg.APIAt
	return &out
}

// Add prepares and joins hosts. The error is a *PreflightError when they are not
// ready; nothing was changed then. Running it again does what is left.
func Add(ctx context.Context, cfg AddConfig, sink report.Sink) (Result, error) {
	var r Result
	if !cfg.DryRun && cfg.StateDir != "" {
		unlock, err := lock(filepath.Join(cfg.StateDir, "bootstrap.lock"))
		if err != nil {
			return r, err
		}
		defer unlock()
	}
	started := time.Now()
	in := Inputs{AgentImage: cfg.AgentImage, Running: true}
	if cfg.Member == nil {
		local, err := LocalInputs(ctx, cfg.StateDir, cfg.Cluster)
		if err != nil {
			return r, err
		}
		in.Identity, in.EtcdCAs = local.Identity, local.EtcdCAs
		if in.Identity == "" && cfg.anyMember() {
			return r, fmt.Errorf("the key of the etcd CA is not on this machine, and a new etcd member needs certificates by it: run it where the cluster was made, or copy that machine's state directory of this cluster to %s", cfg.StateDir)
		}
	}
	if cfg.Member != nil && cfg.anyMember() {
		if err := cfg.ownCA(&in); err != nil {
			return r, err
		}
	}
	o, err := Observe(ctx, cfg.Hosts, cfg.Cluster, sink, cfg.Names...)
	if err != nil {
		return r, err
	}
	r.Findings = append(Preflight(cfg.Cluster, o, in), strangers(cfg, o)...)
	reached, err := ReachCluster(ctx, cfg.Hosts, answering(cfg), o, sink)
	r.Findings = append(r.Findings, reached...)
	r.Observe = time.Since(started)
	if err = errors.Join(err, errorsOf(r.Findings)); err != nil {
		return r, err
	}
	run := Config{Cluster: cfg.Cluster, Hosts: cfg.Hosts, Bundle: cfg.Bundle, StateDir: cfg.StateDir, AgentImage: cfg.AgentImage}
	started = time.Now()
	b, err := cfg.open(ctx, o)
	r.Bundle = time.Since(started)
	if err != nil {
		return r, err
	}
	if b != nil {
		contents := b.Contents()
		in.Contents = &contents
		r.Findings = append(Preflight(cfg.Cluster, o, in), reached...)
		if err := errorsOf(r.Findings); err != nil {
			return r, err
		}
	}
	warn(r.Findings, sink)
	if in.AgentDigest, err = agentDigest(ctx, cfg.AgentDigest, o[cfg.Names[0]]); err != nil {
		return r, err
	}
	if r.Plan, err = MakeAddPlan(cfg.Cluster, cfg.Names, o, in); err != nil {
		return r, err
	}
	if cfg.Confirm != nil {
		if err := cfg.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	if cfg.DryRun {
		return r, nil
	}
	return r, cfg.carryOut(ctx, run, in.Identity, b, &r, sink)
}

// open opens the bundle, when anything is to be taken from it.
func (cfg AddConfig) open(ctx context.Context, o Observation) (Bundle, error) {
	if cfg.Bundle == nil {
		return nil, errors.New("there is no bundle")
	}
	b, err := cfg.Bundle(ctx, o[cfg.Names[0]].Facts.Arch)
	if err != nil {
		return nil, fmt.Errorf("the bundle: %w", err)
	}
	return b, nil
}

func (cfg AddConfig) anyMember() bool {
	return !cfg.Cluster.Stacked() && slices.ContainsFunc(cfg.Cluster.EtcdMembers(), func(h v1alpha1.Host) bool { return slices.Contains(cfg.Names, h.Name) })
}

// ownCA notes the CA of the members' certificates that were brought.
func (cfg AddConfig) ownCA(in *Inputs) error {
	for _, h := range cfg.Cluster.EtcdMembers() {
		if !slices.Contains(cfg.Names, h.Name) {
			continue
		}
		files, err := cfg.Member(h)
		if err != nil {
			return err
		}
		if in.EtcdCAs, err = (authority{trusted: files.CA}).fingerprints(); err != nil {
			return err
		}
		if in.Identity = files.Identity; in.Identity == "" && len(in.EtcdCAs) > 0 {
			in.Identity = in.EtcdCAs[0]
		}
		return nil
	}
	return nil
}

// strangers are hosts that were members of the cluster before: what is left of that
// would only half be taken up again.
func strangers(cfg AddConfig, o Observation) []report.Finding {
	var out []report.Finding
	for _, name := range cfg.Names {
		if o[name].done(tasks.Retire) {
			out = append(out, report.Finding{Node: name, Check: "leftovers", Severity: report.SeverityError, Message: "it was removed from the cluster, and what it had is still there",
				Hint: "run kubectl ha uninstall for it first, or make it anew"})
		}
	}
	return out
}

// carryOut runs the plan. identity is what the cluster is known by, empty when that is not known here.
func (cfg AddConfig) carryOut(ctx context.Context, run Config, identity string, b Bundle, r *Result, sink report.Sink) error {
	started := time.Now()
	var auth authority
	var err error
	if cfg.Member == nil && cfg.anyMember() {
		if auth, err = openAuthority(ctx, cfg.StateDir, cfg.Cluster.Metadata.Name); err != nil {
			return err
		}
	}
	e := &executor{cfg: run, sink: sink, authority: auth, identity: identity, members: cfg.Member, discover: cfg.Discovery}
	e.source, _ = cfg.Cluster.Host(cfg.Names[0])
	e.blobs = newBlobs(run, cfg.Names[0], b, r.Plan.Pending())
	return e.execute(ctx, started, r)
}

// MakeAddPlan says what is to be done on new hosts of a cluster that runs. It is
// pure, and what it returns holds no secret. Nothing is done on any other host.
func MakeAddPlan(c *v1alpha1.Cluster, names []string, o Observation, in Inputs) (plan.Plan, error) {
	p := &planner{c: c, o: o, in: in}
	for _, name := range names {
		h, ok := c.Host(name)
		if !ok {
			return plan.Plan{}, fmt.Errorf("there is no host %s", name)
		}
		if p.source.Name == "" || isIn(c.Nodes(), h) && !isIn(c.Nodes(), p.source) {
			p.source = h // It is fed the bundle.
		}
	}
	var hosts []v1alpha1.Host
	for _, name := range names {
		h, _ := c.Host(name)
		hosts = append(hosts, h)
		p.prepare(h)
	}
	// The one that is fed comes first: the others' images come after its own.
	slices.SortStableFunc(hosts, func(a, b v1alpha1.Host) int { return rank(a, p.source) - rank(b, p.source) })
	for _, h := range hosts {
		if isIn(c.Nodes(), h) {
			p.images(h)
		}
	}
	before := ""
	for _, h := range hosts {
		if isIn(c.EtcdMembers(), h) && !c.Stacked() {
			before = p.etcdJoins(h, before)
		}
	}
	for _, h := range hosts {
		if h.Has(v1alpha1.RoleControlPlane) && c.KeepsVirtualIP() {
			p.vip(h)
		}
		if isIn(c.Nodes(), h) {
			p.joinsNode(h)
		}
	}
	p.tidyUp(hosts)
	out := plan.Plan{Steps: p.steps}
	return out, out.Validate()
}

func rank(h, first v1alpha1.Host) int {
	if h.Name == first.Name {
		return 0
	}
	return 1
}

// etcdJoins adds a member to etcd. One comes after the other: there may be one
// learner at a time.
func (p *planner) etcdJoins(h v1alpha1.Host, before string) string {
	members := map[string]string{}
	for _, m := range p.c.EtcdMembers() {
		members[m.Name] = m.Address
	}
	s := plan.Step{ID: id(tasks.Etcd, h), Host: h.Name, Task: tasks.Etcd, After: []string{id(tasks.Prepare, h)}, Timeout: addEtcdTimeout,
		Title: "join etcd: first as a learner, then with a vote", Settings: settings(p.c.Spec.Etcd.ExtraArgs),
		Spec: etcdmember.Spec{Name: h.Name, Address: h.Address, Members: members, DataDir: p.c.Spec.Etcd.DataDir, Args: p.c.Spec.Etcd.ExtraArgs, Join: true}}
	if before != "" {
		s.After = append(s.After, before)
	}
	if p.memberRuns(h) {
		s.Skip = "the member runs"
	}
	p.add(s)
	return s.ID
}

func (p *planner) joinsNode(h v1alpha1.Host) {
	s := plan.Step{ID: id(tasks.JoinNode, h), Host: h.Name, Task: tasks.JoinNode, Timeout: joinTimeout, Title: "join the node",
		After: []string{id(tasks.Images, h)}, Spec: controlplane.JoinNodeSpec{Patches: p.c.Spec.Kubeadm.Patches}}
	if p.joined(h) {
		s.Skip = "already joined"
	}
	p.add(s)
}
