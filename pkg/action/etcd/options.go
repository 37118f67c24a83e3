package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/job"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// lockWait is for an agent of an interrupted run to end.
const lockWait = 2 * time.Minute

// Options say which cluster it is about, and by which way its hosts are reached.
type Options struct {
	// Cluster has its defaults set.
	Cluster *v1alpha1.Cluster
	// Config is the way to the API; nil when everything is done over SSH.
	Config *rest.Config
	// Hosts are connected over SSH. With them no Job is started, and no API is needed.
	Hosts bootstrap.Hosts
	// Failed says of hosts why they are not connected, by name.
	Failed map[string]error
	// StateDir is the cluster's directory on the workstation: its lock keeps two runs over SSH apart.
	StateDir string
	// Source has this program's agent; nil is one of its own.
	Source *agents.Source
}

// Reach says how a cluster is reached: by the API of config or, when the document of a Cluster file
// is given, over SSH, for which Hosts and StateDir are the caller's to set. The API is only for
// noting there what was done then: without one (nil), when it does not answer, and when it is
// another cluster's, it is left out.
func Reach(ctx context.Context, config *rest.Config, given *v1alpha1.Cluster) (Options, error) {
	o := Options{Config: config, Cluster: given}
	var stored *v1alpha1.Cluster
	err := error(errNoConfig)
	if config != nil {
		stored, err = storedBy(ctx, config)
	}
	switch {
	case given == nil:
		o.Cluster = stored
		return o, err
	case err != nil || action.SameCluster(given, stored) != nil:
		o.Config = nil
	}
	return o, nil
}

// errNoConfig is when neither a kubeconfig nor a Cluster file is there.
var errNoConfig = action.Invalidf("specify a kubeconfig or a Cluster file")

// storedBy is the document in the cluster.
func storedBy(ctx context.Context, config *rest.Config) (*v1alpha1.Cluster, error) {
	clients, err := client.New(config)
	if err != nil {
		return nil, err
	}
	stored, err := incluster.StoredCluster(ctx, clients.Kube)
	return stored, action.OfCluster(err)
}

// Logins are the hosts that have a login to etcd, and so can be asked: control planes and members.
func (o Options) Logins() []v1alpha1.Host {
	return o.Cluster.Keepers(o.Cluster.Spec.Hosts)
}

// way is how tasks get to hosts.
type way struct {
	transport.Runner
	// hosts are those that it gets to, in the order in which they are asked.
	hosts []v1alpha1.Host
	// unseen says of the others why not, by name.
	unseen map[string]string
}

// open makes the way. bring has this program's agent brought to nodes that lack it, for what
// changes something.
func (o Options) open(ctx context.Context, bring bool, sink report.Sink) (way, error) {
	w := way{unseen: map[string]string{}}
	if o.Hosts != nil {
		w.Runner = o.Hosts
		for _, h := range o.Logins() {
			if err := o.Failed[h.Name]; err != nil {
				w.unseen[h.Name] = err.Error()
				continue
			}
			w.hosts = append(w.hosts, h)
		}
		if len(w.hosts) == 0 {
			return w, action.As(action.Unreachable, errors.New("none of the hosts with a login to etcd can be reached"))
		}
		return w, nil
	}
	clients, err := client.New(o.Config)
	if err != nil {
		return w, err
	}
	source, err := agents.Or(o.Source)
	if err != nil {
		return w, err
	}
	choose := source.Usual
	if bring {
		choose = func(ctx context.Context, config *rest.Config) (v1alpha1.Agents, error) {
			return source.Ensure(ctx, config, sink)
		}
	}
	chosen, err := choose(ctx, o.Config)
	if err != nil {
		return w, noJobs(action.OfCluster(err))
	}
	w.Runner = agents.Jobs{Kube: clients.Kube, Agents: chosen, For: "etcd"}
	for _, h := range o.Logins() {
		if slices.ContainsFunc(o.Cluster.Nodes(), func(n v1alpha1.Host) bool { return n.Name == h.Name }) {
			w.hosts = append(w.hosts, h)
		}
	}
	return w, nil
}

// noJobs adds what to do where the API starts no Job: with the alarm NOSPACE, for instance, etcd
// takes none.
func noJobs(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\nnext: when the API is away or takes no writes, pass the Cluster file with -f: the hosts are then reached over SSH", err)
}

// call runs a task on one host and reads what it has to say.
func call[T any](ctx context.Context, o Options, w way, host, task string, timeout time.Duration, spec any, sink report.Sink) (T, error) {
	var data T
	res, err := bootstrap.Call(ctx, w.Runner, host, node.Request{Cluster: o.Cluster.Metadata.Name, Task: task, Step: task + "/" + host, Timeout: timeout, LockTimeout: lockWait}, spec, sink)
	if len(res.Data) > 0 {
		err = errors.Join(err, json.Unmarshal(res.Data, &data))
	}
	return data, err
}

// looks are the tasks that change nothing.
var looks = []string{tasks.EtcdLook}

// anywhere runs a task on the first host that is reached. One that changes something is not begun on
// another host when it may have been begun on one that was lost since: it may go on there, and two
// that defragment would take two members away at once.
func anywhere[T any](ctx context.Context, o Options, w way, task string, timeout time.Duration, spec any, sink report.Sink) (T, error) {
	var zero T
	var errs []error
	for _, h := range w.hosts {
		data, err := call[T](ctx, o, w, h.Name, task, timeout, spec, sink)
		if err == nil || !away(err) || ctx.Err() != nil {
			return data, action.OfRun(err)
		}
		if !slices.Contains(looks, task) && mayRun(err) {
			return data, action.As(action.Unreachable, fmt.Errorf("%s was lost, and may still be at it: %w\nnext: wait until it is back, or is certainly off, and run the command again, which does what is left", h.Name, err))
		}
		errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
	}
	err := errors.Join(errs...)
	if o.Hosts == nil {
		err = noJobs(err)
	}
	return zero, action.As(action.Unreachable, fmt.Errorf("no host with a login to etcd could be asked: %w", err))
}

// mayRun tells whether a task may have been begun on a host before that was lost.
func mayRun(err error) bool {
	var bySSH *ssh.Error
	if errors.As(err, &bySSH) {
		return bySSH.Kind == ssh.Lost || bySSH.Kind == ssh.Agent
	}
	var lost *job.LostError
	return errors.As(err, &lost)
}

// away tells whether an error is about a host that was not reached, so that another can be asked.
func away(err error) bool {
	var bySSH *ssh.Error
	var start *job.StartError
	var lost *job.LostError
	var none *v1alpha1.NoAgentError
	return errors.As(err, &bySSH) || errors.As(err, &start) || errors.As(err, &lost) || errors.As(err, &none)
}
