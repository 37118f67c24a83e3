package etcd

import (
	"context"
	"fmt"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// look asks the members once more closely, from one host.
func (o Options) look(ctx context.Context, w way, spec etcdcare.LookSpec, sink report.Sink) (etcdcare.LookData, error) {
	spec.Endpoints = o.Cluster.EtcdEndpoints()
	timeout := etcdcare.LookTimeout
	if spec.Hashes {
		timeout += etcdcare.CompareTimeout
	}
	if spec.Usage {
		timeout += etcdcare.UsageTimeout
	}
	return anywhere[etcdcare.LookData](ctx, o, w, tasks.EtcdLook, timeout, spec, sink)
}

// DefragOptions say what a defragmentation is worth.
type DefragOptions struct {
	Options
	// Threshold is which part of its file a member must be able to free: 0 to 1.
	Threshold float64
	DryRun    bool
	// Confirm, when set, is asked with the plan before anything is done.
	Confirm func(ctx context.Context, p []DefragTurn) error
}

// DefragTurn is what would be done to one member, in order.
type DefragTurn struct {
	Host      string `json:"host,omitempty"`
	Endpoint  string `json:"endpoint"`
	Leader    bool   `json:"leader,omitempty"`
	DBBytes   int64  `json:"dbBytes"`
	FreeBytes int64  `json:"freeBytes"`
	// Skip says that too little would be freed.
	Skip bool `json:"skip,omitempty"`
}

// DefragResult is the plan, and what was done.
type DefragResult struct {
	Plan    []DefragTurn     `json:"plan"`
	Members []etcd.Defragged `json:"members,omitempty"`
}

// Defrag rewrites the members' files one by one: followers first, then who leads, after the
// leadership has moved. Those that would free less than the threshold are left out.
func Defrag(ctx context.Context, o DefragOptions, sink report.Sink) (DefragResult, error) {
	var r DefragResult
	if o.Threshold < 0 || o.Threshold > 1 {
		return r, action.Invalidf("the threshold is a percentage from 0%% to 100%%")
	}
	w, err := o.open(ctx, !o.DryRun, sink)
	if err != nil {
		return r, err
	}
	seen, err := o.look(ctx, w, etcdcare.LookSpec{}, report.Warnings(sink))
	if err != nil {
		return r, err
	}
	if !seen.Etcd.Quorum {
		return r, action.As(action.Broken, fmt.Errorf("etcd has no quorum: %s", seen.Etcd.Unwell))
	}
	r.Plan = planDefrag(o.Options, seen.Etcd, o.Threshold)
	if o.DryRun || !worth(r.Plan) {
		return r, nil
	}
	if o.Confirm != nil {
		if err := o.Confirm(ctx, r.Plan); err != nil {
			return r, err
		}
	}
	end := action.Begin(sink, "defrag", "defragment etcd's members")
	data, err := anywhere[etcdcare.DefragData](ctx, o.Options, w, tasks.EtcdDefrag, etcdcare.CareTimeout, etcdcare.DefragSpec{Endpoints: o.Cluster.EtcdEndpoints(), Threshold: o.Threshold}, sink)
	end(failure(err))
	r.Members = data.Members
	return r, err
}

func failure(err error) string {
	if err == nil {
		return ""
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

func worth(plan []DefragTurn) bool {
	for _, t := range plan {
		if !t.Skip {
			return true
		}
	}
	return false
}

// planDefrag is the order: followers, then the leader. It is pure.
func planDefrag(o Options, r etcd.Report, threshold float64) []DefragTurn {
	var out, last []DefragTurn
	for _, m := range r.Members {
		if m.Endpoint == "" {
			continue
		}
		t := DefragTurn{Host: hostOf(o.Cluster, m), Endpoint: m.Endpoint, Leader: m.Leader, DBBytes: m.DBBytes, FreeBytes: m.FreeBytes,
			Skip: m.FreeBytes == 0 || m.FreeShare() < threshold}
		if m.Leader {
			last = append(last, t)
		} else {
			out = append(out, t)
		}
	}
	return append(out, last...)
}

// CompactOptions say how far is compacted.
type CompactOptions struct {
	Options
	// Revision is up to which; 0: so that Keep of the newest are left.
	Revision, Keep int64
}

// Compact discards what was overwritten or deleted. kube-apiserver does so every five minutes
// by itself.
func Compact(ctx context.Context, o CompactOptions, sink report.Sink) (etcdcare.CompactData, error) {
	if o.Revision < 0 || o.Keep < 0 {
		return etcdcare.CompactData{}, action.Invalidf("--revision and --keep cannot be negative")
	}
	w, err := o.open(ctx, true, sink)
	if err != nil {
		return etcdcare.CompactData{}, err
	}
	return anywhere[etcdcare.CompactData](ctx, o.Options, w, tasks.EtcdCompact, etcdcare.CompareTimeout,
		etcdcare.CompactSpec{Endpoints: o.Cluster.EtcdEndpoints(), Revision: o.Revision, Keep: o.Keep}, sink)
}

// Alarms are those that are raised, and what fills etcd.
type Alarms struct {
	Raised []Raised `json:"raised"`
	// Usage is what fills it, the largest first; only while NOSPACE is raised, or when asked for.
	Usage    []etcd.Usage `json:"usage,omitempty"`
	UsageCut bool         `json:"usageCut,omitempty"`
	Members  []Member     `json:"members"`
	Revision int64        `json:"revision,omitempty"`
}

// Raised is one alarm.
type Raised struct {
	Host string `json:"host,omitempty"`
	// Member is its ID in hex.
	Member string `json:"member"`
	Kind   string `json:"kind"`
}

// Has tells whether one of a kind is raised.
func (a Alarms) Has(kind string) bool {
	for _, r := range a.Raised {
		if r.Kind == kind {
			return true
		}
	}
	return false
}

// AlarmOptions say what is done about alarms.
type AlarmOptions struct {
	Options
	// Usage reads what fills etcd also without an alarm.
	Usage bool
	// Fix ends NOSPACE: compacts, defragments, and takes the alarm back.
	Fix bool
	// Confirm, when set, is asked before.
	Confirm func(ctx context.Context, a Alarms) error
}

// AlarmResult is what was found and done.
type AlarmResult struct {
	Alarms
	Freed *etcdcare.FreeData `json:"freed,omitempty"`
}

// Err is nil when no alarm is raised, or NOSPACE was ended; else an action.Findings.
func (r AlarmResult) Err() error {
	if len(r.Raised) == 0 || r.Freed != nil {
		return nil
	}
	return action.As(action.Findings, fmt.Errorf("%s raised", report.Plural(len(r.Raised), "alarm is", "alarms are")))
}

// Alarm lists alarms; with Fix it ends NOSPACE. CORRUPT is never taken back.
func Alarm(ctx context.Context, o AlarmOptions, sink report.Sink) (AlarmResult, error) {
	var r AlarmResult
	w, err := o.open(ctx, false, sink)
	if err != nil {
		return r, err
	}
	if r.Alarms, err = o.alarms(ctx, w, sink); err != nil || !o.Fix || !r.Has(etcd.AlarmNoSpace) {
		return r, err
	}
	if r.Has(etcd.AlarmCorrupt) {
		return r, action.As(action.Findings, fmt.Errorf("CORRUPT is raised as well, and is not taken back\nnext: kubectl ha etcd check says which member differs; replace that one"))
	}
	if o.Hosts == nil {
		return r, action.Invalidf("while NOSPACE is raised the cluster can start nothing that changes etcd: pass the Cluster file with -f, so that it is done over SSH")
	}
	if o.Confirm != nil {
		if err := o.Confirm(ctx, r.Alarms); err != nil {
			return r, err
		}
	}
	end := action.Begin(sink, "free", "compact, defragment and disarm")
	data, err := anywhere[etcdcare.FreeData](ctx, o.Options, w, tasks.EtcdFree, etcdcare.CareTimeout, etcdcare.FreeSpec{Endpoints: o.Cluster.EtcdEndpoints()}, sink)
	end(failure(err))
	r.Freed = &data
	return r, err
}

// alarms looks twice where it has to: reading all keys is for NOSPACE only.
func (o AlarmOptions) alarms(ctx context.Context, w way, sink report.Sink) (Alarms, error) {
	seen, err := o.look(ctx, w, etcdcare.LookSpec{Usage: o.Usage}, report.Warnings(sink))
	if err != nil {
		return Alarms{}, err
	}
	out := alarmsOf(o.Options, seen)
	if !out.Has(etcd.AlarmNoSpace) || o.Usage {
		return out, nil
	}
	end := action.Begin(sink, "usage", "read what fills etcd")
	seen, err = o.look(ctx, w, etcdcare.LookSpec{Usage: true}, report.Warnings(sink))
	end(failure(err))
	if err != nil {
		return out, err
	}
	return alarmsOf(o.Options, seen), nil
}

// alarmsOf is pure.
func alarmsOf(o Options, seen etcdcare.LookData) Alarms {
	out := Alarms{Raised: []Raised{}, Members: []Member{}, Usage: seen.Usage, UsageCut: seen.UsageCut, Revision: seen.Revision}
	for _, m := range seen.Etcd.Members {
		host := hostOf(o.Cluster, m)
		out.Members = append(out.Members, Member{Host: host, MemberReport: m})
		for _, kind := range m.Alarms {
			out.Raised = append(out.Raised, Raised{Host: host, Member: m.ID, Kind: kind})
		}
	}
	return out
}

// Checked is what a comparison of the members' data has found.
type Checked struct {
	etcd.Hashes
	// Hosts are those of the members that differ, in the order of Differs.
	Hosts []string `json:"hosts,omitempty"`
	// Alarms are those that are raised.
	Alarms []Raised `json:"alarms,omitempty"`
}

// Err is nil when all members have the same data, else an action.Findings that says what to do.
func (c Checked) Err() error {
	err := c.Hashes.Err()
	switch {
	case err == nil:
		return nil
	case c.Unclear:
		return action.As(action.Findings, fmt.Errorf("%w\nnext: it can't be told who is right: stop what writes, take a snapshot of every member, and restore the one that is (docs/disaster-recovery.md)", err))
	case len(c.Hosts) > 0:
		return action.As(action.Findings, fmt.Errorf("%w\nnext: replace it: kubectl ha node replace %s", err, c.Hosts[0]))
	}
	return action.As(action.Findings, err)
}

// Check compares the data of all members at one revision.
func Check(ctx context.Context, o Options, sink report.Sink) (Checked, error) {
	w, err := o.open(ctx, false, sink)
	if err != nil {
		return Checked{}, err
	}
	end := action.Begin(sink, "check", "compare the members' data")
	seen, err := o.look(ctx, w, etcdcare.LookSpec{Hashes: true}, report.Warnings(sink))
	end(failure(err))
	if err != nil {
		return Checked{}, err
	}
	if seen.Hashes == nil {
		return Checked{}, action.As(action.Broken, fmt.Errorf("etcd has no quorum: %s", seen.Etcd.Unwell))
	}
	out := Checked{Hashes: *seen.Hashes, Alarms: alarmsOf(o, seen).Raised}
	for _, endpoint := range out.Differs {
		out.Hosts = append(out.Hosts, hostOf(o.Cluster, etcd.MemberReport{Endpoint: endpoint}))
	}
	return out, nil
}
