package addon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// headlampPort is the dashboard's port in its pod.
const headlampPort = 4466

// Forward forwards a port of this machine's loopback to the dashboard, any free one for 0,
// until the context ends, which is no error, or the connection does. ready is called once it
// can be used, with its URL; its error ends all.
func (d *Dashboard) Forward(ctx context.Context, port int, ready func(url string) error, sink report.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pods, err := d.site.clients.Kube.CoreV1().Pods(manifests.DashboardNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=headlamp"})
	if err != nil {
		return action.OfCluster(err)
	}
	pod, err := readyPod(pods.Items)
	if err != nil {
		return err
	}
	dialer, err := d.site.clients.Forwarder(manifests.DashboardNamespace, pod, 0)
	if err != nil {
		return err
	}
	listens := make(chan struct{})
	forward, err := portforward.NewOnAddressesForStreaming(dialer,
		[]string{"127.0.0.1"}, []string{fmt.Sprintf("%d:%d", port, headlampPort)}, ctx.Done(), listens, io.Discard, troubles{sink})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forward.ForwardPorts() }()
	select {
	case err := <-ended:
		return action.OfCluster(fmt.Errorf("forward a port to the dashboard: %w", err))
	case <-listens:
	}
	ports, err := forward.GetPorts()
	if err != nil {
		return err
	}
	if err := ready(fmt.Sprintf("https://127.0.0.1:%d", ports[0].Local)); err != nil {
		return err
	}
	err = <-ended
	if ctx.Err() != nil {
		return nil
	}
	return action.OfCluster(err)
}

// readyPod is one of the dashboard's that is ready. It is pure.
func readyPod(pods []corev1.Pod) (string, error) {
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return p.Name, nil
			}
		}
	}
	return "", errors.New("no dashboard pod is ready; see kubectl ha addon status")
}

// troubles tells what the forwarding writes about connections that failed.
type troubles struct{ sink report.Sink }

// Write tells a line.
func (t troubles) Write(line []byte) (int, error) {
	action.Warn(t.sink, "", "%s", strings.TrimSpace(string(line)))
	return len(line), nil
}
