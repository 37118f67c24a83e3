package access

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
)

// KeepOptions say whose kubeconfig is kept, and where.
type KeepOptions struct {
	Cluster *v1alpha1.Cluster
	// File is where it is, or goes to.
	File string
	// User is the name in the caller's certificate.
	User string
	// Config is the administrator's, by which a new one is issued.
	Config *rest.Config
	// Through dials as a control plane does, for a machine that does not reach the address.
	Through kubeconfig.Dial
}

// Kept is what became of a kubeconfig.
type Kept struct {
	// Changed tells that a new one was written.
	Changed bool
	// Message is one line for people.
	Message string
	// Identity says who a new one is for; empty when the one that was there stays.
	Identity string
	// Expires is when its identity ends; zero when that can't be told.
	Expires time.Time
	// Far tells that this machine does not reach its address by itself: it was tried as from a
	// control plane.
	Far bool
}

// Replaceable is nil when a kubeconfig of that context may be written to a file: there is none,
// or one with nothing else in it.
func Replaceable(file, context string) error {
	if _, err := kubeconfig.Load(file, context); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Keep writes the caller's kubeconfig for the stable address and tries it, unless the one that is
// there points at that, works and lasts.
func Keep(ctx context.Context, o KeepOptions) (Kept, error) {
	name, server := o.Cluster.Metadata.Name, ServerURL(o.Cluster)
	old, err := kubeconfig.Load(o.File, name)
	switch {
	case err == nil && old.Server == server && old.Lasts(time.Now()) && kubeconfig.Quick(ctx, old.Content, o.Through) == nil:
		return Kept{Expires: old.Expires, Message: "the one that is there works"}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return Kept{}, err
	}
	issued, err := kubeconfig.Issue(ctx, o.Config, kubeconfig.Options{Cluster: name, Server: server, User: o.User})
	if err != nil {
		return Kept{}, err
	}
	content, err := kubeconfig.Encode(issued.Config)
	if err != nil {
		return Kept{}, err
	}
	far, err := verify(ctx, content, issued, o.Through)
	if err != nil {
		return Kept{}, err
	}
	if err := kubeconfig.Replace(o.File, issued.Config, content); err != nil {
		return Kept{}, err
	}
	return Kept{Changed: true, Message: o.File, Identity: issued.Identity, Expires: issued.Expires, Far: far}, nil
}
