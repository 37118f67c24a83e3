package access

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/remote"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// IssueOptions say what kubeconfig is made, by which access, and where it goes.
type IssueOptions struct {
	// Config is the access that there is. When nil, it is the administrator's, from one of the
	// Cluster's control planes over SSH.
	Config *rest.Config
	// Login is how the caller logs in to control planes, and Timeout bounds one request to the API
	// then; 0 is no bound. Both are for a nil Config.
	Login   remote.Login
	Timeout time.Duration
	// Cluster is the Cluster file's. When nil, it is the document in the cluster.
	Cluster *v1alpha1.Cluster

	// At most one of VirtualIP, LoadBalancer and Node says what it points at: the virtual IP, the
	// load balancer, or the one control plane of that name. Without it, it is what the document has
	// for kubeconfigs: the load balancer where that was set up for them, else the virtual IP.
	VirtualIP, LoadBalancer bool
	Node                    string
	// Same has it point at what Config points at, where that is one of these three.
	Same bool

	// CertificateUser is the name in the caller's own certificate.
	CertificateUser string
	// User is somebody else, who gets a certificate of that name and of Groups and may do what roles
	// are bound to these. Empty is the caller.
	User   string
	Groups []string
	// Account insists on a token of the service account kubeconfig.AdminAccount.
	Account bool
	// Duration is how long the identity lives; 0 is the default of its kind.
	Duration time.Duration

	// Merge puts it into the kubeconfig that these paths are about. When nil, it goes to File.
	Merge *clientcmd.PathOptions
	// File is where it goes when it is not merged; empty is CONTEXT.kubeconfig in the working
	// directory. A file with other contexts is not replaced.
	File string
	// NoFile has it in the result only.
	NoFile bool
	// Exec keeps the credentials out of it: they go below the cluster's directory on the
	// workstation, which StateDir finds, and kubectl asks this program for them.
	Exec     bool
	StateDir func(*v1alpha1.Cluster) (string, error)
}

// IssueResult is a kubeconfig that was tried.
type IssueResult struct {
	*kubeconfig.Issued
	// Content is the file's: a secret, but with Exec.
	Content []byte
	// Server is the URL that it points at.
	Server string
	// Far tells that this machine does not reach Server by itself: it was tried as from a control
	// plane.
	Far bool
	// File was written; empty when none was.
	File string
	// Merged is what merging did; nil when it was not asked for.
	Merged *kubeconfig.Merged
}

// CheckIssue refuses what contradicts itself, without asking anybody. Errors are action.Invalid.
func CheckIssue(o IssueOptions) error {
	where := 0
	for _, given := range []bool{o.VirtualIP, o.LoadBalancer, o.Node != ""} {
		if given {
			where++
		}
	}
	switch {
	case where > 1:
		return action.Invalidf("--vip, --loadbalancer and --node are mutually exclusive")
	case o.Merge != nil && (o.File != "" || o.NoFile):
		return action.Invalidf("--merge and --out are mutually exclusive")
	case o.Duration != 0 && (o.Duration < kubeconfig.MinDuration || o.Duration > kubeconfig.MaxDuration):
		return action.Invalidf("--duration must be between %s and %s", kubeconfig.MinDuration, kubeconfig.MaxDuration)
	case len(o.Groups) > 0 && o.User == "":
		return action.Invalidf("--group requires --user")
	case o.User != "" && o.Account:
		return action.Invalidf("--user and --admin-user are mutually exclusive")
	case strings.HasPrefix(o.User, "system:"):
		return action.Invalidf("--user %s: names that start with system: are reserved for cluster components", o.User)
	}
	for _, g := range o.Groups {
		if strings.HasPrefix(g, "system:") {
			// kube-apiserver refuses system:masters in such a certificate as well.
			return action.Invalidf("--group %s: groups that start with system: are reserved; bind a role to your own group", g)
		}
	}
	return nil
}

// RunIssue makes the kubeconfig, tries it, and only then puts it where it is to be.
func RunIssue(ctx context.Context, o IssueOptions, sink report.Sink) (IssueResult, error) {
	if err := CheckIssue(o); err != nil {
		return IssueResult{}, err
	}
	w, err := o.enter(ctx, sink)
	if err != nil {
		return IssueResult{}, err
	}
	defer w.leave()
	t, err := findTarget(ctx, w.config, o)
	if err != nil {
		return IssueResult{}, err
	}
	wanted := o.identity(t)
	if o.Merge == nil && !o.NoFile {
		if o.File == "" {
			o.File = fileName(wanted.Context)
		}
		if err := Replaceable(o.File, wanted.Context); err != nil {
			return IssueResult{}, action.Invalidf("cannot write the kubeconfig to %w; choose another file with --out, or use --merge", err)
		}
	}
	issued, err := kubeconfig.Issue(ctx, w.config, wanted)
	if errors.Is(err, kubeconfig.ErrNoAccount) {
		return IssueResult{}, action.Invalidf("%w\nnext: %s addon install dashboard --admin-user creates it", err, program.Name)
	}
	if err != nil {
		return IssueResult{}, action.OfCluster(err)
	}
	r := IssueResult{Issued: issued, Server: t.server}
	if r.Content, err = kubeconfig.Encode(issued.Config); err != nil {
		return IssueResult{}, err
	}
	if r.Far, err = verify(ctx, r.Content, issued, w.through); err != nil {
		return IssueResult{}, action.OfCluster(err)
	}
	if o.Exec {
		if err := o.splitCredentials(t.cluster, &r); err != nil {
			return IssueResult{}, err
		}
	}
	return r, o.store(&r)
}

// way is the access that there is. through dials as a control plane does, and is nil where this
// machine dials itself.
type way struct {
	config  *rest.Config
	through kubeconfig.Dial
	leave   func()
}

// enter is the access that was given, or the administrator's over SSH.
func (o IssueOptions) enter(ctx context.Context, sink report.Sink) (way, error) {
	if o.Config != nil {
		return way{config: o.Config, leave: func() {}}, nil
	}
	if o.Cluster == nil {
		return way{}, action.Invalidf("specify the Cluster file, because there is no kubeconfig")
	}
	config, through, leave, err := remote.Admin(ctx, o.Cluster, o.Login, sink)
	if err != nil {
		return way{}, action.OfHosts(err)
	}
	config.Timeout = o.Timeout
	apihttp.LimitRequests(config)
	return way{config, through, leave}, nil
}

// identity is the identity that is wanted. Somebody else's gets a context of its own, so that a
// merge takes the caller's from nobody.
func (o IssueOptions) identity(t target) kubeconfig.Options {
	out := kubeconfig.Options{Cluster: t.name, Context: t.name, Server: t.server, User: o.CertificateUser, Duration: o.Duration}
	switch {
	case o.User != "":
		out.Kind, out.User, out.Groups, out.Context = kubeconfig.KindCertificate, o.User, o.Groups, t.name+"-"+o.User
	case o.Account:
		out.Kind = kubeconfig.KindAccount
	}
	return out
}

// fileName is that of a context's kubeconfig. Users' names may have what is no part of a
// file's name.
func fileName(context string) string {
	return strings.NewReplacer("/", "-", `\`, "-", ":", "-").Replace(context) + ".kubeconfig"
}

// splitCredentials moves the credentials into the cluster's directory on the workstation.
func (o IssueOptions) splitCredentials(c *v1alpha1.Cluster, r *IssueResult) error {
	dir, err := o.StateDir(c)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "credentials", fileName(r.Config.CurrentContext))
	if err := kubeconfig.StoreCredential(path, r.Config); err != nil {
		return err
	}
	r.Config = kubeconfig.WithExec(r.Config, path, o.Duration)
	if r.Content, err = clientcmd.Write(*r.Config); err != nil {
		return fmt.Errorf("write the kubeconfig without credentials: %w", err)
	}
	return nil
}

// store puts the kubeconfig where it is to be.
func (o IssueOptions) store(r *IssueResult) error {
	if o.Merge != nil {
		done, err := kubeconfig.Merge(o.Merge, r.Config, time.Now())
		if errors.Is(err, kubeconfig.ErrTaken) {
			return action.As(action.Invalid, err)
		}
		r.Merged = &done
		return err
	}
	if o.NoFile {
		return nil
	}
	r.File = o.File
	return kubeconfig.Replace(o.File, r.Config, r.Content)
}
