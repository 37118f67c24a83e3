package etcd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/images"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/members"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// observeTimeout bounds the look at a host's architecture.
const observeTimeout = time.Minute

// CarryOut does what was planned, as far as was asked for: over SSH from here, or by an Operation,
// which is returned once it has begun. Nil: all is done.
func (p *ChangePlan) CarryOut(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	switch {
	case p.Done:
		return nil, errNothing
	case p.options.PushOnly:
		return nil, p.Push(ctx, sink)
	case p.OverSSH:
		return nil, p.run(ctx, sink)
	}
	return p.begin(ctx, sink)
}

// begin brings what is needed to the nodes and has the cluster carry the plan out, as an
// Operation. One for the same that is in progress is taken up.
func (p *ChangePlan) begin(ctx context.Context, sink report.Sink) (*operate.Begun, error) {
	o := p.options
	conn, err := operate.Connect(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	if err := p.Push(ctx, sink); err != nil {
		return nil, err
	}
	return conn.Begin(ctx, conn.Stored, v1alpha1.OperationSpec{Type: v1alpha1.OperationEtcd, Etcd: p.spec}, sink)
}

// Push brings the programs of every version to the members' hosts, and nothing else.
func (p *ChangePlan) Push(ctx context.Context, sink report.Sink) error {
	for _, version := range p.Versions {
		if err := p.push(ctx, version, sink); err != nil {
			return err
		}
	}
	return nil
}

func (p *ChangePlan) push(ctx context.Context, version string, sink report.Sink) error {
	o := p.options
	b, path, err := p.bundle(ctx, version, sink)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // only read
	if o.Hosts == nil {
		var names []string
		for _, h := range o.Cluster.EtcdMembers() {
			names = append(names, h.Name)
		}
		_, err = images.RunPush(ctx, images.PushOptions{Config: o.Config, Source: o.Source, What: []string{path}, Trust: o.Trust, Component: bundle.ComponentEtcd, Nodes: names}, sink)
		return err
	}
	arch, err := o.arch(ctx)
	if err != nil {
		return err
	}
	return action.OfRun(bootstrap.StageEtcd(ctx, o.Cluster, o.Hosts, b.ForArch(arch), o.Cluster.EtcdMembers(), sink))
}

// bundle opens the one that has etcd of a version.
func (p *ChangePlan) bundle(ctx context.Context, version string, sink report.Sink) (*bundle.Bundle, string, error) {
	o := p.options
	var have []string
	for _, file := range o.Files {
		b, err := o.Trust.Open(file)
		if err != nil {
			return nil, "", err
		}
		if b.Contents().EtcdVersion == version {
			return b, file, nil
		}
		have = append(have, file+" has "+b.Contents().EtcdVersion)
		if err := b.Close(); err != nil {
			return nil, "", err
		}
	}
	if len(o.Files) > 0 {
		return nil, "", action.Invalidf("none of the bundles has etcd %s: %s\nnext: kubectl ha bundle create --etcd-version %s", version, strings.Join(have, ", "), version)
	}
	arch, err := o.arch(ctx)
	if err != nil {
		return nil, "", err
	}
	c := *o.Cluster
	c.Spec.Etcd.Version = version
	b, err := bundles.Ensure(ctx, "", &c, arch, sink)
	if err != nil {
		return nil, "", err
	}
	path, err := bundles.Cached(&c, arch)
	return b, path, err
}

// arch is the members' hosts' architecture; all of them have the same, unless a bundle is named.
func (o Options) arch(ctx context.Context) (string, error) {
	first := o.Cluster.EtcdMembers()[0]
	if o.Hosts != nil {
		res, err := bootstrap.Call(ctx, o.Hosts, first.Name, node.Request{Cluster: o.Cluster.Metadata.Name, Task: tasks.Observe, Step: tasks.Observe + "/" + first.Name, Timeout: observeTimeout},
			observe.Spec{Address: first.Address, APIServerPort: o.Cluster.Spec.APIServerPort, DataDir: o.Cluster.Spec.Etcd.DataDir}, report.Discard())
		if err != nil {
			return "", action.OfRun(err)
		}
		facts, err := observe.Decode(res.Data)
		return facts.Arch, err
	}
	kube, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return "", err
	}
	nodes, err := images.Nodes(ctx, kube, "")
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if n.Name == first.Name {
			return agents.ArchOf(n), nil
		}
	}
	return "", action.Invalidf("%s is no node of the cluster", first.Name)
}

// run carries the plan out over SSH, from here: the same steps, one after the other. Run again, it
// does what is left.
func (p *ChangePlan) run(ctx context.Context, sink report.Sink) error {
	o := p.options
	unlock, err := bootstrap.Lock(o.StateDir)
	if err != nil {
		return action.OfRun(err)
	}
	defer unlock()
	// Not required: an etcd that is full, or without a leader, refuses the claim's write as well, and has to
	// be mended.
	held := action.Hold{Config: o.Config, StateDir: o.StateDir, Command: "kubectl ha etcd " + strings.ToLower(string(o.Change))}
	return held.While(ctx, sink, func(ctx context.Context, may func() error) error { return p.carryOut(ctx, may, sink) })
}

// carryOut runs the steps; before each of them may has to have no objection.
func (p *ChangePlan) carryOut(ctx context.Context, may func() error, sink report.Sink) error {
	o := p.options
	if err := p.Push(ctx, sink); err != nil {
		return err
	}
	own := p.backups(ctx, time.Now(), sink)
	byID := map[string]v1alpha1.StepStatus{}
	for _, s := range p.status {
		byID[s.ID] = s
	}
	err := plan.Run(ctx, p.Steps, plan.Options{Parallel: 1, Exec: func(ctx context.Context, s plan.Step) (plan.Outcome, error) {
		if err := may(); err != nil {
			return plan.Outcome{}, err
		}
		return p.step(ctx, byID[s.ID], own, sink)
	}}, sink)
	if err == nil {
		p.release(ctx, own, sink)
	}
	if err == nil && o.Change == v1alpha1.EtcdApply {
		err = p.noteArgs(ctx, sink)
	}
	return action.OfRun(err)
}

// backups are those of this run: no Operation tells of it, so that the hosts hold the first one.
func (p *ChangePlan) backups(ctx context.Context, now time.Time, sink report.Sink) members.Backups {
	name := fmt.Sprintf("etcd-%s-%s", strings.ToLower(string(p.options.Change)), now.UTC().Format("20060102t150405z"))
	return members.Backups{Name: name, Protect: p.protected(ctx, sink), Hold: true}
}

// release tells the hosts that the change is through: what was backed up before its first try needs
// no longer stay.
func (p *ChangePlan) release(ctx context.Context, own members.Backups, sink report.Sink) {
	own.Hold, own.Release = false, true
	for _, s := range p.status {
		if !strings.HasPrefix(s.ID, members.StepBackup+"/") {
			continue
		}
		if _, err := p.step(ctx, s, own, report.Inner(sink)); err != nil {
			action.Warn(sink, "", "%s keeps the backup of before this change longer than it has to: %v", s.Node, err)
		}
	}
}

// step runs one step's task.
func (p *ChangePlan) step(ctx context.Context, s v1alpha1.StepStatus, own members.Backups, sink report.Sink) (plan.Outcome, error) {
	o := p.options
	if s.ID == members.StepRecord {
		return p.record(ctx, sink)
	}
	req, err := members.Request(s, p.spec, o.Cluster, own)
	if err != nil {
		return plan.Outcome{}, err
	}
	req.Cluster, req.Step = o.Cluster.Metadata.Name, s.ID
	res, err := o.Hosts.Run(ctx, s.Node, req, sink)
	if err != nil {
		return plan.Outcome{}, err
	}
	if res.Failure != nil {
		return plan.Outcome{}, &bootstrap.TaskError{Host: s.Node, Task: req.Task, Failure: *res.Failure}
	}
	kind, _, _ := strings.Cut(s.ID, "/")
	return plan.Outcome{Changed: len(res.Changes) > 0, Message: members.Said(kind, res)}, nil
}

// keepAll is more than any host has.
const keepAll = 1 << 20

// protected are the backups that must not be pruned. Where the API can't be asked which these are,
// all of them stay.
func (p *ChangePlan) protected(ctx context.Context, sink report.Sink) []string {
	if p.options.Config != nil {
		ops, err := incluster.NewOperations(p.options.Config, nil)
		var all []v1alpha1.Operation
		if err == nil {
			all, err = ops.Heads(ctx)
		}
		if err == nil {
			return operations.FirstTries(all)
		}
		action.Warn(sink, "", "no backup is pruned, since the Operations cannot be listed: %v", err)
	}
	p.spec.KeepBackups = keepAll
	return nil
}

// record notes the version where the API can be asked; without it that is left to whoever can.
func (p *ChangePlan) record(ctx context.Context, sink report.Sink) (plan.Outcome, error) {
	version := p.Versions[len(p.Versions)-1]
	kube, err := p.kube()
	if err == nil {
		var message string
		if message, err = members.Record(ctx, kube, version); err == nil {
			return plan.Outcome{Changed: true, Message: message}, nil
		}
	}
	action.Warn(sink, "put etcd.version: "+version+" into the Cluster file, and run kubectl ha bootstrap with it once the API is back", "the version could not be noted in the stored Cluster document: %v", err)
	return plan.Outcome{}, nil
}

// noteArgs notes the settings that were applied from a file.
func (p *ChangePlan) noteArgs(ctx context.Context, sink report.Sink) error {
	kube, err := p.kube()
	if err == nil {
		err = members.RecordArgs(ctx, kube, p.options.Cluster.Spec.Etcd.ExtraArgs)
	}
	if err != nil {
		action.Warn(sink, "run kubectl ha bootstrap with the Cluster file once the API is back", "the settings could not be noted in the stored Cluster document: %v", err)
	}
	return nil
}

func (p *ChangePlan) kube() (kubernetes.Interface, error) {
	if p.options.Config == nil {
		return nil, fmt.Errorf("there is no kubeconfig")
	}
	return kubernetes.NewForConfig(p.options.Config)
}
