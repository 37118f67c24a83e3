package kubeconfig

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
)

// renewTimeout bounds the renewal of credentials, which kubectl waits for.
const renewTimeout = 15 * time.Second

// credentialPath is where the credentials of a context are kept: beside what else this
// workstation keeps of the cluster.
func credentialPath(context string, c *v1alpha1.Cluster) (string, error) {
	dir, err := cli.StateDir(c)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "credentials", fileName(context)), nil
}

// fileName is that of a context's kubeconfig. Users' names may have what is no part of a
// file's name.
func fileName(context string) string {
	return strings.NewReplacer("/", "-", `\`, "-", ":", "-").Replace(context) + ".kubeconfig"
}

// newKubeconfigCredential is what kubectl executes for a kubeconfig that was made with --exec.
func newKubeconfigCredential(streams genericiooptions.IOStreams) *cobra.Command {
	var path string
	var duration time.Duration
	c := &cobra.Command{
		Use:   "credential --file FILE",
		Short: "Print the credentials that a kubeconfig with --exec asks for",
		Example: cli.Examples(`
			# What kubectl itself calls; for a look at what it gets
			kubectl ha kubeconfig credential --file demo.kubeconfig`),
		Hidden: true,
		Args:   cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := kubeconfig.Credential(c.Context(), path, renewer(duration), time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(streams.Out, string(out))
			return err
		},
	}
	c.Flags().StringVar(&path, "file", "", "the kubeconfig `file` with the credentials")
	c.Flags().DurationVar(&duration, "duration", 0, "how long renewed credentials live (default as for new ones)")
	// MarkFlagRequired fails only for a flag that is not there.
	_ = c.MarkFlagRequired("file")
	return c
}

// renewer makes identities that live for so long; zero for the default.
func renewer(duration time.Duration) kubeconfig.Renewer {
	return func(ctx context.Context, content []byte) (*kubeconfig.Issued, error) {
		return renew(ctx, content, duration)
	}
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
		return nil, fmt.Errorf("there is no context %s", old.CurrentContext)
	}
	o := kubeconfig.Options{Cluster: current.Cluster, Context: old.CurrentContext, Server: config.Host,
		Duration: duration, User: strings.TrimPrefix(current.AuthInfo, current.Cluster+"-"), Kind: kubeconfig.KindCertificate, Groups: kubeconfig.Groups(content)}
	if config.BearerToken != "" {
		o.Kind = kubeconfig.KindAccount
	}
	return kubeconfig.Issue(ctx, config, o)
}
