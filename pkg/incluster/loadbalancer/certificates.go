package loadbalancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/engine"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/kubeadmconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	tasklb "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/loadbalancer"
)

// serverName is a name that every apiserver's certificate has from kubeadm, and by
// which the load balancer knows them.
const serverName = "kubernetes"

// names are those for which every apiserver's certificate has to be: the load balancer's
// own for it, and those by which clients reach the load balancer. kubeadm puts the first
// two there, unless somebody made the certificates otherwise.
func names(c *v1alpha1.Cluster) []string {
	out := []string{serverName, c.Spec.VirtualIP}
	for _, n := range c.Spec.ExtraSANs {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// namesStep looks at the certificate of one control plane's apiserver, and has it made
// anew on that host when it lacks a name.
type namesStep struct{}

// Retries is the number of times that a lost attempt is begun anew: it looks first.
func (namesStep) Retries() int { return lostRetries }

// Run does it.
func (namesStep) Run(ctx context.Context, t engine.Turn) (engine.Outcome, error) {
	h, ok := t.Cluster.Host(t.Step.Node)
	if !ok {
		return engine.Outcome{}, fmt.Errorf("%s is no host of the cluster", t.Step.Node)
	}
	endpoint := net.JoinHostPort(h.Address, strconv.Itoa(int(t.Cluster.Spec.APIServerPort)))
	want := names(t.Cluster)
	lack, err := lacking(ctx, t, endpoint, want)
	if err != nil || len(lack) == 0 {
		return engine.Outcome{Message: "it is"}, err
	}
	t.Progress("it lacks %s", strings.Join(lack, ", "))
	// First, so that a control plane that comes meanwhile has them too.
	if err := noteNames(ctx, t, want); err != nil {
		return engine.Outcome{}, err
	}
	task := engine.NodeTask{
		Request: func(context.Context, engine.Turn) (node.Request, error) {
			return node.NewRequest(tasks.APIServerNames, taskTimeout, tasklb.NamesSpec{Names: want, Endpoint: endpoint})
		},
		Message: func(r node.Result) string {
			var d tasklb.NamesData
			if json.Unmarshal(r.Data, &d) != nil || len(d.Added) == 0 {
				return "already up to date"
			}
			return "made anew, with " + strings.Join(d.Added, ", ")
		},
	}
	out, err := task.Run(ctx, t)
	if err != nil {
		return out, err
	}
	// The task has waited for the host's own apiserver; this is how clients see it.
	if lack, err = lacking(ctx, t, endpoint, want); err == nil && len(lack) > 0 {
		err = fmt.Errorf("the certificate of %s's apiserver still lacks %s", h.Name, strings.Join(lack, ", "))
	}
	return out, err
}

// lacking shakes hands with an apiserver by each name, and returns those for which its
// certificate is not. Anything else that is wrong is an error.
func lacking(ctx context.Context, t engine.Turn, endpoint string, want []string) ([]string, error) {
	config, err := Trust(t.Clients.Config)
	if err != nil {
		return nil, err
	}
	return lackingAt(ctx, config, endpoint, want)
}

func lackingAt(ctx context.Context, config *tls.Config, endpoint string, want []string) ([]string, error) {
	var out []string
	for _, name := range want {
		err := Shake(ctx, config, endpoint, name)
		var other x509.HostnameError
		switch {
		case errors.As(err, &other):
			out = append(out, name)
		case err != nil:
			return nil, fmt.Errorf("the apiserver at %s, known as %s: %w\nnext: kubectl ha status shows each apiserver; nothing was changed", endpoint, name, err)
		}
	}
	return out, nil
}

// noteNames puts the names into kubeadm's own configuration, from which control planes
// take them that join later.
func noteNames(ctx context.Context, t engine.Turn, want []string) error {
	_, err := kubeadmconfig.Change(ctx, t.Clients.Kube, withNames(want))
	return err
}

// withNames adds the names to those of the apiservers' certificates. It is pure.
func withNames(want []string) func(kubeadmconfig.Fields) (bool, error) {
	return func(fields kubeadmconfig.Fields) (bool, error) {
		server := fields.Object("apiServer")
		list := server.Texts("certSANs")
		changed := false
		for _, name := range want {
			// This one kubeadm adds by itself.
			if name != serverName && !slices.Contains(list, name) {
				list, changed = append(list, name), true
			}
		}
		server["certSANs"] = list
		return changed, nil
	}
}
