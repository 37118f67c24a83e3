package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// adminOverSSH gets the administrator's access from the first control plane
// that gives it, with its API server dialled through SSH. leave ends that.
func adminOverSSH(ctx context.Context, c *v1alpha1.Cluster, policy ssh.HostKeyPolicy, sink report.Sink) (config *rest.Config, through kubeconfig.Dial, leave func(), err error) {
	hosts, failed := connect(ctx, c, policy, sink, c.ControlPlanes()...)
	if hosts == nil {
		return nil, nil, nil, failed
	}
	leave = func() { closeHosts(hosts, sink) }
	errs := []error{failed}
	for _, h := range c.ControlPlanes() {
		if hosts.Failed()[h.Name] != nil {
			continue
		}
		config, err := adminConfig(ctx, hosts, c, h, sink)
		if err == nil {
			return config, hosts.DialContext(h.Name), leave, nil
		}
		errs = append(errs, err)
	}
	leave()
	return nil, nil, nil, fmt.Errorf("no control plane gives access:\n%w", errors.Join(errs...))
}

// adminConfig reads one control plane's admin.conf, for its own API server.
func adminConfig(ctx context.Context, hosts *ssh.Hosts, c *v1alpha1.Cluster, h v1alpha1.Host, sink report.Sink) (*rest.Config, error) {
	result, err := hosts.Run(ctx, h.Name, node.Request{Cluster: c.Metadata.Name, Task: tasks.AdminKubeconfig,
		Step: tasks.AdminKubeconfig, Timeout: time.Minute}, sink)
	if err != nil {
		return nil, err
	}
	if f := result.Failure; f != nil {
		if f.Hint != "" {
			return nil, fmt.Errorf("%s: %w; %s", h.Name, f, f.Hint)
		}
		return nil, fmt.Errorf("%s: %w", h.Name, f)
	}
	var data controlplane.KubeconfigData
	if err := json.Unmarshal(result.Data, &data); err != nil {
		// The error could quote the answer, which is a secret.
		return nil, fmt.Errorf("%s: the answer with admin.conf can't be read", h.Name)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%s: its admin.conf can't be used", h.Name)
	}
	config.Host = "https://" + net.JoinHostPort(h.Address, strconv.Itoa(int(c.Spec.APIServerPort)))
	config.Dial = hosts.DialContext(h.Name)
	return config, nil
}
