package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
)

// WarnDays before its end a certificate is told of that nobody renews by itself: whoever is to run
// `kubectl ha certs renew` may be away for a while, and has to find a window.
const WarnDays = 60

// The bounds beyond which something is told.
const (
	// lateDays before its end a certificate is told of that renews itself: a kubelet does so
	// between 70 and 90 % of its life, of a year not later than 36 days before.
	// https://github.com/kubernetes/kubernetes/blob/v1.36.0/staging/src/k8s.io/client-go/util/certificate/certificate_manager.go
	lateDays = 30
	// ownDays before its end a kubeconfig's is told of: it is made anew in seconds, and lives for
	// a month only.
	ownDays = 7
	// slowFsync is what etcd's documentation names as the 99th percentile of a disk
	// that is fit for it. https://etcd.io/docs/v3.6/faq/#what-does-the-etcd-warning-failed-to-send-out-heartbeat-on-time-mean
	slowFsyncMillis = 10.0
	// verySlowFsyncMillis puts elections at risk: half of the default election timeout.
	verySlowFsyncMillis = 500.0
	// farBehind is a lag, in entries, that is no matter of when each member was asked.
	farBehind = 1000
	// fullShare of its quota is when etcd is about to refuse writes.
	fullShare = 0.8
)

// Judge sets the problems and the health. It is pure, and may be called again.
func Judge(r *Report) {
	r.Problems = []Problem{}
	judgeAPI(r)
	judgeControlPlanes(r)
	judgeEtcd(r)
	judgeNodes(r)
	judgeCertificates(r)
	judgeRest(r)
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return rank(b.Severity) - rank(a.Severity) })
	r.Health = Healthy
	for _, p := range r.Problems {
		if rank(p.Severity) > rank(r.Health) {
			r.Health = p.Severity
		}
	}
}

func rank(h Health) int {
	switch h {
	case Broken:
		return 2
	case Degraded:
		return 1
	}
	return 0
}

func (r *Report) say(s Health, subject, next, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Severity: s, Subject: subject, Message: fmt.Sprintf(format, args...), Next: next})
}

func judgeAPI(r *Report) {
	switch {
	case r.API.Error != "" && len(r.ControlPlanes) == 0:
		r.say(Broken, "api", "with -f FILE each apiserver is asked at its own address", "%s does not answer: %s", r.API.Asked, r.API.Error)
	case r.API.Error != "":
		r.say(Broken, "api", "", "%s: %s", r.API.Asked, r.API.Error)
	case r.API.UnknownName && r.API.Asked != r.API.Endpoint:
		r.say(Degraded, "api", "have this machine's DNS or its hosts file know it, unless it is only for the hosts of the cluster",
			"the name in %s is not known here (%s); %s was asked instead", r.API.Endpoint, r.API.Unreached, r.API.Asked)
	case r.API.Unreached != "" && r.API.Asked != r.API.Endpoint:
		r.say(Broken, "api", "look at keepalived and the load balancer on the control planes",
			"%s does not answer from here (%s); %s was asked instead", r.API.Endpoint, r.API.Unreached, r.API.Asked)
	}
}

// elected are the components of which one leads.
var elected = [...]struct {
	name string
	of   func(ControlPlane) Component
}{
	{"controller-manager", func(cp ControlPlane) Component { return cp.ControllerManager }},
	{"scheduler", func(cp ControlPlane) Component { return cp.Scheduler }},
}

func judgeControlPlanes(r *Report) {
	answering, names := 0, []string{}
	for _, cp := range r.ControlPlanes {
		if cp.APIServer.Healthy {
			answering++
			names = append(names, cp.Node)
		} else {
			r.say(Degraded, cp.Node, "", "apiserver: %s", cp.APIServer.Error)
		}
		for _, kind := range elected {
			if c := kind.of(cp); !c.Healthy && !c.Unseen {
				r.say(Degraded, cp.Node, "", "%s: %s", kind.name, c.Error)
			}
		}
	}
	all := len(r.ControlPlanes)
	switch {
	case all == 0:
		return
	case answering == 1 && all > 1:
		r.say(Degraded, "api", "", "only one apiserver of %d answers: %s", all, names[0])
	case answering == 0 && r.API.Error != "":
		r.say(Broken, "api", "", "no apiserver of %d answers", all)
	}
	if all < 3 {
		r.say(Degraded, "api", "", "with %d control plane(s) none can be lost", all)
	}
	if !r.API.Reads {
		return // Who leads is not known.
	}
	for _, kind := range elected {
		if !slices.ContainsFunc(r.ControlPlanes, func(cp ControlPlane) bool { return kind.of(cp).Leader }) {
			r.say(Degraded, kind.name, "a new one is elected within 15 seconds when one is well", "nobody leads: the lease has run out")
		}
	}
	if versions := distinct(r.ControlPlanes, func(cp ControlPlane) string { return cp.APIServer.Version }); len(versions) > 1 {
		r.say(Degraded, "api", "bring the upgrade to its end: kubectl ha upgrade plan", "apiservers are of different versions: %s", strings.Join(versions, ", "))
	}
}

func judgeEtcd(r *Report) {
	answering, leaders, measured := 0, 0, 0
	for _, m := range r.Etcd {
		switch {
		case !m.Answers:
			r.say(Degraded, m.Node, "journalctl -u etcd on the host", "etcd: %s", m.Error)
			continue
		case m.Unwell != "":
			r.say(alarmed(m.Unwell), m.Node, etcdNext(m.Unwell), "etcd: %s", m.Unwell)
		case m.Learner:
			r.say(Degraded, m.Node, "", "etcd: it is a learner, it does not vote")
		}
		answering++
		if !m.Measured {
			continue
		}
		measured++
		if m.Leader {
			leaders++
		}
		judgeMember(r, m)
	}
	all := len(r.Etcd)
	switch {
	case all == 0:
	case answering < etcd.Quorum(all):
		r.say(Broken, "etcd", "start members again until most of them run; docs/disaster-recovery.md is for when they are lost", "%d of %d members answer, which is no quorum", answering, all)
	case measured == all && leaders == 0:
		r.say(Broken, "etcd", "", "no member is the leader")
	case leaders > 1:
		r.say(Degraded, "etcd", "look again", "%d members say that they lead", leaders)
	}
	if versions := distinct(r.Etcd, func(m Member) string { return m.Version }); len(versions) > 1 {
		r.say(Degraded, "etcd", "", "members are of different versions: %s", strings.Join(versions, ", "))
	}
}

// alarmed: while there is an alarm for want of space etcd refuses writes, of every member.
func alarmed(reason string) Health {
	if strings.Contains(reason, "NOSPACE") {
		return Broken
	}
	return Degraded
}

func etcdNext(reason string) string {
	if strings.Contains(reason, "NOSPACE") {
		return "compact and defragment, then disarm the alarm; writes are refused until then"
	}
	return ""
}

// SlowDisk tells whether the member's disk is slower than is fit for it.
func (m Member) SlowDisk() bool { return m.FsyncMillis > slowFsyncMillis }

func judgeMember(r *Report, m Member) {
	if m.Lag > farBehind {
		r.say(Degraded, m.Node, "", "etcd: it is %d entries behind", m.Lag)
	}
	if m.QuotaBytes > 0 && float64(m.DBBytes) > fullShare*float64(m.QuotaBytes) {
		r.say(Degraded, m.Node, "defragment it, or find who writes so much", "etcd: its database has %d %% of its quota", 100*m.DBBytes/m.QuotaBytes)
	}
	if m.FsyncMillis > verySlowFsyncMillis {
		r.say(Degraded, m.Node, "give etcd a disk of its own", "etcd: its disk is too slow, 99 %% of fsyncs are done within %.0f ms only", m.FsyncMillis)
	}
}

func judgeNodes(r *Report) {
	for _, n := range r.Nodes {
		if n.NotReady != "" {
			r.say(Degraded, n.Name, "", "it is not ready: %s", n.NotReady)
		}
		for _, p := range n.Pressure {
			r.say(Degraded, n.Name, "", "%s", p)
		}
	}
}

func judgeCertificates(r *Report) {
	for _, c := range r.Certificates {
		if !c.Near() {
			continue
		}
		subject := c.Node
		if subject == "" {
			subject = "workstation"
		}
		if c.NotAfter.Before(r.Time) {
			r.say(Degraded, subject, "", "the certificate of %s has ended", c.What)
		} else {
			r.say(Degraded, subject, "", "the certificate of %s ends in %d days", c.What, c.DaysLeft)
		}
	}
}

// Near tells whether a certificate's end is so near that a person should know of it.
func (c Certificate) Near() bool {
	switch {
	case c.Node == "":
		return c.DaysLeft <= ownDays
	case c.RenewsItself:
		return c.DaysLeft <= lateDays
	}
	return c.DaysLeft <= WarnDays
}

func judgeRest(r *Report) {
	if d := r.DNS; d != nil {
		switch {
		case d.Ready == 0 && d.Wanted > 0:
			r.say(Degraded, "dns", "", "no pod of CoreDNS is ready")
		case d.Ready < d.Wanted:
			r.say(Degraded, "dns", "", "%d of %d pods of CoreDNS are ready", d.Ready, d.Wanted)
		case d.Ready > 1 && len(d.Nodes) == 1:
			r.say(Degraded, "dns", "kubectl ha doctor --fix spreads them", "all pods of CoreDNS are on one node")
		}
	}
	for _, node := range sortedKeys(r.Images.Missing) {
		r.say(Degraded, node, "kubectl ha images push brings it", "it lacks %s", strings.Join(r.Images.Missing[node], ", "))
	}
	for _, op := range r.Operations {
		if op.Phase == "Failed" {
			r.say(Degraded, "operation", fmt.Sprintf("kubectl ha operation show %s", op.Name), "%s has failed", op.Name)
		}
	}
	if r.Renewal != nil {
		if what, next := renewal.Renewal().Problem(*r.Renewal, r.Time); what != "" {
			r.say(Degraded, "certificates", next, "%s", what)
		}
	}
	if r.BackupSchedule != nil {
		if what, next := r.BackupSchedule.Problem(r.Time); what != "" {
			r.say(Degraded, "backup", next, "%s", what)
		}
	}
	if lb := r.LoadBalancer; lb != nil {
		for _, b := range lb.Backends {
			if !b.Up {
				r.say(Degraded, b.Node, "", "load balancer: %s", b.What)
			}
		}
	}
}

// distinct are the values that are not empty, each once, in order.
func distinct[T any](all []T, of func(T) string) []string {
	var out []string
	for _, one := range all {
		if v := of(one); v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
