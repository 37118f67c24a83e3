package kubeconfig

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/action/access"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// target finds out what the kubeconfig is to point at.
func (o *kubeconfigOptions) target(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	stored, err := incluster.StoredCluster(ctx, client)
	switch {
	case err == nil && o.cluster == nil:
		o.cluster = stored
	case err == nil:
		// Which load balancer there is the cluster knows, not the file.
		o.cluster.Spec.LoadBalancer = stored.Spec.LoadBalancer
	case o.cluster == nil:
		return action.OfCluster(fmt.Errorf("%w (or give the Cluster file with -f)", err))
	}
	lb := o.cluster.Spec.LoadBalancer
	o.name, o.server = o.cluster.Metadata.Name, access.ServerURL(o.cluster)
	switch {
	case o.balanced && !lb.Enabled:
		return action.Invalidf("there is no load balancer; %s loadbalancer install sets one up", program.Name)
	case o.balanced:
		o.server = "https://" + o.cluster.BalancedEndpoint()
	case o.node != "":
		h, ok := o.cluster.Host(o.node)
		if !ok || !h.Has(v1alpha1.RoleControlPlane) {
			return action.Invalidf("--node %s: this is no control plane of the cluster %s", o.node, o.name)
		}
		o.name += "-" + o.node
		o.server = "https://" + net.JoinHostPort(h.Address, strconv.Itoa(int(o.cluster.Spec.APIServerPort)))
	case !o.vip:
		o.server = "https://" + o.cluster.EndpointFor(v1alpha1.UseForKubeconfig)
	}
	return nil
}

// options say what identity is wanted. Somebody else's gets a context of its own, so
// that a merge takes yours from nobody.
func (o *kubeconfigOptions) options() kubeconfig.Options {
	out := kubeconfig.Options{Cluster: o.name, Context: o.name, Server: o.server, User: o.certUser, Duration: o.duration}
	switch {
	case o.user != "":
		out.Kind, out.User, out.Groups, out.Context = kubeconfig.KindCertificate, o.user, o.groups, o.name+"-"+o.user
	case o.adminUser:
		out.Kind = kubeconfig.KindAccount
	}
	return out
}

// verifyIssued tries a kubeconfig for what it is meant to be able to do.
func verifyIssued(ctx context.Context, content []byte, issued *kubeconfig.Issued, through kubeconfig.Dial) (far bool, err error) {
	if issued.Admin {
		return access.VerifyAnyhow(ctx, content, issued.Username, through)
	}
	if through != nil && !kubeconfig.Reachable(ctx, content) {
		return true, kubeconfig.VerifyLogin(ctx, content, issued.Username, through)
	}
	return false, kubeconfig.VerifyLogin(ctx, content, issued.Username, nil)
}

// withExec moves the credentials into the state directory where that was asked for.
func (o *kubeconfigOptions) withExec(issued *kubeconfig.Issued, content []byte) ([]byte, error) {
	if !o.exec {
		return content, nil
	}
	path, err := credentialPath(issued.Config.CurrentContext, o.cluster)
	if err != nil {
		return nil, err
	}
	if err := kubeconfig.StoreCredential(path, issued.Config); err != nil {
		return nil, err
	}
	issued.Config = kubeconfig.WithExec(issued.Config, path, o.duration)
	return clientcmd.Write(*issued.Config)
}

// subject is the flag of kubectl create rolebinding for who the kubeconfig is for.
func (o *kubeconfigOptions) subject() string {
	if len(o.groups) > 0 {
		return "--group " + o.groups[0]
	}
	return "--user " + o.user
}
