package bootstrap

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// confirm shows the plan and asks, unless --yes said so or nothing is left to
// be made.
func (o *bootstrapOptions) confirm(ctx context.Context, p plan.Plan, shown *cli.Progress) error {
	if o.output == cli.OutputJSON {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if !bootstrap.LeftToMake(p) {
		return nil
	}
	if err := cli.PrintPlan(o.Out, cli.StyleFor(o.Out), o.cluster, p); err != nil || o.yes {
		return err
	}
	return cli.Confirm(ctx, o.In, o.Out, "Go on?")
}

// join hands over to the cluster.
func (o *bootstrapOptions) join(sink report.Sink) func(context.Context, bootstrap.Access) (plan.Outcome, error) {
	return func(ctx context.Context, a bootstrap.Access) (plan.Outcome, error) {
		config, err := a.RESTConfig()
		if err != nil {
			return plan.Outcome{}, err
		}
		installed, err := incluster.Install(ctx, config, o.cluster)
		if err != nil {
			return plan.Outcome{}, err
		}
		agents, err := agents.Own(ctx, config)
		if err != nil {
			return plan.Outcome{}, err
		}
		var mu sync.Mutex
		changed := len(installed) > 0
		err = incluster.Join(ctx, config, o.cluster, agents, report.SinkFunc(func(e report.Event) {
			mu.Lock()
			changed = changed || e.Changed
			mu.Unlock()
			sink.Emit(e)
		}))
		mu.Lock()
		defer mu.Unlock()
		return plan.Outcome{Changed: changed}, err
	}
}

// issuedAccess is what became of the kubeconfig.
type issuedAccess struct {
	identity string
	expires  time.Time
	// far: this machine does not reach the virtual IP by itself.
	far bool
}

// writeKubeconfig writes the caller's kubeconfig, unless the one that is there
// works and lasts.
func (o *bootstrapOptions) writeKubeconfig(out *issuedAccess) func(context.Context, bootstrap.Access) (plan.Outcome, error) {
	return func(ctx context.Context, a bootstrap.Access) (plan.Outcome, error) {
		server := access.ServerURL(o.cluster)
		old, err := kubeconfig.Load(o.kubeconfigOut, o.cluster.Metadata.Name)
		switch {
		case err == nil && old.Server == server && old.Lasts(time.Now()) && kubeconfig.Quick(ctx, old.Content, a.Dial) == nil:
			out.expires = old.Expires
			return plan.Outcome{Message: "the one that is there works"}, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return plan.Outcome{}, err
		}
		config, err := a.RESTConfig()
		if err != nil {
			return plan.Outcome{}, err
		}
		issued, err := kubeconfig.Issue(ctx, config, kubeconfig.Options{Cluster: o.cluster.Metadata.Name, Server: server, User: cli.CertificateUser()})
		if err != nil {
			return plan.Outcome{}, err
		}
		content, err := kubeconfig.Encode(issued.Config)
		if err != nil {
			return plan.Outcome{}, err
		}
		if out.far, err = access.VerifyAnyhow(ctx, content, issued.Username, a.Dial); err != nil {
			return plan.Outcome{}, err
		}
		out.identity, out.expires = issued.Identity, issued.Expires
		return plan.Outcome{Changed: true, Message: o.kubeconfigOut}, kubeconfig.Replace(o.kubeconfigOut, issued.Config, content)
	}
}
