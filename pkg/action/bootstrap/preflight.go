package bootstrap

import (
	"context"
	"errors"
	"slices"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// PreflightOptions say which hosts are looked at.
type PreflightOptions struct {
	// Cluster has its defaults set and is valid.
	Cluster *v1alpha1.Cluster
	// Warnings are those of its file. They become findings.
	Warnings []v1alpha1.FieldWarning
	// OwnCAs are as in Options.
	OwnCAs bootstrap.OwnCAs
	// Login is how the caller logs in to the hosts.
	Login remote.Login
	// StateDir is this cluster's directory on the workstation. The etcd CA in it tells which
	// hosts are the cluster's already.
	StateDir string
}

// PreflightResult is all that was found, on the hosts and in the file.
type PreflightResult struct{ Findings []report.Finding }

// Err is nil when nothing stands in the way. See action.OfFindings.
func (r PreflightResult) Err() error { return action.OfFindings(r.Findings) }

// RunPreflight looks at the hosts and judges them: a bootstrap's dry run up to the plan, without
// any bundle. Hosts that can't be reached are findings as well. Findings are no error, and are not
// told as events. It changes nothing.
func RunPreflight(ctx context.Context, o PreflightOptions, sink report.Sink) (PreflightResult, error) {
	ofCAs, err := checkCAs(o.Cluster, o.OwnCAs)
	if err != nil {
		return PreflightResult{}, err
	}
	hosts, err := remote.Connect(ctx, o.Cluster, o.Login, sink)
	if hosts == nil {
		return PreflightResult{}, err
	}
	defer remote.Close(hosts, sink)
	noBundle := func(context.Context, string) (bootstrap.Bundle, error) { return nil, nil }
	end := action.Begin(sink, "look", "check the hosts")
	result, err := bootstrap.Run(ctx, bootstrap.Config{Cluster: o.Cluster, Hosts: hosts, StateDir: o.StateDir, OwnCAs: o.OwnCAs, DryRun: true, Bundle: noBundle},
		withoutFindings(sink))
	end("")
	var found *bootstrap.PreflightError
	if err != nil && !errors.As(err, &found) {
		return PreflightResult{}, action.OfRun(err)
	}
	return PreflightResult{append(ofFile(slices.Concat(o.Warnings, ofCAs)), result.Findings...)}, nil
}

// ofFile makes findings of a Cluster file's warnings.
func ofFile(warnings []v1alpha1.FieldWarning) []report.Finding {
	var out []report.Finding
	for _, w := range warnings {
		out = append(out, report.Finding{Check: "cluster-file", Severity: report.SeverityWarning, Message: w.String()})
	}
	return out
}

// withoutFindings leaves out the warnings: they come in one list at the end.
func withoutFindings(sink report.Sink) report.Sink {
	return report.SinkFunc(func(e report.Event) {
		if e.Kind != report.Warning || e.Step != "" {
			sink.Emit(e)
		}
	})
}
