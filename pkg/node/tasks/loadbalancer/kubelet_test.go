package loadbalancer

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

const (
	vip, balanced = "https://10.0.0.100:6443", "https://10.0.0.100:8443"
	conf          = "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: SERVER, certificate-authority-data: Y2E=}\ncontexts:\n- name: x\n  context: {cluster: c, user: u}\n" +
		"users:\n- name: u\n  user: {client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem, client-key: /var/lib/kubelet/pki/kubelet-client-current.pem}\ncurrent-context: x\n"
	restart = "systemctl restart kubelet.service"
)

// running is what systemd says of a kubelet that was started at the beginning of time, so
// that any file is newer than it.
func running(t *testing.T) *hosttest.Commander {
	t.Helper()
	return hosttest.NewCommander(t).
		OnUnit("kubelet.service", "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled", "ExecMainStartTimestampMonotonic=1").
		On(restart, "")
}

func run(t *testing.T, h *host.Host, spec KubeletSpec) (any, error) {
	t.Helper()
	return Kubelet(context.Background(), node.Env{Host: h, Progress: func(string, ...any) {}}, spec)
}

// TestKubelet: a kubelet that uses one of our endpoints is pointed at the other and
// restarted; nothing else of its login changes.
func TestKubelet(t *testing.T) {
	commands := running(t)
	h := hosttest.New(t, commands)
	hosttest.Write(t, h, kubeletConf, strings.Replace(conf, "SERVER", vip, 1), 0o600)
	if data, err := run(t, h, KubeletSpec{Server: balanced, From: []string{vip}}); err != nil || data != (KubeletData{}) {
		t.Fatalf("%+v %v", data, err)
	}
	raw, err := h.ReadFile(kubeletConf)
	if err != nil || !strings.Contains(string(raw), "server: "+balanced) || !strings.Contains(string(raw), "client-key: /var/lib/kubelet") || !strings.Contains(string(raw), "Y2E=") {
		t.Errorf("%v\n%s", err, raw)
	}
	if !slices.Equal(commands.Lines(), []string{restart}) {
		t.Error(commands.Lines())
	}
}

// TestKubeletKept: an endpoint that somebody else chose stays, and so does the kubelet.
func TestKubeletKept(t *testing.T) {
	commands := running(t)
	h := hosttest.New(t, commands)
	hosttest.Write(t, h, kubeletConf, strings.Replace(conf, "SERVER", "https://lb.example:443", 1), 0o600)
	data, err := run(t, h, KubeletSpec{Server: balanced, From: []string{vip}})
	if err != nil || data.(KubeletData).Kept != "https://lb.example:443" || len(commands.Lines()) > 0 {
		t.Errorf("%+v %v %v", data, err, commands.Lines())
	}
}

// TestKubeletFails: without a login that can be read nothing is touched.
func TestKubeletFails(t *testing.T) {
	for name, content := range map[string]string{"missing": "", "damaged": "{", "no context": "apiVersion: v1\nkind: Config\n"} {
		t.Run(name, func(t *testing.T) {
			commands := running(t)
			h := hosttest.New(t, commands)
			if content != "" {
				hosttest.Write(t, h, kubeletConf, content, 0o600)
			}
			if _, err := run(t, h, KubeletSpec{Server: balanced, From: []string{vip}}); err == nil || len(commands.Lines()) > 0 {
				t.Errorf("%v %v", err, commands.Lines())
			}
		})
	}
}
