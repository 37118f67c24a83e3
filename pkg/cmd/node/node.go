package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/operate"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func NewNode(streams genericiooptions.IOStreams) *cobra.Command {
	access := cli.NewAccess()
	c := &cobra.Command{
		Use:     "node",
		Aliases: []string{"nodes"},
		Short:   "Add hosts to the cluster, take them out, replace one by another",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Hosts come and go while the cluster runs: workers, control planes and etcd members alike. No host is special: the first control plane can be replaced like any other, and so can the one that has the virtual IP.",
			"A new host is prepared over SSH; all else is an Operation in the cluster, which goes on when you leave."),
		Example: cli.Examples(`
			# A host that was added to the Cluster file
			kubectl ha node add w2 -f cluster.yaml

			kubectl ha node remove w1
			kubectl ha node replace cp1 cp4 -f cluster.yaml`),
		Args: cobra.ArbitraryArgs,
		RunE: cli.RunGroup,
	}
	cli.AddAccess(c, access)
	c.AddCommand(newNodeAdd(streams, access), newNodeRemove(streams, access), newNodeReplace(streams, access))
	return c
}

// discovery makes what new kubelets enrol with.
func discovery(clients *client.Clients) func(context.Context) (token, caHash string, err error) {
	return func(ctx context.Context) (string, string, error) {
		hash, err := caHash(ctx, clients.Kube)
		if err != nil {
			return "", "", err
		}
		token, err := bootstrap.NewToken(ctx, clients.Kube)
		return token, hash, err
	}
}

// caHash is the fingerprint of the cluster's CA, as a joining kubeadm finds it.
func caHash(ctx context.Context, kube kubernetes.Interface) (string, error) {
	m, err := kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, "cluster-info", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the cluster's CA: %w", err)
	}
	kubeconfig, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
	if err != nil {
		return "", fmt.Errorf("kube-public/cluster-info: %w", err)
	}
	for _, c := range kubeconfig.Clusters {
		return pki.CertHash(c.CertificateAuthorityData)
	}
	return "", errors.New("kube-public/cluster-info has no cluster in it")
}

// sameCluster refuses a file that is not about the cluster of the kubeconfig.
func sameCluster(file, stored *v1alpha1.Cluster) error {
	if file.Metadata.Name != stored.Metadata.Name || file.Spec.VirtualIP != stored.Spec.VirtualIP {
		return action.Invalidf("the Cluster file is about %s at %s, and your kubeconfig about %s at %s: name the right one with -f or --kubeconfig",
			file.Metadata.Name, file.Endpoint(), stored.Metadata.Name, stored.Endpoint())
	}
	return nil
}

// completeHosts completes hosts of the stored document for the shell.
func completeHosts(o *operate.Options) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || o.Connect(c.Context()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, h := range o.Stored.Spec.Hosts {
			var roles []string
			for _, r := range h.Roles {
				roles = append(roles, string(r))
			}
			out = append(out, h.Name+"\t"+strings.Join(roles, ", "))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// addDrainFlags adds the flags about how gently a host is emptied.
func addDrainFlags(c *cobra.Command, spec *v1alpha1.RemoveNodeSpec, drain *time.Duration) {
	f := c.Flags()
	f.DurationVar(drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "how long its pods may take to leave it")
	f.BoolVar(&spec.ForceDrain, "force-drain", false, "also evict pods that nothing makes again, and delete what has not left in time")
	f.BoolVar(&spec.DeleteEmptyDirData, "delete-emptydir-data", false, "also evict pods with data in emptyDir volumes, which ends with them")
	f.BoolVar(&spec.Fenced, "fenced", false, "the host, whose kubelet is silent, was cut off for good (its power or its network): take it for lost, whatever seems to answer at its address")
}
