package certs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// mayDropCA is an error when the caller, or pods, would lose their access by the last phase.
func (w *rotating) mayDropCA(ctx context.Context) error {
	if err := w.relogin(ctx); err != nil {
		return err
	}
	if err := w.restartWorkloads(ctx, w.ownWorkloads()); err != nil {
		return err
	}
	stale, err := w.staleWorkloads(ctx)
	if err != nil {
		return action.OfCluster(err)
	}
	if len(stale) == 0 || w.LeaveStale {
		return nil
	}
	var list []string
	for _, s := range stale {
		list = append(list, s.String())
	}
	return action.As(action.Findings, fmt.Errorf("pods of these workloads were started before they could trust the new CA, and may not read it anew: %s\nnext: restart them, for which there is --restart-workloads, or complete the rotation without, by --leave-workloads, if you know that they do",
		strings.Join(list, ", ")))
}

// relogin has the caller's credentials issued anew when they go by the former CA.
func (w *rotating) relogin(ctx context.Context) error {
	if w.Authority != certs.AuthorityKubernetes || w.Back && w.state.begun != certs.PhaseIssue {
		return nil
	}
	stale, err := w.staleLogin()
	if err != nil || !stale {
		return err
	}
	if w.Login == nil {
		return action.As(action.Findings, errors.New("your kubeconfig goes by the former CA\nnext: kubectl ha kubeconfig issues another one; run the command again with that"))
	}
	config, err := w.Login(ctx, w.Config)
	if err != nil {
		return fmt.Errorf("issue your own credentials anew: %w", err)
	}
	w.Config = config
	if w.clients, err = client.New(config); err != nil {
		return err
	}
	w.ops, w.way, err = w.reopen(ctx)
	return err
}

// staleLogin reports whether the caller's kubeconfig does not trust the new CA, or has a
// certificate of the former one.
func (w *rotating) staleLogin() (bool, error) {
	tls := w.Config.TLSClientConfig
	if err := rest.LoadTLSFiles(w.Config); err != nil {
		return false, fmt.Errorf("read your kubeconfig's certificates: %w", err)
	}
	defer func() { w.Config.TLSClientConfig = tls }()
	trusts := w.Config.Insecure || slices.ContainsFunc(pki.Certs(w.Config.CAData), func(c []byte) bool { return pki.Same(c, w.target()) })
	if !trusts || len(w.Config.CertData) == 0 {
		return !trusts, nil
	}
	return pki.SignedBy(w.Config.CertData, w.source())
}

// reopen makes the ways to the cluster anew, with other credentials.
func (w *rotating) reopen(ctx context.Context) (*incluster.Operations, via, error) {
	dry := w.Options
	dry.DryRun = true // The agents are there: they are only looked up.
	return dry.begin(ctx, w.clients, w.sink)
}
