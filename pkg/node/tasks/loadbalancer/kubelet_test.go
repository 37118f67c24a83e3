package loadbalancer

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
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
	return pointKubelet(context.Background(), node.Env{Host: h, Progress: func(string, ...any) {}}, spec, func(context.Context, []byte) error { return nil })
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

// TestKubeletUnanswered: a kubelet stays where it is when the other endpoint does not answer.
func TestKubeletUnanswered(t *testing.T) {
	commands := running(t)
	h := hosttest.New(t, commands)
	before := strings.Replace(conf, "SERVER", vip, 1)
	hosttest.Write(t, h, kubeletConf, before, 0o600)
	_, err := pointKubelet(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, KubeletSpec{Server: balanced, From: []string{vip}},
		func(_ context.Context, access []byte) error {
			if !strings.Contains(string(access), "server: "+balanced) {
				t.Errorf("asked is what %s says", access)
			}
			return errors.New("no route to host")
		})
	if err == nil || !strings.Contains(err.Error(), "goes on using "+vip) {
		t.Errorf("%v", err)
	}
	if raw, err := h.ReadFile(kubeletConf); err != nil || string(raw) != before || len(commands.Lines()) > 0 {
		t.Errorf("%v %v\n%s", err, commands.Lines(), raw)
	}
}

// TestAnswers: an endpoint is the cluster's by the file's CA, and by the name in the URL.
func TestAnswers(t *testing.T) {
	ca, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.Issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }()
		}
	}()
	file := func(server string, ca []byte) []byte {
		text := strings.Replace(conf, "SERVER", server, 1)
		return []byte(strings.Replace(text, "Y2E=", base64.StdEncoding.EncodeToString(ca), 1))
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := answers(t.Context(), file("https://127.0.0.1:"+port, ca.CertPEM)); err != nil {
		t.Error(err)
	}
	stranger, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, access := range map[string][]byte{
		"another CA":   file("https://127.0.0.1:"+port, stranger.CertPEM),
		"another name": file("https://localhost:"+port, ca.CertPEM),
		"nobody":       file("https://127.0.0.1:1", ca.CertPEM),
		"no file":      []byte("{"),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := answers(ctx, access); err == nil {
			t.Errorf("%s: it answers", name)
		}
		cancel()
	}
}

// TestAdmin: the files for people follow, unless they name what somebody else chose, and no copy of
// the keys in them is kept.
func TestAdmin(t *testing.T) {
	h := hosttest.New(t, hosttest.NewCommander(t))
	const mine = "https://10.0.0.1:6443"
	hosttest.Write(t, h, adminFiles[0], strings.Replace(conf, "SERVER", mine, 1), 0o600)
	hosttest.Write(t, h, adminFiles[1], strings.Replace(conf, "SERVER", "https://lb.example:443", 1), 0o600)
	env := node.Env{Host: h, Progress: func(string, ...any) {}}
	for i, want := range []AdminData{
		{Changed: adminFiles[:1], Kept: map[string]string{adminFiles[1]: "https://lb.example:443"}},
		{Kept: map[string]string{adminFiles[1]: "https://lb.example:443"}},
	} {
		got, err := Admin(t.Context(), env, AdminSpec{Server: vip, From: []string{mine}})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %+v %v", i, got, err)
		}
	}
	raw, err := h.ReadFile(adminFiles[0])
	if err != nil || !strings.Contains(string(raw), "server: "+vip) {
		t.Errorf("%v\n%s", err, raw)
	}
	if kept, err := h.ReadDir(host.StateDir + "/originals"); err == nil && len(kept) > 0 {
		t.Errorf("copies are kept: %v", kept)
	}
	if got, err := Admin(t.Context(), node.Env{Host: hosttest.New(t, hosttest.NewCommander(t))}, AdminSpec{Server: vip}); err != nil || len(got.(AdminData).Changed) > 0 {
		t.Errorf("without files: %+v %v", got, err)
	}
}
