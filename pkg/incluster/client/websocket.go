package client

import "k8s.io/streaming/pkg/httpstream"

// NoWebSocket tells whether a stream failed since something in between does not know WebSocket, so
// that SPDY is to be tried, as kubectl does (https://kep.k8s.io/4006). The function like it in
// k8s.io/apimachinery does not know the errors of client-go's WebSocket dialers.
func NoWebSocket(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}
