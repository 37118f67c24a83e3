package client

import (
	"net/http"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Streams to pods go over WebSocket, as kubectl's do, which proxies let through that know
// nothing of SPDY; and over SPDY where the API server, or what is before it, does not know
// WebSocket. https://kep.k8s.io/4006

// noWebSocket tells whether a stream failed since something in between does not know WebSocket, so
// that SPDY is to be tried. The function like it in k8s.io/apimachinery does not know the errors
// of client-go's WebSocket dialers.
func noWebSocket(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

// Forwarder connects to ports of a pod. The connection over SPDY must be made within timeout,
// and is not limited by 0.
func (c *Clients) Forwarder(namespace, pod string, timeout time.Duration) (httpstream.Dialer, error) {
	return forwarder(c.Config, c.Kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).
		SubResource("portforward").URL(), timeout)
}

func forwarder(config *rest.Config, to *url.URL, timeout time.Duration) (httpstream.Dialer, error) {
	first, err := portforward.NewSPDYOverWebsocketDialerForStreaming(to, config)
	if err != nil {
		return nil, err
	}
	roundTripper, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	second := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: roundTripper, Timeout: timeout}, http.MethodPost, to)
	return portforward.NewFallbackDialerForStreaming(first, second, noWebSocket), nil
}

// Executor runs a command in a container of a pod, with the streams that options name.
func (c *Clients) Executor(namespace, pod string, options *corev1.PodExecOptions) (remotecommand.Executor, error) {
	to := c.Kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).
		SubResource("exec").VersionedParams(options, scheme.ParameterCodec).URL()
	first, err := remotecommand.NewWebSocketExecutor(c.Config, http.MethodGet, to.String())
	if err != nil {
		return nil, err
	}
	second, err := remotecommand.NewSPDYExecutor(c.Config, http.MethodPost, to)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(first, second, noWebSocket)
}
