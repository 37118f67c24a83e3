package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Hosts is what the bootstrap needs of its transport; ssh.Hosts is one.
type Hosts interface {
	transport.Runner
	// Pipe runs the agent with other arguments and gives its standard input and
	// output; wait returns when it has ended.
	Pipe(ctx context.Context, host string, args []string) (stdin io.WriteCloser, stdout io.Reader, wait func() error, err error)
	// DialContext returns a dialler of addresses as seen from the host.
	DialContext(host string) func(ctx context.Context, network, address string) (net.Conn, error)
}

// Bundle is an open bundle; bundle.Bundle is one.
type Bundle interface {
	bundle.Upstream
	Contents() bundle.Contents
}

// Config is one bootstrap.
type Config struct {
	// Cluster has its defaults set and is valid.
	Cluster *v1alpha1.Cluster
	// Hosts are connected.
	Hosts Hosts
	// Bundle opens, or makes, the bundle for hosts of this architecture. It is
	// called once the hosts have been looked at and nothing stands in the way. In
	// a dry run it may return nil: the plan then has every host prepared.
	Bundle func(ctx context.Context, arch string) (Bundle, error)
	// StateDir is this cluster's directory on the workstation, with the etcd CA.
	StateDir string
	// OwnCAs are those that the user has given, which have passed their Check. The others are made.
	OwnCAs OwnCAs
	// AgentImage is the reference given to the agent's own image on the hosts.
	AgentImage string
	// AgentDigest, when set, gives the digest of that image for an architecture.
	AgentDigest func(ctx context.Context, arch string) (string, error)
	// CertificateLife is how long certificates live that etcd's CA signs: for tests, which can't
	// turn clocks. Zero is pki.DefaultValidity; whoever sets it has to warn of it.
	CertificateLife time.Duration
	// DryRun ends with the plan, and changes nothing.
	DryRun bool
	// Confirm, when set, is asked with the plan, which has something pending
	// beside what is always looked at; an error ends the bootstrap.
	Confirm func(ctx context.Context, p plan.Plan) error
	// Hold, when set, tells a cluster that runs already that this is at work on its hosts, until release; an
	// error ends the bootstrap. Join comes after the release.
	Hold func(ctx context.Context, a Access) (release func(), err error)
	// Join makes the cluster complete from inside: the Join Operation.
	Join func(ctx context.Context, a Access) (plan.Outcome, error)
	// Kubeconfig writes the caller's kubeconfig and verifies it.
	Kubeconfig func(ctx context.Context, a Access) (plan.Outcome, error)

	// newToken makes a bootstrap token in the cluster; for tests.
	newToken func(ctx context.Context, client kubernetes.Interface, now time.Time) (string, error)
}

// Result is what a bootstrap did, or in a dry run would do.
type Result struct {
	Plan plan.Plan
	// Findings of the preflight: warnings, or errors as well when it failed.
	Findings []report.Finding
	// Changed tells whether anything was changed on any host or in the cluster.
	Changed bool
	// Observe, Bundle and Steps are how long the parts took.
	Observe, Bundle, Steps time.Duration
}

// Run makes a cluster of bare hosts, or does what is left of that. The error is
// a *PreflightError when the hosts are not ready; nothing was changed then.
func Run(ctx context.Context, cfg Config, sink report.Sink) (Result, error) {
	var r Result
	if cfg.newToken == nil {
		cfg.newToken = newBootstrapToken
	}
	if !cfg.DryRun {
		unlock, err := lock(filepath.Join(cfg.StateDir, "bootstrap.lock"))
		if err != nil {
			return r, err
		}
		defer unlock()
	}
	in, o, err := look(ctx, cfg, &r, sink)
	if err != nil {
		return r, err
	}
	b, err := openBundle(ctx, cfg, o, &r)
	if err != nil {
		return r, err
	}
	if b != nil {
		contents := b.Contents()
		in.Contents = &contents
		// Now that the contents are known, more can be told.
		r.Findings = append(Preflight(cfg.Cluster, o, in), reachOf(r.Findings)...)
		if err := errorsOf(r.Findings); err != nil {
			return r, err
		}
	}
	warn(r.Findings, sink)
	if in.AgentDigest, err = agentDigest(ctx, cfg.AgentDigest, o[cfg.Cluster.First().Name]); err != nil {
		return r, err
	}
	if r.Plan, err = MakePlan(cfg.Cluster, o, in); err != nil || cfg.DryRun {
		return r, err
	}
	if cfg.Confirm != nil {
		if err := cfg.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	return r, carryOut(ctx, cfg, o, b, &r, sink)
}

// agentDigest is that of the agent's image on hosts like one that was observed: all are of one
// architecture. Who can't compute it does not know it.
func agentDigest(ctx context.Context, of func(ctx context.Context, arch string) (string, error), o HostObservation) (string, error) {
	if of == nil {
		return "", nil
	}
	return of(ctx, o.Facts.Arch)
}

// LocalInputs are the Inputs as far as this workstation knows them: the etcd CA in the
// cluster's state directory, or with stacked etcd what it is known by. Nothing is made.
func LocalInputs(ctx context.Context, stateDir string, c *v1alpha1.Cluster) (Inputs, error) {
	auth, err := openAuthority(ctx, stateDir, c.Metadata.Name)
	if err != nil {
		return Inputs{}, err
	}
	if c.Stacked() {
		// No CA of this machine signs for the members.
		identity, err := stackedIdentity(auth, stateDir)
		return Inputs{Identity: identity}, err
	}
	all, err := auth.fingerprints()
	return Inputs{Identity: auth.identity(), EtcdCAs: all}, err
}

// look observes the hosts and judges them without the bundle, whose making may
// take long.
func look(ctx context.Context, cfg Config, r *Result, sink report.Sink) (Inputs, Observation, error) {
	started := time.Now()
	in, err := LocalInputs(ctx, cfg.StateDir, cfg.Cluster)
	if err == nil {
		in, err = ownInputs(in, cfg.OwnCAs, cfg.StateDir, cfg.Cluster.Stacked())
	}
	if err != nil {
		return in, nil, err
	}
	in.AgentImage = cfg.AgentImage
	o, findings, err := Look(ctx, cfg.Hosts, cfg.Cluster, in, sink)
	r.Findings, r.Observe = findings, time.Since(started)
	if err == nil {
		err = errorsOf(findings)
	}
	return in, o, err
}

// Look is the whole preflight: it observes all hosts, judges them, and tries
// whether they reach each other. It changes nothing. The error is the context's.
func Look(ctx context.Context, hosts transport.Runner, c *v1alpha1.Cluster, in Inputs, sink report.Sink) (Observation, []report.Finding, error) {
	o, err := Observe(ctx, hosts, c, sink)
	if err != nil {
		return o, nil, err
	}
	findings := Preflight(c, o, in)
	reach, err := Reach(ctx, hosts, c, o, sink)
	return o, append(findings, reach...), err
}

func openBundle(ctx context.Context, cfg Config, o Observation, r *Result) (Bundle, error) {
	if cfg.Bundle == nil {
		return nil, errors.New("there is no bundle")
	}
	started := time.Now()
	b, err := cfg.Bundle(ctx, o[cfg.Cluster.First().Name].Facts.Arch)
	r.Bundle = time.Since(started)
	if err != nil {
		return nil, fmt.Errorf("the bundle: %w", err)
	}
	return b, nil
}

func reachOf(findings []report.Finding) []report.Finding {
	var out []report.Finding
	for _, f := range findings {
		if f.Check == checkReach {
			out = append(out, f)
		}
	}
	return out
}

func warn(findings []report.Finding, sink report.Sink) {
	for _, f := range findings {
		if f.Severity == report.SeverityWarning {
			sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Host: f.Node, Message: f.Message, Hint: f.Hint})
		}
	}
}

// carryOut runs the plan. The etcd CA is made, or the user's own is kept, and on the disk, before the
// first host is touched.
func carryOut(ctx context.Context, cfg Config, o Observation, b Bundle, r *Result, sink report.Sink) error {
	started := time.Now()
	makes := makeAuthority
	if cfg.Cluster.Stacked() {
		makes = makeIdentity
	}
	auth, err := makes(ctx, cfg.StateDir, cfg.Cluster.Metadata.Name, cfg.OwnCAs)
	if err != nil {
		return err
	}
	auth.life = cfg.CertificateLife
	src, _ := source(cfg.Cluster, o)
	e := &executor{cfg: cfg, sink: sink, authority: auth, identity: auth.identity(), source: src, fresh: o[src.Name].Facts.State.ClusterCA == ""}
	if err := e.hold(ctx, o, r.Plan); err != nil {
		return err
	}
	defer e.release()
	e.blobs = newBlobs(cfg, src.Name, b, r.Plan.Pending())
	if err := e.execute(ctx, started, r); err != nil {
		return err
	}
	if !r.Changed {
		sink.Emit(report.Event{Time: time.Now(), Kind: report.Info, Message: "nothing to do: the cluster " + cfg.Cluster.Metadata.Name + " is complete"})
	}
	return nil
}

// hold tells the cluster, when it runs and something is to be made on its hosts. One that can't be asked is
// no reason to end: what is made may be what brings it back.
func (e *executor) hold(ctx context.Context, o Observation, p plan.Plan) error {
	e.release = func() {}
	if e.cfg.Hold == nil || !LeftToMake(p) || !serves(e.cfg.Cluster, o) {
		return nil
	}
	e.mu.Lock()
	a, err := e.admin(ctx)
	e.mu.Unlock()
	if err != nil {
		e.sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Message: fmt.Sprintf("operations are not kept from beginning meanwhile: %v", err)})
		return nil
	}
	release, err := e.cfg.Hold(ctx, a)
	if err == nil {
		e.release = release
	}
	return err
}

// serves tells whether the cluster has an apiserver that is ready.
func serves(c *v1alpha1.Cluster, o Observation) bool {
	return slices.ContainsFunc(c.ControlPlanes(), func(h v1alpha1.Host) bool {
		seen := o[h.Name]
		return seen.Err == nil && seen.Facts.State.ClusterCA != "" && seen.Facts.State.APIServerReady
	})
}

// execute runs the result's plan, and notes in it how long that took since it began,
// and whether anything was changed. The error is an *Unfinished.
func (e *executor) execute(ctx context.Context, started time.Time, r *Result) error {
	defer e.blobs.close() // When steps were left it still runs.
	err := plan.Run(ctx, r.Plan, plan.Options{Exec: e.run}, report.SinkFunc(func(ev report.Event) {
		if ev.Kind == report.StepDone && ev.Changed {
			e.mu.Lock()
			r.Changed = true
			e.mu.Unlock()
		}
		e.sink.Emit(ev)
	}))
	r.Steps = time.Since(started)
	if err != nil {
		return &Unfinished{Err: err}
	}
	return nil
}

// Unfinished is a bootstrap that ended before its end.
type Unfinished struct{ Err error }

// Error is the cause.
func (e *Unfinished) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Unfinished) Unwrap() error { return e.Err }

// Explain says how to go on.
func (e *Unfinished) Explain() (detail, hint string) {
	return "", "run the same command again: it checks the hosts and completes the remaining steps"
}
