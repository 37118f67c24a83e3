package adopt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/adopt"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// ReleaseOptions say which cluster is given back to those who made it.
type ReleaseOptions struct {
	Config *rest.Config
	// Login is how the caller logs in to the hosts, SSHUser who does so; empty is who the
	// caller's SSH settings say.
	Login   remote.Login
	SSHUser string
}

// Release is what would be taken out of a cluster. Whoever has asked a person calls Run, and
// Close in any case.
type Release struct {
	// Cluster is the stored document.
	Cluster *v1alpha1.Cluster
	// Objects are deleted from the cluster, once the hosts are free.
	Objects []adopt.Object
	// Backups are how many backups of etcd each host has, which go with the rest; Kept is what
	// kubectl-ha has replaced there and the cluster runs on, which stays.
	Backups map[string]int
	Kept    map[string][]string

	clients *client.Clients
	hosts   *ssh.Hosts
}

// FindRelease finds out what would be taken out, and refuses a cluster that is not to be released
// now. It changes nothing. Every host has to be reached: what is left on one nobody would find later.
func FindRelease(ctx context.Context, o ReleaseOptions, sink report.Sink) (*Release, error) {
	clients, err := client.New(o.Config)
	if err != nil {
		return nil, err
	}
	stored, err := incluster.StoredCluster(ctx, clients.Kube)
	if err != nil {
		return nil, action.OfCluster(err)
	}
	r := &Release{Cluster: stored, clients: clients}
	if err := releasable(ctx, clients, stored); err != nil {
		return nil, err
	}
	if r.Objects, err = adopt.Objects(ctx, clients); err != nil {
		return nil, action.OfCluster(err)
	}
	hosts, err := remote.Connect(ctx, withUser(stored, o.SSHUser), o.Login, sink, stored.Nodes()...)
	if hosts == nil {
		return nil, err
	}
	r.hosts = hosts
	if err != nil {
		r.Close(sink)
		return nil, fmt.Errorf("%w\nnothing was changed; run the command again once all hosts can be reached, or delete the nodes that are gone for good", err)
	}
	if err := r.look(ctx, sink); err != nil {
		r.Close(sink)
		return nil, err
	}
	return r, nil
}

func releasable(ctx context.Context, clients *client.Clients, stored *v1alpha1.Cluster) error {
	err := adopt.Releasable(ctx, clients, stored)
	var refused *adopt.ReleaseError
	if errors.As(err, &refused) {
		return action.As(action.Invalid, err)
	}
	return action.OfCluster(err)
}

// look asks the hosts what would go.
func (r *Release) look(ctx context.Context, sink report.Sink) error {
	seen, err := bootstrap.ReleaseHosts(ctx, r.hosts, r.Cluster, true, sink)
	if err != nil {
		return action.OfRun(err)
	}
	r.Backups, r.Kept = map[string]int{}, map[string][]string{}
	for host, d := range seen {
		if d.Backups > 0 {
			r.Backups[host] = d.Backups
		}
		if len(d.Kept) > 0 {
			r.Kept[host] = d.Kept
		}
	}
	return nil
}

// Close ends the connections to the hosts.
func (r *Release) Close(sink report.Sink) {
	if r.hosts != nil {
		remote.Close(r.hosts, sink)
		r.hosts = nil
	}
}

// Lines are the plan for people, a step each, in order.
func (r *Release) Lines() []string {
	out := []string{
		"end the schedules and Jobs in the namespace " + v1alpha1.SystemNamespace,
		fmt.Sprintf("take the agent, its image and its files off %s", report.Plural(len(r.Cluster.Nodes()), "host", "hosts")),
	}
	for _, host := range slices.Sorted(maps.Keys(r.Backups)) {
		out = append(out, fmt.Sprintf("  %s: its %s go as well", host, report.Plural(r.Backups[host], "backup of etcd", "backups of etcd")))
	}
	for _, host := range slices.Sorted(maps.Keys(r.Kept)) {
		out = append(out, fmt.Sprintf("  %s: stays as it is now, since the cluster runs on it: %s", host, strings.Join(r.Kept[host], ", ")))
	}
	out = append(out, "take kubectl ha's annotations off the nodes, kube-proxy and CoreDNS; their pods keep theirs, so that none restarts")
	for _, o := range r.Objects {
		out = append(out, "delete "+o.String())
	}
	return out
}

// Run takes it out. It can be run again at any point: the document is the last that goes, with
// the namespace.
func (r *Release) Run(ctx context.Context, sink report.Sink) error {
	// A person may have thought for long.
	if err := releasable(ctx, r.clients, r.Cluster); err != nil {
		return err
	}
	err := action.Step(sink, "quiet", "end the schedules and Jobs in the namespace "+v1alpha1.SystemNamespace, func() error { return adopt.Quiet(ctx, r.clients) })
	if err != nil {
		return action.OfCluster(err)
	}
	if _, err := bootstrap.ReleaseHosts(ctx, r.hosts, r.Cluster, false, sink); err != nil {
		return action.OfRun(err)
	}
	return action.OfCluster(action.Step(sink, "objects", "delete what is kubectl ha's in the cluster", func() error {
		if err := adopt.Unmark(ctx, r.clients); err != nil {
			return err
		}
		for _, o := range r.Objects {
			if err := adopt.Remove(ctx, r.clients, o); err != nil {
				return err
			}
		}
		return nil
	}))
}
