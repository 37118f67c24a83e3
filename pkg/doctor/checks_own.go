package doctor

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	made "github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups/schedule"
	renewal "github.com/kubectl-ha/kubectl-ha/pkg/incluster/certs/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/operations"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/schedule"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

func ownChecks() []Check {
	return []Check{
		{ID: "dead-lock", Title: "no Operation waits for a coordinator that is gone", Source: "kured#822", Reads: partOperations,
			Why: "an Operation that nobody carries out keeps every other one from beginning", Run: deadLock},
		{ID: "lent-rights", Title: "no coordinator is an administrator between two Operations", Source: "a coordinator that could not give its rights back", Reads: partRights,
			Why: "addons' manifests, and a pod network of your own, are applied with rights that are lent for one Operation; left standing, the next coordinator of any kind has them", Run: lentRights},
		{ID: "coordinator-policy", Title: "what a coordinator's rights can be used for is bounded", Source: "a coordinator's token in the wrong hands", Reads: partPolicy,
			Why: "a role does not say what is in the Jobs and Secrets that it lets be made; without the policy the coordinator's token is root on every host and a token of any controller", Run: coordinatorPolicy},
		{ID: "armed-upgrade", Title: "no boot would take an upgrade back", Source: "an upgrade that was not brought to its end", Files: true, Reads: partOperations,
			Why: "an upgrade that was cut off is taken back when its host boots; nobody expects that of a boot months later", Run: armedUpgrade},
		{ID: "pod-security", Title: "privileged Jobs may run in ha-system", Source: "pod security admission", Reads: partNamespace,
			Why: "without the namespace's label no node task ever starts where the cluster's default is stricter", Run: podSecurity},
		{ID: "agent-pinned", Title: "the agent's image is kept on every node", Source: "the kubelet's image garbage collection", Files: true,
			Why: "no pod uses it between two Operations; the kubelet would remove it from a full disk, and no registry has it", Run: agentPinned},
		{ID: "certificate-renewal", Title: "the scheduled renewal of certificates does its work", Source: "a CronJob whose runs fail is seen by nobody", Reads: partRenewal,
			Why: "who has set it up relies on it, and does not look when certificates end", Run: scheduledRenewal},
		{ID: "backup-schedule", Title: "the scheduled backup does its work", Source: "a CronJob whose runs fail is seen by nobody", Reads: partBackups,
			Why: "who has set it up relies on it, and finds out on the day of the restore", Run: scheduledBackup},
		{ID: "backup", Title: "there is a recent backup of etcd", Source: "restore tests",
			Why: "it is what is left when most members are lost; docs/disaster-recovery.md has the way back", Run: backups},
	}
}

// goneAfter is when a coordinator that was not heard of counts as gone: a standby
// takes over in 15 seconds.
const goneAfter = 5 * time.Minute

func deadLock(in Input) []Finding {
	var out []Finding
	for _, op := range in.Objects.Operations {
		heard, known := in.Objects.Heard[engine.LeaseName(op.Name)]
		if !operations.Unfinished(op) || op.Status.Phase == v1alpha1.OperationPaused || !known || heard < goneAfter.Seconds() {
			continue
		}
		out = append(out, problem("", fmt.Sprintf("operation %s (%s): its coordinator was last heard of %.0f minutes ago", op.Name, op.Spec.Type, heard/60),
			"kubectl ha operation resume "+op.Name+" gives it another; abort ends it"))
	}
	return out
}

func lentRights(in Input) []Finding {
	var out []Finding
	for _, name := range in.Objects.Rights {
		out = append(out, problem("", "the binding "+name+" is still there", "kubectl delete clusterrolebinding "+name))
	}
	return out
}

// coordinatorPolicy passes over clusters that know no kubectl ha: there is no coordinator.
func coordinatorPolicy(in Input) []Finding {
	if !in.Ours || in.Objects.Policy == "" {
		return nil
	}
	severity := report.SeverityError
	if in.Objects.PolicyInForce {
		severity = report.SeverityWarning
	}
	return []Finding{finding(severity, "", in.Objects.Policy,
		"kubectl ha bootstrap with the cluster's file installs it anew; so does every verb that changes nodes, versions, addons or the load balancer")}
}

// armedUpgrade leaves out what an Operation in progress has begun just now.
func armedUpgrade(in Input) []Finding {
	if running(in.Objects) {
		return nil
	}
	var out []Finding
	for node, f := range ordered(in.Inspection.Facts) {
		for _, part := range f.Armed {
			out = append(out, problem(node, "an upgrade was not brought to its end: "+part,
				"resume its Operation, or abort it: kubectl ha operation list; when that is gone, kubectl ha upgrade to the version that the node is to have"))
		}
	}
	return out
}

func podSecurity(in Input) []Finding {
	ns := in.Objects.Namespace
	if ns == nil || ns.Labels["pod-security.kubernetes.io/enforce"] == "privileged" {
		return nil
	}
	return []Finding{problem("", fmt.Sprintf("the namespace's level is %q", ns.Labels["pod-security.kubernetes.io/enforce"]),
		"kubectl label namespace ha-system pod-security.kubernetes.io/enforce=privileged --overwrite")}
}

func agentPinned(in Input) []Finding {
	var out []Finding
	for node, f := range ordered(in.Inspection.Facts) {
		if f.Pinned == nil {
			continue
		}
		if !slices.ContainsFunc(f.Pinned, bundle.IsAgentImage) {
			out = append(out, warning(node, "the agent's image is not pinned", "any Operation of kubectl ha brings it anew, pinned"))
		}
	}
	return out
}

// scheduledRenewal has nothing to say where none was set up: certificates that end are told of by another check.
func scheduledRenewal(in Input) []Finding {
	if in.Objects.Renewal == nil {
		return nil
	}
	return scheduled(renewal.Renewal(), *in.Objects.Renewal, in.Report.Time)
}

// scheduledBackup has nothing to say where none was set up: that there is no recent backup is told
// by another check.
func scheduledBackup(in Input) []Finding {
	if in.Objects.Backups == nil {
		return nil
	}
	return scheduled(made.Backup(), in.Objects.Backups.State, in.Report.Time)
}

// scheduled is what is wrong with a schedule: one that somebody has suspended is meant so, maybe.
func scheduled(kind schedule.Kind, s schedule.State, now time.Time) []Finding {
	what, next := kind.Problem(s, now)
	switch {
	case what == "":
		return nil
	case s.Suspended:
		return []Finding{warning("", what, next)}
	}
	return []Finding{problem("", what, next)}
}

func backups(in Input) []Finding {
	const old = 30 * 24 * time.Hour
	switch b := in.Report.LastBackup; {
	case b == nil:
		return []Finding{warning("", "none is known", "an upgrade makes one; etcdctl snapshot save makes one at once")}
	case in.Report.Time.Sub(b.Made) > old:
		return []Finding{warning(b.Node, fmt.Sprintf("the last, %s, is %d days old", b.Name, int(in.Report.Time.Sub(b.Made).Hours()/24)),
			"make one: etcdctl snapshot save")}
	}
	return nil
}

// ordered goes through a map in the order of its keys.
func ordered[K ~string, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
