package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeconfig"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/apihttp"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport/ssh"
)

// Admin gets the administrator's access from the first control plane
// that gives it and whose API server is ready, dialled through SSH. leave ends that.
func Admin(ctx context.Context, c *v1alpha1.Cluster, login Login, sink report.Sink) (config *rest.Config, through kubeconfig.Dial, leave func(), err error) {
	hosts, failed := Connect(ctx, c, login, sink, c.ControlPlanes()...)
	if hosts == nil {
		return nil, nil, nil, failed
	}
	leave = func() { Close(hosts, sink) }
	reached := slices.DeleteFunc(slices.Clone(c.ControlPlanes()), func(h v1alpha1.Host) bool { return hosts.Failed()[h.Name] != nil })
	config, from, err := firstReady(ctx, reached, func(h v1alpha1.Host) (*rest.Config, error) { return adminConfig(ctx, hosts, c, h, sink) })
	if err != nil {
		leave()
		return nil, nil, nil, fmt.Errorf("no control plane node provides access:\n%w", errors.Join(failed, err))
	}
	return config, hosts.DialContext(from), leave, nil
}

// readyTimeout bounds the question to one API server whether it is ready.
const readyTimeout = 10 * time.Second

// firstReady is the access of the first control plane that gives it and whose API server
// is ready; admin.conf is there on one whose API server is dead as well. The error says of
// each why not it.
func firstReady(ctx context.Context, all []v1alpha1.Host, get func(v1alpha1.Host) (*rest.Config, error)) (config *rest.Config, from string, err error) {
	var errs []error
	for _, h := range all {
		config, err := get(h)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := ready(ctx, config); err != nil {
			errs = append(errs, fmt.Errorf("%s: its API server: %w", h.Name, err))
			continue
		}
		return config, h.Name, nil
	}
	return nil, "", errors.Join(errs...)
}

func ready(ctx context.Context, config *rest.Config) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
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
		return nil, fmt.Errorf("%s: cannot read the response with admin.conf", h.Name)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%s: its admin.conf is unusable", h.Name)
	}
	config.Host = "https://" + net.JoinHostPort(h.Address, strconv.Itoa(int(c.Spec.APIServerPort)))
	config.Dial = hosts.DialContext(h.Name)
	apihttp.LogBodies(config)
	return config, nil
}
