package addon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// headlampPort is the dashboard's port in its pod.
const headlampPort = 4466

// dashboardOpenOptions forward a port of this machine to the dashboard.
type dashboardOpenOptions struct {
	AddonOptions
	port      int
	noBrowser bool
}

func newDashboardOpen(shared AddonOptions) *cobra.Command {
	o := &dashboardOpenOptions{AddonOptions: shared}
	c := &cobra.Command{
		Use:   "open",
		Short: "Open the dashboard in the browser, through the API",
		Long: cli.Paragraphs(
			"Forwards a port of this machine to the dashboard and opens the browser there, so that no port of the cluster but the API's has to be reached. It goes on until Ctrl-C."),
		Example: cli.Examples(`
			kubectl ha dashboard open
			kubectl ha dashboard open --port 8443 --no-browser`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.port < 0 || o.port > 65535 {
				return action.Invalidf("--port %d is no port", o.port)
			}
			return o.Run(c.Context())
		},
	}
	c.Flags().IntVar(&o.port, "port", 0, "the `port` of this machine; any free one by default")
	c.Flags().BoolVar(&o.noBrowser, "no-browser", false, "only print the address")
	return c
}

// Run forwards until the context ends or the connection does.
func (o *dashboardOpenOptions) Run(ctx context.Context) error {
	if err := o.installedDashboard(ctx); err != nil {
		return err
	}
	pod, err := o.pod(ctx)
	if err != nil {
		return err
	}
	dialer, err := o.clients.Forwarder(manifests.DashboardNamespace, pod, 0)
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	forward, err := portforward.NewOnAddressesForStreaming(dialer,
		[]string{"127.0.0.1"}, []string{fmt.Sprintf("%d:%d", o.port, headlampPort)}, ctx.Done(), ready, io.Discard, o.ErrOut)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forward.ForwardPorts() }()
	select {
	case err := <-ended:
		return action.OfCluster(fmt.Errorf("forward a port to the dashboard: %w", err))
	case <-ready:
	}
	ports, err := forward.GetPorts()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("https://127.0.0.1:%d", ports[0].Local)
	if _, err := fmt.Fprintf(o.Out, "%s (Ctrl-C ends it; %s dashboard token prints a token to log in with)\n", address, program.Name); err != nil {
		return err
	}
	if !o.noBrowser {
		if err := browse(ctx, address); err != nil {
			if _, err := fmt.Fprintf(o.ErrOut, "no browser could be started (%v); open the address yourself\n", err); err != nil {
				return err
			}
		}
	}
	err = <-ended
	if ctx.Err() != nil {
		return nil // Ctrl-C is how this ends.
	}
	return action.OfCluster(err)
}

// pod is one of the dashboard's that is ready.
func (o *dashboardOpenOptions) pod(ctx context.Context) (string, error) {
	pods, err := o.clients.Kube.CoreV1().Pods(manifests.DashboardNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=headlamp"})
	if err != nil {
		return "", action.OfCluster(err)
	}
	for _, p := range pods.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return p.Name, nil
			}
		}
	}
	return "", errors.New("no pod of the dashboard is ready; kubectl ha addon status tells why")
}

// browse opens the browser in the way of the operating system.
func browse(ctx context.Context, address string) error {
	argv := []string{"xdg-open", address}
	switch runtime.GOOS {
	case "darwin":
		argv[0] = "open"
	case "windows":
		argv = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	}
	return exec.CommandContext(ctx, argv[0], argv[1:]...).Start()
}
