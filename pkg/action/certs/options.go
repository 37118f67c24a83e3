package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// Options say which cluster it is about, by which ways it is reached, and what is to be renewed.
type Options struct {
	// Cluster has its defaults set. Status and Renew read the stored one when it is nil.
	Cluster *v1alpha1.Cluster
	// Config is the way to the API. Rescue needs none.
	Config *rest.Config
	// Hosts are connected over SSH. Status and Renew need those of etcd members that are no
	// nodes, and leave these out, and say so, when it is nil; Rescue needs all that it is about.
	Hosts transport.Runner
	// StateDir is the cluster's directory on the workstation, with etcd's CA. Without one, what that
	// signs is left out, and said so.
	StateDir string
	// CAs are those that are kept elsewhere: etcd's, or kubeadm's whose keys are on no host. What
	// one of them has signed is signed by it again.
	CAs []pki.KeyPair
	// SignedDir has certificates that were signed for what Requests has written: HOST/NAME.crt.
	SignedDir string

	// Source has this program's agent; nil is one of its own.
	Source *agents.Source

	// Names are the certificates to be renewed, on all hosts that have them. Without any, those
	// of which less than half of their life is left; with All all of them.
	Names []string
	All   bool
	// Only are the hosts that it is about, by their names. Empty: all.
	Only []string
	// Life is how long what is signed lives: for tests, which can't turn clocks. Zero is as long
	// as what was there before; pki.DefaultValidity is the most. Whoever sets it has to warn of it.
	Life time.Duration

	// Deep has Status look at the files of every node.
	Deep bool
	// DryRun ends Renew with its plan.
	DryRun bool
	// Confirm, when set, is asked with what Renew is about to do; an error ends it.
	Confirm func(ctx context.Context, p Plan) error
}

// About says which cluster it is: the one whose stored document that is, as the Cluster file that
// was given has it, or as stored when there is none (nil). Another cluster's file is refused.
// stateDir finds a cluster's directory on this machine.
func (o *Options) About(stored, given *v1alpha1.Cluster, stateDir func(*v1alpha1.Cluster) (string, error)) (err error) {
	o.Cluster = stored
	if given != nil {
		if err := action.SameCluster(given, stored); err != nil {
			return err
		}
		o.Cluster = given
	}
	o.StateDir, err = stateDir(o.Cluster)
	return err
}

// Names are those that Options.Names takes.
func Names() []string {
	return append(append(certs.OfEtcd(), certs.OfHost()...), addonNames)
}

// signer is etcd's CA. The error is bootstrap.ErrNoCA when it is not here.
func (o Options) signer(ctx context.Context) (bootstrap.Signer, error) {
	if o.StateDir == "" {
		return bootstrap.Signer{}, bootstrap.ErrNoCA
	}
	return bootstrap.OpenSigner(ctx, o.StateDir, o.Cluster, o.Life)
}

// check finds what is asked for and does not exist.
func (o Options) check() error {
	if err := certs.Known(slices.DeleteFunc(slices.Clone(o.Names), func(n string) bool { return n == addonNames })); err != nil {
		return action.As(action.Invalid, err)
	}
	for _, name := range o.Only {
		if _, ok := o.Cluster.Host(name); !ok {
			return action.Invalidf("the Cluster document has no host %s", name)
		}
	}
	if o.Life < 0 {
		return action.As(action.Invalid, errors.New("the validity of a certificate cannot be negative"))
	}
	if o.Life > pki.DefaultValidity {
		return action.Invalidf("a certificate's life is %s at most", pki.DefaultValidity)
	}
	if o.All && len(o.Names) > 0 {
		return action.As(action.Invalid, errors.New("specify either all certificates or names, not both"))
	}
	return nil
}

func (o Options) about(h v1alpha1.Host) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, h.Name)
}

// wanted tells whether a certificate is to be renewed.
func (o Options) wanted(c certs.Certificate) bool {
	switch {
	case c.Name == "" || c.Name == certs.Kubelet && !slices.Contains(o.Names, c.Name):
		return false // Nobody's to renew here, or the kubelet's own.
	case len(o.Names) > 0:
		return slices.Contains(o.Names, c.Name)
	}
	return o.All || c.Due || c.KeyState != certs.KeyFits
}

// LoginsOfRescue are the hosts that Rescue has to log in to: those that it is about and, for a
// worker's kubelet, the control planes, which have the CA.
func (o Options) LoginsOfRescue() []v1alpha1.Host {
	workers := slices.ContainsFunc(o.Cluster.Workers(), o.about)
	return slices.DeleteFunc(slices.Clone(o.Cluster.Spec.Hosts), func(h v1alpha1.Host) bool {
		return !o.about(h) && !(workers && h.Has(v1alpha1.RoleControlPlane))
	})
}

// LoginsInUse are the hosts that Status and Renew have to log in to: those that are no nodes,
// to which no Job gets.
func (o Options) LoginsInUse() []v1alpha1.Host {
	return slices.DeleteFunc(slices.Clone(o.Cluster.Spec.Hosts), func(h v1alpha1.Host) bool { return isNode(o.Cluster, h) || !o.about(h) })
}

// keepers are the hosts that it is about which have certificates that kubectl ha renews.
func (o Options) keepers() []v1alpha1.Host {
	return slices.DeleteFunc(o.Cluster.Keepers(o.Cluster.Spec.Hosts), func(h v1alpha1.Host) bool { return !o.about(h) })
}

// isNode tells whether a host has a kubelet, so that Jobs get there.
func isNode(c *v1alpha1.Cluster, h v1alpha1.Host) bool {
	return slices.ContainsFunc(c.Nodes(), func(n v1alpha1.Host) bool { return n.Name == h.Name })
}

// noWay says why a host was not looked at.
func noWay(h v1alpha1.Host) string {
	return fmt.Sprintf("%s is not a node of the cluster and is only reachable over SSH: pass the Cluster file with -f to include it", h.Name)
}
