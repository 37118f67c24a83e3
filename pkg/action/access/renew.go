package access

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// renewTimeout bounds the renewal of credentials, which kubectl waits for.
const renewTimeout = 15 * time.Second

// Credential is the answer to kubectl for the credentials in a file that IssueOptions.Exec has
// made: an ExecCredential, as JSON. They are renewed before when little of their life is left;
// renewed ones live for duration, 0 is the default of their kind.
func Credential(ctx context.Context, file string, duration time.Duration, now time.Time) ([]byte, error) {
	return kubeconfig.Credential(ctx, file, func(ctx context.Context, content []byte) (*kubeconfig.Issued, error) {
		return renew(ctx, content, duration)
	}, now)
}

// Reissue has the caller's own credentials issued anew by the cluster of config, and merged into a
// kubeconfig, which points at what it pointed at before; user is the name in the certificate. It returns
// the access that goes by them.
func Reissue(ctx context.Context, config *rest.Config, user string, merge *clientcmd.PathOptions, sink report.Sink) (*rest.Config, error) {
	r, err := RunIssue(ctx, IssueOptions{Config: config, CertificateUser: user, Merge: merge, Same: true}, sink)
	if err != nil {
		return nil, err
	}
	action.Tell(sink, "issued your credentials anew, by the new CA, and merged them into %s", r.Merged.File)
	fresh, err := clientcmd.RESTConfigFromKubeConfig(r.Content)
	if err != nil {
		return nil, err
	}
	fresh.Timeout = config.Timeout
	apihttp.LogBodies(fresh)
	apihttp.LimitRequests(fresh)
	return fresh, nil
}

// renew makes an identity of the same kind and name with the one that there is.
func renew(ctx context.Context, content []byte, duration time.Duration) (*kubeconfig.Issued, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		return nil, err
	}
	apihttp.LogBodies(config)
	old, err := clientcmd.Load(content)
	if err != nil {
		return nil, err
	}
	current := old.Contexts[old.CurrentContext]
	if current == nil {
		return nil, fmt.Errorf("no context %s found", old.CurrentContext)
	}
	o := kubeconfig.Options{Cluster: current.Cluster, Context: old.CurrentContext, Server: config.Host,
		Duration: duration, User: strings.TrimPrefix(current.AuthInfo, current.Cluster+"-"), Kind: kubeconfig.KindCertificate, Groups: kubeconfig.Groups(content)}
	if config.BearerToken != "" {
		o.Kind = kubeconfig.KindAccount
	}
	return kubeconfig.Issue(ctx, config, o)
}
