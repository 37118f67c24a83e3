package etcd

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdcare"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Report is what was seen of etcd at one moment.
type Report struct {
	Time    time.Time `json:"time"`
	Cluster string    `json:"cluster"`
	// OverSSH says that no API was asked.
	OverSSH bool   `json:"overSSH,omitempty"`
	ID      string `json:"clusterID,omitempty"`
	// Version is what the members have in common, such as 3.6: the lowest minor version of all.
	Version string   `json:"version,omitempty"`
	Members []Member `json:"members"`
	// Quorum tells whether writes are taken, Spare how many more members may be lost.
	Quorum bool `json:"quorum"`
	Spare  int  `json:"spare"`
	// Revision is the newest that was acknowledged.
	Revision int64 `json:"revision,omitempty"`
	// Unwell is everything that is not as it should be, in one line; empty when all is.
	Unwell string `json:"unwell,omitempty"`
	// LastBackup is the newest snapshot on a host's disk that was found.
	LastBackup *etcdcare.Backup `json:"lastBackup,omitempty"`
	// Unseen says of hosts why they could not be asked.
	Unseen map[string]string `json:"unseen,omitempty"`
}

// Member is one, and whose it is.
type Member struct {
	// Host is the one in the Cluster document; empty for a member of no host.
	Host string `json:"host,omitempty"`
	etcd.MemberReport
}

// Err is nil when all is well, else an action.Findings; action.Broken without a quorum.
func (r Report) Err() error {
	switch {
	case !r.Quorum:
		return action.As(action.Broken, fmt.Errorf("etcd has no quorum: %s", r.Unwell))
	case r.Unwell != "":
		return action.As(action.Findings, fmt.Errorf("etcd is not well: %s", r.Unwell))
	}
	return nil
}

// Status asks all members, from every host with a login to them: so it is seen too when hosts do
// not see the same. It changes nothing. Where the API starts no Jobs, it shows what the
// members' metrics tell, through the kubelets.
func Status(ctx context.Context, o Options, sink report.Sink) (Report, error) {
	w, err := o.open(ctx, false, sink)
	var seen map[string]etcdcare.LookData
	unseen := map[string]string{}
	if err == nil {
		seen, unseen = lookAll(ctx, o, w, report.Warnings(sink))
	}
	if cause := context.Cause(ctx); cause != nil {
		return Report{}, cause
	}
	if len(seen) > 0 {
		return merge(o, seen, unseen, time.Now().UTC()), nil
	}
	if o.Hosts != nil || o.Config == nil {
		if err == nil {
			err = action.As(action.Unreachable, fmt.Errorf("no host could be asked: %s", firstOf(unseen)))
		}
		return Report{}, err
	}
	why := firstOf(unseen)
	if err != nil {
		why = err.Error()
	}
	action.Warn(sink, "pass the Cluster file with -f to ask the members themselves, over SSH", "only the members' metrics are shown: %s", why)
	r, lookErr := status.New(o.Config, o.Cluster).Look(ctx)
	return ofMetrics(o, r, unseen), action.OfCluster(lookErr)
}

func firstOf(unseen map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(unseen)) {
		return name + ": " + unseen[name]
	}
	return "none has a login to etcd"
}

// lookAll asks from all hosts at once.
func lookAll(ctx context.Context, o Options, w way, sink report.Sink) (seen map[string]etcdcare.LookData, unseen map[string]string) {
	seen, failed := transport.Ask(w.hosts, func(h v1alpha1.Host) (etcdcare.LookData, error) {
		return call[etcdcare.LookData](ctx, o, w, h.Name, tasks.EtcdLook, etcdcare.LookTimeout, etcdcare.LookSpec{Endpoints: o.Cluster.EtcdEndpoints()}, sink)
	})
	unseen = maps.Clone(w.unseen)
	for name, err := range failed {
		unseen[name] = action.WithHint(err).Error()
	}
	return seen, unseen
}

// merge is one report of what was seen from several hosts: that of the host that sees most
// members, with what only each host's own files tell. It is pure.
func merge(o Options, seen map[string]etcdcare.LookData, unseen map[string]string, now time.Time) Report {
	names := slices.Sorted(maps.Keys(seen))
	best := names[0]
	for _, name := range names {
		if rank(seen[name].Etcd) > rank(seen[best].Etcd) {
			best = name
		}
	}
	from := seen[best]
	r := Report{Time: now, Cluster: o.Cluster.Metadata.Name, OverSSH: o.Hosts != nil, ID: from.Etcd.ClusterID, Quorum: from.Etcd.Quorum,
		Spare: from.Etcd.Spare, Revision: from.Revision, Unwell: from.Etcd.Unwell, Unseen: unseen, Members: []Member{}}
	for _, m := range from.Etcd.Members {
		one := Member{Host: hostOf(o.Cluster, m), MemberReport: m}
		if s := seen[one.Host].Settings; one.QuotaBytes == 0 && s != nil {
			one.QuotaBytes = s.QuotaBytes
		}
		r.Members = append(r.Members, one)
	}
	r.Version = common(r.Members)
	for _, name := range names {
		b := seen[name].Backup
		if b != nil && (r.LastBackup == nil || b.Created.After(r.LastBackup.Created)) {
			last := *b
			last.Host = name
			r.LastBackup = &last
		}
		if diff := otherwise(from.Etcd, seen[name].Etcd); diff != "" {
			r.Unwell = strings.TrimPrefix(r.Unwell+"; seen from "+name+": "+diff, "; ")
		}
	}
	return r
}

// rank puts first who sees a quorum, and most members.
func rank(r etcd.Report) int {
	n := 0
	for _, m := range r.Members {
		if m.Endpoint != "" && m.Error == "" {
			n++
		}
	}
	if r.Quorum {
		n += 100
	}
	return n
}

// otherwise says which members one host does not reach that another does; empty for none.
func otherwise(best, other etcd.Report) string {
	var out []string
	for _, m := range other.Members {
		if m.Error == "" {
			continue
		}
		if i := slices.IndexFunc(best.Members, func(b etcd.MemberReport) bool { return b.Endpoint == m.Endpoint }); i >= 0 && best.Members[i].Error == "" {
			out = append(out, m.Endpoint+" does not answer: "+m.Error)
		}
	}
	return strings.Join(out, "; ")
}

// hostOf is the host whose member it is: by its endpoint, and by its peers' address.
func hostOf(c *v1alpha1.Cluster, m etcd.MemberReport) string {
	for _, h := range c.EtcdMembers() {
		if m.Endpoint == h.EtcdURL() || slices.Contains(m.ClientURLs, h.EtcdURL()) {
			return h.Name
		}
	}
	hosts := map[string]string{}
	for _, h := range c.Spec.Hosts {
		hosts[h.Name] = h.Address
	}
	one := etcd.Member{Name: m.Name, PeerURLs: m.PeerURLs}
	return etcd.Owner([]etcd.Member{one}, hosts, one)
}

// common is the lowest minor version of those that answer; empty for none.
func common(members []Member) string {
	low := ""
	for _, m := range members {
		minor := etcd.MinorOf(m.Version)
		if minor != "" && (low == "" || minor < low) { // 3.5 to 3.9.
			low = minor
		}
	}
	return low
}

// ofMetrics is what status has seen through the kubelets. It is pure.
func ofMetrics(o Options, r status.Report, unseen map[string]string) Report {
	out := Report{Time: r.Time, Cluster: o.Cluster.Metadata.Name, Members: []Member{}, Unseen: unseen}
	var wrong []string
	lead, answer := 0, 0
	for _, m := range r.Etcd {
		one := Member{Host: m.Node, MemberReport: etcd.MemberReport{Endpoint: "https://" + m.Address, Started: m.Answers, Leader: m.Leader, Learner: m.Learner,
			Version: m.Version, DBBytes: m.DBBytes, FreeBytes: m.FreeBytes, QuotaBytes: m.QuotaBytes, RaftIndex: m.Committed, Applied: m.Applied, Lag: m.Lag, Error: m.Error}}
		if host, _, err := net.SplitHostPort(m.Address); err == nil && m.Node == "" {
			one.Host = host
		}
		if m.Error != "" {
			wrong = append(wrong, m.Node+": "+m.Error)
		}
		if m.Unwell != "" {
			wrong = append(wrong, m.Node+": "+m.Unwell)
			one.Alarms = []string{m.Unwell}
		}
		if m.Leading {
			answer++
		}
		if m.Leader {
			lead++
		}
		out.Members = append(out.Members, one)
	}
	out.Version = common(out.Members)
	out.Quorum = lead == 1 && answer >= etcd.Quorum(len(out.Members))
	if out.Quorum {
		out.Spare = answer - etcd.Quorum(len(out.Members))
	}
	out.Unwell = strings.Join(wrong, "; ")
	if b := r.LastBackup; b != nil {
		out.LastBackup = &etcdcare.Backup{Name: b.Name, Host: b.Node, Created: b.Made}
	}
	return out
}
