package upgrade

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	oldVersion, newVersion = "v1.35.4", "v1.36.3"

	runtimeSocket = "--container-runtime-endpoint=unix:///run/containerd/containerd.sock"

	applyLine  = ReleasesDir + "/" + newVersion + "/kubeadm upgrade apply --config /dev/stdin --yes"
	nodeLine   = ReleasesDir + "/" + newVersion + "/kubeadm upgrade node --config /dev/stdin"
	configLine = ReleasesDir + "/" + newVersion + "/kubeadm upgrade node phase kubelet-config --config /dev/stdin"
)

var errKilled = errors.New("killed")

// world is a host with a kubelet, on a control plane with static pods, a kubeadm
// that does what the real one does to files, and a strict fake of all commands.
type world struct {
	*hosttest.Commander
	t      *testing.T
	root   string
	server *httptest.Server
	ca     pki.KeyPair
	// left is how many looks and steps are left until all is ended; negative is over.
	left int
	pid  int
	// restarts counts those of the kubelet.
	restarts int
	// back is true while the kubelet would be started by a timer.
	back bool
	// ended says what of the apiserver was ended in order, and failEnd why it can't be.
	ended   []string
	failEnd error
}

func newWorld(t *testing.T, controlPlane bool) *world {
	t.Helper()
	w := &world{Commander: hosttest.NewCommander(t), t: t, root: inMemory(t), left: 1 << 30}
	w.serve()
	w.put("/proc/1/comm", "systemd\n")
	for _, name := range binaries {
		w.put(binDir+"/"+name, name+" "+oldVersion)
	}
	w.release(newVersion, nil)
	w.put(kubeletConfig, w.kubeletConfig(oldVersion))
	w.put(kubeletFlags, `KUBELET_KUBEADM_ARGS="`+runtimeSocket+`"`)
	w.put("/agent", "the agent")
	if controlPlane {
		for _, c := range components {
			w.put(manifest(c), pod(c, oldVersion))
		}
		w.put(pkiDir+"/ca.crt", string(w.ca.CertPEM))
		w.put(pkiDir+"/ca.key", string(w.ca.KeyPEM))
		w.put(pkiDir+"/sa.pub", "pub")
		w.putPair("apiserver", w.issue())
		for _, file := range kubeconfigs {
			w.put(file, w.kubeconfig(w.issue()))
		}
	}
	w.pid = 100
	w.runKubelet()
	w.OnFunc("systemctl restart kubelet.service", w.restart)
	w.BackTimer("not-found", "inactive")
	w.OnFunc("systemctl stop "+BackTimer, func(host.Command) (host.Output, error) {
		w.BackTimer("not-found", "inactive")
		return host.Output{}, nil
	})
	w.OnFunc("systemd-run --collect --unit=kubectl-ha-kubelet-back --on-active=90 systemctl start kubelet.service", func(host.Command) (host.Output, error) {
		w.BackTimer("loaded", "active")
		return host.Output{}, nil
	})
	w.OnFunc("systemctl stop kubelet.service", func(host.Command) (host.Output, error) {
		w.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState=inactive", "SubState=dead", "UnitFileState=enabled", "MainPID=0")
		return host.Output{}, nil
	})
	w.OnFunc("systemctl start kubelet.service", w.restart)
	w.OnFunc(binDir+"/kubelet --version", func(host.Command) (host.Output, error) {
		_, version, _ := strings.Cut(w.read(binDir+"/kubelet"), " ")
		return host.Output{Stdout: []byte("Kubernetes " + strings.Fields(version)[0] + "\n")}, nil
	})
	w.guardState("not-found", "")
	w.OnFunc("systemctl daemon-reload", func(host.Command) (host.Output, error) { w.guardState("loaded", "disabled"); return host.Output{}, nil })
	w.OnFunc("systemctl enable "+guardUnit, func(host.Command) (host.Output, error) { w.guardState("loaded", "enabled"); return host.Output{}, nil })
	w.OnFunc("systemctl disable "+guardUnit, func(host.Command) (host.Output, error) {
		w.guardState("loaded", "disabled")
		return host.Output{}, nil
	})
	w.On("journalctl --unit kubelet.service --lines 40 --no-pager --output cat", "the kubelet's last words")
	w.OnFunc(applyLine, func(c host.Command) (host.Output, error) { return w.kubeadm(c, true, true) })
	w.OnFunc(nodeLine, func(c host.Command) (host.Output, error) { return w.kubeadm(c, true, true) })
	w.OnFunc(configLine, func(c host.Command) (host.Output, error) { return w.kubeadm(c, false, true) })
	return w
}

// inMemory is a directory in memory where there is one: some hundred hosts, each
// of whose changes waits for the disk, take minutes on a busy one.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kubectl-ha-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// serve is the apiserver's /readyz and the kubelet's /healthz.
func (w *world) serve() {
	var err error
	if w.ca, err = pki.NewCA("kubernetes", time.Hour); err != nil {
		w.t.Fatal(err)
	}
	serving := w.issue()
	pair, err := tls.X509KeyPair(serving.CertPEM, serving.KeyPEM)
	if err != nil {
		w.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(w.ca.CertPEM)
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.t.Errorf("the apiserver was asked for %s", r.URL.Path)
		}
	}))
	w.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	w.server.StartTLS()
	w.t.Cleanup(w.server.Close)
}

// kubeletHealth serves the running kubelet's health: one whose program says that it
// is broken is not well.
func (w *world) kubeletHealth() string {
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		raw, err := os.ReadFile(filepath.Join(w.root, "proc", strconv.Itoa(w.pid), "exe"))
		if err != nil || strings.Contains(string(raw), "broken") {
			out.WriteHeader(http.StatusInternalServerError)
		}
	}))
	w.t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	return port
}

func (w *world) kubeletConfig(version string) string {
	return "kind: KubeletConfiguration\nhealthzPort: 0\n# " + version + "\n"
}

func pod(component, version string) string {
	return "kind: Pod\nspec:\n  containers:\n  - name: " + component + "\n    image: registry.example.com:5000/" + component + ":" + version + "\n"
}

func (w *world) issue() pki.KeyPair {
	pair, err := pki.Issue(w.ca, pki.Request{CommonName: "x", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true, Validity: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	return pair
}

func (w *world) putPair(name string, p pki.KeyPair) {
	w.put(pkiDir+"/"+name+".crt", string(p.CertPEM))
	w.put(pkiDir+"/"+name+".key", string(p.KeyPEM))
}

func (w *world) kubeconfig(p pki.KeyPair) string {
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: w.server.URL, CertificateAuthorityData: w.ca.CertPEM}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: p.CertPEM, ClientKeyData: p.KeyPEM}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	c.CurrentContext = "x"
	raw, err := clientcmd.Write(*c)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

// release puts a version's binaries on the host; content replaces that of some.
func (w *world) release(version string, content map[string]string) {
	sums := map[string]string{}
	for _, name := range binaries {
		text := name + " " + version
		if c, ok := content[name]; ok {
			text = c
		}
		w.put(ReleasesDir+"/"+version+"/"+name, text)
		digest := sha256.Sum256([]byte(text))
		sums[name] = hex.EncodeToString(digest[:])
	}
	raw, err := json.Marshal(sums)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(ReleasesDir+"/"+version+"/manifest.json", string(raw))
}

// put writes a file past the gate and in place, as other programs do.
func (w *world) put(path, content string) {
	w.t.Helper()
	real := filepath.Join(w.root, path)
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) there(path string) bool {
	_, err := os.Lstat(filepath.Join(w.root, path))
	return err == nil
}

func (w *world) read(path string) string {
	raw, err := os.ReadFile(filepath.Join(w.root, path))
	if err != nil {
		return "(none)"
	}
	return string(raw)
}

func (w *world) remove(path string) {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.root, path)); err != nil {
		w.t.Fatal(err)
	}
}

// runKubelet makes the process of the kubelet that is installed now.
func (w *world) runKubelet() {
	w.pid++
	w.put(fmt.Sprintf("/proc/%d/comm", w.pid), "kubelet\n")
	if err := os.Link(filepath.Join(w.root, binDir, "kubelet"), filepath.Join(w.root, "proc", strconv.Itoa(w.pid), "exe")); err != nil {
		w.t.Fatal(err)
	}
	w.OnUnit(kubeletUnit, "LoadState=loaded", "ActiveState=active", "SubState=running", "UnitFileState=enabled", "MainPID="+strconv.Itoa(w.pid))
}

func (w *world) restart(host.Command) (host.Output, error) {
	w.restarts++
	w.runKubelet()
	return host.Output{}, nil
}

func (w *world) BackTimer(load, active string) {
	w.back = active == "active"
	w.OnUnit(BackTimer, "LoadState="+load, "ActiveState="+active, "UnitFileState=transient")
}

func (w *world) guardState(load, file string) {
	w.OnUnit(guardUnit, "LoadState="+load, "ActiveState=inactive", "UnitFileState="+file)
}

// boot is what a boot does: processes are gone, the guard runs when it is
// enabled, and then the kubelet starts.
func (w *world) boot() {
	w.t.Helper()
	w.left = 1 << 30
	w.BackTimer("not-found", "inactive")
	if w.there(guardUnitPath) && w.there(guardRequest) {
		if _, err := Mend(w.t.Context(), w.env(), MendSpec{}); err != nil {
			w.t.Fatalf("at boot: %v", err)
		}
	}
	w.runKubelet()
}

// step is a moment at which everything may end.
func (w *world) step() bool {
	w.left--
	return w.left >= 0
}

// kubeadm does to files what kubeadm upgrade does, each in as many steps as the
// real one takes, and without care for being cut off.
func (w *world) kubeadm(c host.Command, pods, config bool) (host.Output, error) {
	if !strings.Contains(string(c.Stdin), "UpgradeConfiguration") {
		w.t.Error("kubeadm got no configuration")
	}
	fail := func(format string, args ...any) (host.Output, error) {
		out := host.Output{Stdout: []byte("error: " + fmt.Sprintf(format, args...)), ExitCode: 1}
		return out, &host.CommandError{Argv: c.Argv, Output: out, Err: errors.New("exit status 1")}
	}
	var steps []func()
	// kubeadm upgrade node takes a host for a worker when this one is missing.
	if pods && (w.there(manifest(components[0])) || c.Argv[2] == "apply") {
		for _, component := range components {
			if !w.there(manifest(component)) {
				return fail("%s is missing", component)
			}
			steps = append(steps, w.podSteps(component)...)
		}
		admin := w.kubeconfig(w.issue())
		steps = append(steps, func() { w.put(adminConf, admin[:len(admin)/2]) }, func() { w.put(adminConf, admin) })
	}
	if config {
		steps = append(steps, w.configSteps()...)
	}
	for _, s := range steps {
		if !w.step() {
			return host.Output{}, &host.CommandError{Argv: c.Argv, Err: errKilled}
		}
		s()
	}
	return host.Output{}, nil
}

func (w *world) podSteps(component string) []func() {
	if strings.HasSuffix(strings.TrimSpace(w.read(manifest(component))), newVersion) {
		return nil
	}
	var steps []func()
	if component == components[0] {
		p := w.issue()
		steps = append(steps, func() { w.put(pkiDir+"/apiserver.key", "") }, func() { w.put(pkiDir+"/apiserver.key", string(p.KeyPEM)) },
			func() { w.put(pkiDir+"/apiserver.crt", string(p.CertPEM)) })
	}
	return append(steps, func() { w.remove(manifest(component)) }, func() { w.put(manifest(component), pod(component, newVersion)) })
}

func (w *world) configSteps() []func() {
	var steps []func()
	if !w.there(instanceConfig) {
		// Of the flags it takes out the runtime's socket alone.
		rest := strings.Replace(w.read(kubeletFlags), runtimeSocket, "", 1)
		steps = append(steps, func() { w.put(kubeletFlags, "") }, func() { w.put(kubeletFlags, rest) },
			func() { w.put(instanceConfig, "") }, func() { w.put(instanceConfig, "kind: KubeletConfiguration\n# instance\n") })
	}
	return append(steps, func() { w.put(kubeletConfig, "") }, func() { w.put(kubeletConfig, w.kubeletConfig(newVersion)) })
}

// env opens the host anew, as every agent does.
func (w *world) env(options ...hosttest.Options) node.Env {
	w.t.Helper()
	return node.Env{Host: hosttest.Open(w.t, w.root, w, options...), Progress: func(string, ...any) {}}
}

// mortal is a context that ends when the world's steps are used up, and with it
// whoever looks at it, before the change that was to come.
type mortal struct {
	context.Context
	w *world
}

func (m mortal) Err() error {
	if !m.w.step() {
		return errKilled
	}
	return nil
}

func (w *world) upgrader() upgrader {
	// Who was killed does nothing more, whatever he had in mind for the end of his time.
	beyond := func(ctx context.Context) context.Context { return mortal{context.WithoutCancel(ctx), w} }
	return upgrader{program: filepath.Join(w.root, "agent"), kubeletReady: 2 * time.Second, beyond: beyond, endPod: func(_ context.Context, socket string) error {
		if !w.back {
			w.t.Error("the kubelet is stopped, and nobody would start it again")
		}
		w.ended = append(w.ended, socket)
		return w.failEnd
	}}
}

func (w *world) controlPlaneSpec(first bool) ControlPlaneSpec {
	return ControlPlaneSpec{Version: newVersion, First: first, Config: []byte("kind: UpgradeConfiguration"), LocalEndpoint: w.server.URL,
		Patches: map[string]string{"kube-apiserver0+merge.yaml": "{}"}}
}

func (w *world) kubeletSpec(controlPlane bool) KubeletSpec {
	return KubeletSpec{Version: newVersion, ControlPlane: controlPlane, Config: []byte("kind: UpgradeConfiguration")}
}

// upgrade runs the tasks of a whole node.
func (w *world) upgrade(controlPlane bool) (Data, Data, error) {
	w.t.Helper()
	ctx := mortal{w.t.Context(), w}
	var pods, kubelet any = Data{}, Data{}
	var err error
	if controlPlane {
		if pods, err = w.upgrader().controlPlane(ctx, w.env(), w.controlPlaneSpec(false)); err != nil {
			return Data{}, Data{}, err
		}
	}
	if kubelet, err = w.upgrader().kubelet(ctx, w.env(), w.kubeletSpec(controlPlane)); err != nil {
		return pods.(Data), Data{}, err
	}
	return pods.(Data), kubelet.(Data), nil
}

// state is what version each thing on the host is of.
func (w *world) state() map[string]string {
	out := map[string]string{}
	for _, c := range components {
		if v, err := podVersion([]byte(w.read(manifest(c))), c); err == nil {
			out[c] = v
		}
	}
	for _, name := range binaries {
		out[name] = strings.TrimPrefix(w.read(binDir+"/"+name), name+" ")
	}
	for _, v := range []string{oldVersion, newVersion} {
		if w.read(kubeletConfig) == w.kubeletConfig(v) {
			out["config"] = v
		}
	}
	return out
}

// isAt fails when anything on the host is of another version, or broken.
func (w *world) isAt(version, where string, controlPlane bool) {
	w.t.Helper()
	want := map[string]string{"config": version}
	for _, name := range binaries {
		want[name] = version
	}
	if controlPlane {
		for _, c := range components {
			want[c] = version
		}
	}
	if got := w.state(); !maps.Equal(got, want) {
		w.t.Errorf("%s: the host is at %v, want %s", where, got, version)
	}
	w.isWhole(where, controlPlane)
}

// isWhole fails when a file is broken: a half-written one, or a key without its certificate.
func (w *world) isWhole(where string, controlPlane bool) {
	w.t.Helper()
	if controlPlane {
		if _, err := tls.X509KeyPair([]byte(w.read(pkiDir+"/apiserver.crt")), []byte(w.read(pkiDir+"/apiserver.key"))); err != nil {
			w.t.Errorf("%s: the apiserver's certificate: %v", where, err)
		}
		for _, file := range kubeconfigs {
			if err := checkKubeconfig([]byte(w.read(file))); err != nil {
				w.t.Errorf("%s: %s: %v", where, file, err)
			}
		}
	}
	if err := checkKubeletConfig([]byte(w.read(kubeletConfig))); err != nil {
		w.t.Errorf("%s: the kubelet's configuration: %v", where, err)
	}
	// The runtime's socket is in one of the two.
	if !strings.Contains(w.read(kubeletFlags), "containerd.sock") && !strings.Contains(w.read(instanceConfig), "instance") {
		w.t.Errorf("%s: the kubelet has no runtime: %q, %q", where, w.read(kubeletFlags), w.read(instanceConfig))
	}
}

// unguarded fails when something is left that was only for the time of an upgrade.
func (w *world) unguarded(where string) {
	w.t.Helper()
	for _, path := range []string{guardUnitPath, guardRequest, guardAgent} {
		if w.there(path) {
			w.t.Errorf("%s: %s is still there", where, path)
		}
	}
	if w.back {
		w.t.Errorf("%s: a timer would still start the kubelet", where)
	}
}

// runningIs fails when the running kubelet is of another version.
func (w *world) runningIs(version, where string) {
	w.t.Helper()
	if got := w.read(fmt.Sprintf("/proc/%d/exe", w.pid)); got != "kubelet "+version {
		w.t.Errorf("%s: %q runs, want %s", where, got, version)
	}
}

// ran are the commands that changed something.
func (w *world) ran() string {
	return strings.Join(slices.DeleteFunc(w.Lines(), func(l string) bool { return strings.HasSuffix(l, " --version") }), "|")
}
