package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/agents"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// bundles gives the bundle once it is needed. One that was named is read
// through while the hosts are looked at: nothing is begun with a damaged one.
// looked is called then, too.
func (o *bootstrapOptions) bundles(ctx context.Context, sink report.Sink, looked func(string)) func(context.Context, string) (bootstrap.Bundle, error) {
	verified := make(chan error, 1)
	if o.bundle != nil {
		go func() { verified <- o.bundle.Verify(ctx, report.Discard()) }()
	}
	return func(ctx context.Context, arch string) (bootstrap.Bundle, error) {
		looked("")
		if o.bundle != nil {
			if err := <-verified; err != nil {
				return nil, action.As(action.Invalid, err)
			}
			return o.bundle.ForArch(arch), action.As(action.Invalid, o.bundle.Contents().Check("", arch, ""))
		}
		if o.dryRun {
			return nil, nil
		}
		b, err := bundles.Ensure(ctx, "", o.cluster, arch, sink)
		if err != nil {
			return nil, err
		}
		o.bundle = b
		return b, nil
	}
}

// confirm shows the plan and asks, unless --yes said so or nothing is left to
// be made.
func (o *bootstrapOptions) confirm(ctx context.Context, p plan.Plan, shown *progress) error {
	if o.output == outputJSON {
		return nil
	}
	shown.Close()
	defer shown.Open()
	if !leftToMake(p) {
		return nil
	}
	if err := printPlan(o.Out, styleFor(o.Out), o.cluster, p); err != nil || o.yes {
		return err
	}
	return confirm(ctx, o.In, o.Out, "Go on?")
}

// leftToMake tells whether a plan has anything pending beside what is looked
// at on every run.
func leftToMake(p plan.Plan) bool {
	for _, s := range p.Pending() {
		switch s.Task {
		case bootstrap.StepJoin, bootstrap.StepKubeconfig, taskVIP:
		default:
			return true
		}
	}
	return false
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
		server := serverURL(o.cluster)
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
		issued, err := kubeconfig.Issue(ctx, config, kubeconfig.Options{Cluster: o.cluster.Metadata.Name, Server: server, User: certificateUser()})
		if err != nil {
			return plan.Outcome{}, err
		}
		content, err := kubeconfig.Encode(issued.Config)
		if err != nil {
			return plan.Outcome{}, err
		}
		if out.far, err = verifyAnyhow(ctx, content, issued.Username, a.Dial); err != nil {
			return plan.Outcome{}, err
		}
		out.identity, out.expires = issued.Identity, issued.Expires
		return plan.Outcome{Changed: true, Message: o.kubeconfigOut}, kubeconfig.Replace(o.kubeconfigOut, issued.Config, content)
	}
}

// serverURL is the cluster's stable address.
func serverURL(c *v1alpha1.Cluster) string { return "https://" + c.Endpoint() }

// certificateUser is the name in the caller's certificate.
func certificateUser() string {
	if name := loginName(); name != "" {
		return name
	}
	return "admin"
}

// verifyAnyhow tries a kubeconfig from here and, when this machine does not
// reach its address, as a control plane would; far tells that it was so.
func verifyAnyhow(ctx context.Context, content []byte, username string, through kubeconfig.Dial) (far bool, err error) {
	if through != nil && !kubeconfig.Reachable(ctx, content) {
		return true, kubeconfig.Verify(ctx, content, username, through)
	}
	return false, kubeconfig.Verify(ctx, content, username, nil)
}

// expiry writes when an identity ends.
func expiry(t time.Time) string {
	if t.IsZero() {
		return "its end is not known"
	}
	when, left := t.Local().Format("2006-01-02 15:04 MST"), time.Until(t)
	switch {
	case left < 2*time.Hour:
		return fmt.Sprintf("expires %s, in %d minutes", when, int(left.Round(time.Minute).Minutes()))
	case left.Round(time.Hour) < 48*time.Hour:
		return fmt.Sprintf("expires %s, in %d hours", when, int(left.Round(time.Hour).Hours()))
	}
	return fmt.Sprintf("expires %s, in %d days", when, int(left.Round(time.Hour).Hours()/24))
}
