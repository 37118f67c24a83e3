package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/members"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// ChangeOptions say what is done to each member.
type ChangeOptions struct {
	Options
	Change v1alpha1.EtcdChange
	// Version is the one to go to, Via are those of minor versions in between.
	Version string
	Via     []string
	// Files are bundles, each with etcd of one version. Empty: those in the cache, which are made
	// first when they are not there.
	Files []string
	// Trust says which bundle the only file has to be.
	Trust bundles.Trust
	// KeepBackups is how many stay on each host.
	KeepBackups int32
	// PushOnly ends once the programs are on the hosts.
	PushOnly bool
}

// MemberPlan is what is done to one member.
type MemberPlan struct {
	// Turn counts from 1, in each round anew.
	Turn int    `json:"turn"`
	Host string `json:"host"`
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	// Leader leads now; its leadership moves before its turn, which is the last.
	Leader bool `json:"leader,omitempty"`
}

// ChangePlan is what would be done, and what stands in the way.
type ChangePlan struct {
	Cluster string              `json:"cluster"`
	Change  v1alpha1.EtcdChange `json:"change"`
	// Versions are the rounds, in order.
	Versions []string     `json:"versions,omitempty"`
	OverSSH  bool         `json:"overSSH,omitempty"`
	Members  []MemberPlan `json:"members"`
	// Problems stand in the way.
	Problems []etcd.Problem `json:"problems"`
	// Done says that nothing is left to be done.
	Done  bool      `json:"done"`
	Steps plan.Plan `json:"-"`

	options ChangeOptions
	spec    *v1alpha1.EtcdSpec
	status  []v1alpha1.StepStatus
}

// Err is nil when nothing stands in the way, else an action.Findings.
func (p *ChangePlan) Err() error {
	if len(p.Problems) == 0 {
		return nil
	}
	var lines []string
	for _, one := range p.Problems {
		lines = append(lines, one.Message+"\nnext: "+one.Next)
	}
	return action.As(action.Findings, fmt.Errorf("%s; nothing was changed\n%s", report.Plural(len(p.Problems), "blocking issue", "blocking issues"), strings.Join(lines, "\n")))
}

// CheckChange refuses what can't be, without asking anybody. Errors are action.Invalid.
func CheckChange(o ChangeOptions) error {
	if err := o.Trust.Requires(len(o.Files) == 1, "--bundle"); err != nil {
		return err
	}
	if o.Cluster != nil && o.Cluster.Stacked() {
		return action.Invalidf("the members are static pods of kubeadm's (spec.etcd.topology is stacked): their version comes with Kubernetes', by kubectl ha upgrade, and their settings are those of the cluster's making; see docs/etcd.md")
	}
	for _, v := range append(slices.Clone(o.Via), o.Version) {
		if _, err := etcd.ParseVersion(v); o.Change != v1alpha1.EtcdApply && err != nil {
			return action.As(action.Invalid, err)
		}
	}
	if o.KeepBackups < 0 {
		return action.Invalidf("--keep-backups cannot be negative")
	}
	return nil
}

// PlanChange looks at the members and judges; it changes nothing.
func PlanChange(ctx context.Context, o ChangeOptions, sink report.Sink) (*ChangePlan, error) {
	if err := CheckChange(o); err != nil {
		return nil, err
	}
	if outside := members.Outside(o.Cluster); len(outside) > 0 && o.Hosts == nil {
		return nil, action.Invalidf("%s is no node of the cluster and is only reachable over SSH: pass the Cluster file with -f", strings.Join(outside, ", "))
	}
	if err := o.refuseBusy(ctx, sink); err != nil {
		return nil, err
	}
	w, err := o.open(ctx, false, sink)
	if err != nil {
		return nil, err
	}
	if len(w.unseen) > 0 {
		return nil, action.As(action.Unreachable, fmt.Errorf("every member's host has to be there: %s", firstOf(w.unseen)))
	}
	seen, err := o.look(ctx, w, etcdcare.LookSpec{}, report.Warnings(sink))
	if err != nil {
		return nil, err
	}
	return makePlan(o, seen.Etcd)
}

// refuseBusy refuses while an Operation is in progress: it would be in the way of members that
// are restarted, and they in its. An API that is away has none in progress.
func (o ChangeOptions) refuseBusy(ctx context.Context, sink report.Sink) error {
	if o.Config == nil {
		return nil
	}
	ops, err := incluster.NewOperations(o.Config, nil)
	if err != nil {
		return err
	}
	all, err := ops.Heads(ctx)
	switch {
	case err != nil && o.Hosts != nil:
		action.Warn(sink, "", "whether an Operation is in progress cannot be told: %v", err)
		return nil
	case err != nil:
		return action.OfCluster(err)
	}
	return operations.Refuse(all, func(s v1alpha1.OperationSpec) bool { return o.Hosts == nil && s.Etcd != nil })
}

// makePlan is pure.
func makePlan(o ChangeOptions, seen etcd.Report) (*ChangePlan, error) {
	v := seen.View()
	p := &ChangePlan{Cluster: o.Cluster.Metadata.Name, Change: o.Change, OverSSH: o.Hosts != nil, Problems: []etcd.Problem{}, Members: []MemberPlan{}, options: o}
	var have []string
	for _, m := range seen.Members {
		if m.Version != "" {
			have = append(have, m.Version)
		}
	}
	var err error
	switch o.Change {
	case v1alpha1.EtcdUpgrade:
		if p.Versions, err = etcd.Rounds(have, o.Version, o.Via); err != nil {
			return nil, action.As(action.Invalid, err)
		}
		p.Problems = append(p.Problems, etcd.CheckUpgrade(v, p.Versions[0])...)
	case v1alpha1.EtcdDowngrade:
		p.Versions = []string{"v" + strings.TrimPrefix(o.Version, "v")}
		p.Problems = append(p.Problems, etcd.CheckDowngrade(v, p.Versions[0])...)
	case v1alpha1.EtcdApply:
		if err := etcd.ButFull(v); err != nil {
			p.Problems = append(p.Problems, etcd.Problem{Message: "etcd is not well: " + err.Error(), Next: "see to what is named first: kubectl ha etcd status"})
		}
		p.Problems = append(p.Problems, checkQuota(o.Cluster.Spec.Etcd.ExtraArgs[quotaArg], seen)...)
	}
	p.spec = &v1alpha1.EtcdSpec{Change: o.Change, Versions: p.Versions, Members: p.order(seen), KeepBackups: o.KeepBackups}
	if p.status, err = members.Plan(p.spec, o.Cluster); err != nil {
		return nil, action.As(action.Invalid, err)
	}
	for _, s := range p.status {
		p.Steps.Steps = append(p.Steps.Steps, plan.Step{ID: s.ID, Title: s.Title, Host: s.Node, After: s.After})
	}
	if n := len(p.Versions); n > 0 {
		p.Done = etcd.Settled(v, p.Versions[n-1]) == nil && len(have) == len(p.Members)
	}
	return p, nil
}

// quotaArg is the setting with the most that the database may take, in bytes; 0 is etcd's default, 2 GiB.
// https://etcd.io/docs/v3.6/op-guide/configuration/
const (
	quotaArg     = "quota-backend-bytes"
	defaultQuota = 2 << 30
)

// checkQuota refuses a quota that a member has reached: it would take no more writes once it has it. It
// is pure.
func checkQuota(text string, seen etcd.Report) (out []etcd.Problem) {
	quota, err := strconv.ParseInt(text, 10, 64)
	if err != nil || quota < 0 {
		return nil // None is set, or etcd refuses it; what is negative is no limit.
	}
	if quota == 0 {
		quota = defaultQuota
	}
	for _, m := range seen.Members {
		if m.DBBytes >= quota {
			out = append(out, etcd.Problem{Message: fmt.Sprintf("the database of %s has %s, and %s is to be %s: it would take no more writes", m.Endpoint, report.Size(m.DBBytes), quotaArg, report.Size(quota)),
				Next: "choose a larger quota, or free what is not used first: kubectl ha etcd defrag"})
		}
	}
	return out
}

// order is that of the members' turns, by hosts: who leads is the last.
func (p *ChangePlan) order(seen etcd.Report) []string {
	var out, last []string
	byHost := map[string]etcd.MemberReport{}
	for _, m := range seen.Members {
		byHost[hostOf(p.options.Cluster, m)] = m
	}
	for _, h := range p.options.Cluster.EtcdMembers() {
		if byHost[h.Name].Leader {
			last = append(last, h.Name)
		} else {
			out = append(out, h.Name)
		}
	}
	out = append(out, last...)
	for i, name := range out {
		m := MemberPlan{Turn: i + 1, Host: name, From: byHost[name].Version, Leader: byHost[name].Leader}
		if n := len(p.Versions); n > 0 {
			m.To = p.Versions[n-1]
		}
		p.Members = append(p.Members, m)
	}
	return out
}

// CancelDowngrade takes back a downgrade that was begun: members that have gone down already have
// to be brought up again afterwards.
func CancelDowngrade(ctx context.Context, o Options, sink report.Sink) error {
	w, err := o.open(ctx, true, sink)
	if err != nil {
		return err
	}
	_, err = anywhere[struct{}](ctx, o, w, tasks.EtcdDowngrade, etcdcare.DowngradeTimeout, etcdcare.DowngradeSpec{Endpoints: o.Cluster.EtcdEndpoints(), Cancel: true}, sink)
	return err
}

// errNothing is when a plan that does nothing is to be begun.
var errNothing = errors.New("nothing is to be done")
