package upgrade

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

func TestProbeURL(t *testing.T) {
	head := "kind: Pod\nspec:\n  containers:\n  - name: sidecar\n    livenessProbe: {httpGet: {host: 127.0.0.1, path: /no, port: 1}}\n  - name: kube-scheduler\n    image: x:v1\n"
	for name, tt := range map[string]struct{ text, want, err string }{
		"as kubeadm writes it": {"    ports: [{containerPort: 10259, name: probe-port}]\n" +
			"    livenessProbe: {httpGet: {host: 127.0.0.1, path: /livez, port: probe-port, scheme: HTTPS}}\n" +
			"    readinessProbe: {httpGet: {host: 127.0.0.1, path: /readyz, port: probe-port, scheme: HTTPS}}\n", "https://127.0.0.1:10259/readyz", ""},
		"a port's number, no readiness": {"    livenessProbe: {httpGet: {host: 127.0.0.1, path: healthz, port: 10257, scheme: HTTPS}}\n", "https://127.0.0.1:10257/healthz", ""},
		"plain, IPv6":                   {"    livenessProbe: {httpGet: {host: \"::1\", path: /, port: 80}}\n", "http://[::1]:80/", ""},
		"no such port":                  {"    livenessProbe: {httpGet: {host: 127.0.0.1, path: /, port: gone}}\n", "", `port "gone"`},
		"a command":                     {"    livenessProbe: {exec: {command: [x]}}\n", "", ""},
		"no address of its own":         {"    livenessProbe: {httpGet: {path: /, port: 80}}\n", "", ""},
		"none":                          {"", "", ""},
		"broken":                        {"  - ][", "", "yaml"},
	} {
		got, err := probeURL([]byte(head+tt.text), "kube-scheduler")
		if got != tt.want || (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// The kubelet's task on a control plane ends once each static pod has said itself that
// it is well, and has kept to it; what it lacks is told when it never does. A run after
// that finds the kubelet as it should be, and asks again.
func TestPodsAfterKubelet(t *testing.T) {
	w := newWorld(t, true)
	var asked, ill atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		// The second answer is the one of a container that is being restarted.
		if n := asked.Add(1); n == 2 || ill.Load() == 1 {
			out.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	address, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	withProbe := fmt.Sprintf("    readinessProbe: {httpGet: {host: %s, path: /readyz, port: %s, scheme: HTTPS}}\n", address, port)
	if _, _, err := w.upgrade(true); err != nil {
		t.Fatal(err)
	}
	w.put(manifest(components[2]), pod(components[2], newVersion)+withProbe)
	if _, kubelet, err := w.upgrade(true); err != nil || !kubelet.Already || asked.Load() < 4 {
		t.Errorf("%+v, %v, asked %d times", kubelet, err, asked.Load())
	}
	ill.Store(1)
	_, _, err = w.upgrade(true)
	var f *node.Failure
	if !errors.As(err, &f) || !strings.Contains(f.Message, components[2]) || !strings.Contains(f.Message, "503") || f.Output != "the kubelet's last words" || f.Hint == "" {
		t.Errorf("%#v", err)
	}
	w.unguarded("when the static pods are not well")
}
