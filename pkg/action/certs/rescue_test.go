package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/registry"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/transport"
)

// hosts are directories with files, on which the real agent runs the real tasks.
type hosts struct {
	t        *testing.T
	roots    map[string]string
	commands map[string]*hosttest.Commander
	mu       sync.Mutex
	// done are "task host", in order.
	done []string
	// onReady, when set, is called when an apiserver is ready.
	onReady func()
	// away can't be reached.
	away map[string]bool
}

func (hs *hosts) Run(ctx context.Context, name string, req node.Request, sink report.Sink) (node.Result, error) {
	hs.mu.Lock()
	hs.done = append(hs.done, req.Task+" "+name)
	away := hs.away[name]
	hs.mu.Unlock()
	if away || hs.roots[name] == "" {
		return node.Result{}, errors.New("no route to host")
	}
	raw, err := json.Marshal(req)
	if err != nil {
		return node.Result{}, err
	}
	a := node.Agent{Tasks: registry.All(), Root: hs.roots[name], Commands: hs.commands[name]}
	return a.Run(ctx, raw, nil, sink), nil
}

// cluster has a control plane, three members on hosts of their own, and a worker.
func newCluster() *v1alpha1.Cluster {
	// Whoever runs the same tests at the same time has other addresses for its members.
	network := fmt.Sprintf("127.%d.%d.", 64+os.Getpid()%128, os.Getpid()/128%256)
	c := &v1alpha1.Cluster{Metadata: v1alpha1.Metadata{Name: "lab"}, Spec: v1alpha1.ClusterSpec{KubernetesVersion: "v1.36.3", VirtualIP: network + "100", Hosts: []v1alpha1.Host{
		{Name: "cp1", Address: network + "1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane}},
		{Name: "w1", Address: network + "21", Roles: []v1alpha1.Role{v1alpha1.RoleWorker}},
	}}}
	for i := range 3 {
		c.Spec.Hosts = append(c.Spec.Hosts, v1alpha1.Host{Name: fmt.Sprintf("e%d", i+1), Address: fmt.Sprintf("%s%d", network, 11+i), Roles: []v1alpha1.Role{v1alpha1.RoleEtcd}})
	}
	c.SetDefaults()
	return c
}

// ended makes certificates that have ended, or end in a while.
type maker struct {
	t    *testing.T
	life time.Duration
}

func (m maker) issue(ca pki.KeyPair, r pki.Request) pki.KeyPair {
	m.t.Helper()
	r.Validity = m.life
	pair, err := pki.Issue(ca, r)
	if err != nil {
		m.t.Fatal(err)
	}
	return pair
}

func write(t *testing.T, root, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(path.Dir(root+file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writePair(t *testing.T, root, file string, pair pki.KeyPair) {
	t.Helper()
	write(t, root, file+".crt", pair.CertPEM)
	if len(pair.KeyPEM) > 0 {
		write(t, root, file+".key", pair.KeyPEM)
	}
}

const (
	pkiDir  = "/etc/kubernetes/pki"
	kubelet = "/var/lib/kubelet/pki/kubelet-client-"
)

// newHosts makes the files of all hosts, with certificates of a life.
func newHosts(t *testing.T, c *v1alpha1.Cluster, etcdCA pki.KeyPair, life time.Duration) *hosts {
	t.Helper()
	hs := &hosts{t: t, roots: map[string]string{}, commands: map[string]*hosttest.Commander{}, away: map[string]bool{}}
	m := maker{t, life}
	ca, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	var initial []string
	for _, h := range c.EtcdMembers() {
		initial = append(initial, h.Name+"=https://"+h.Address+":2380")
	}
	for _, h := range c.Spec.Hosts {
		root := t.TempDir()
		hs.roots[h.Name], hs.commands[h.Name] = root, hosttest.NewCommander(t)
		hs.commands[h.Name].OnUnit("kubelet.service", "LoadState=loaded", "ActiveState=failed", "UnitFileState=enabled").
			On("systemctl reset-failed kubelet.service", "").On("systemctl start kubelet.service", "")
		write(t, root, "/proc/stat", []byte("btime 1\n"))
		if h.Has(v1alpha1.RoleEtcd) {
			writePair(t, root, "/etc/etcd/pki/ca", pki.KeyPair{CertPEM: etcdCA.CertPEM})
			for _, name := range []string{"server", "peer"} {
				writePair(t, root, "/etc/etcd/pki/"+name, m.issue(etcdCA, pki.Request{CommonName: h.Name, IPs: []net.IP{net.ParseIP(h.Address), net.IPv4(127, 0, 0, 1)}, Server: true, Client: true}))
			}
			write(t, root, "/etc/etcd/etcd.env", fmt.Appendf(nil, "ETCD_ADVERTISE_CLIENT_URLS=%q\nETCD_INITIAL_ADVERTISE_PEER_URLS=%q\nETCD_INITIAL_CLUSTER=%q\n",
				"https://"+h.Address+":2379", "https://"+h.Address+":2380", strings.Join(initial, ",")))
			continue
		}
		login := m.issue(ca, pki.Request{CommonName: "system:node:" + h.Name, Organization: []string{"system:nodes"}, Client: true})
		write(t, root, kubelet+"2026-01-01-00-00-00.pem", append(slices.Clone(login.CertPEM), login.KeyPEM...))
		if err := os.Symlink(path.Base(kubelet)+"2026-01-01-00-00-00.pem", root+kubelet+"current.pem"); err != nil {
			t.Fatal(err)
		}
		writePair(t, root, pkiDir+"/ca", pki.KeyPair{CertPEM: ca.CertPEM})
		if !h.Has(v1alpha1.RoleControlPlane) {
			continue
		}
		writePair(t, root, pkiDir+"/ca", ca)
		writePair(t, root, pkiDir+"/etcd/ca", pki.KeyPair{CertPEM: etcdCA.CertPEM})
		writePair(t, root, pkiDir+"/apiserver-etcd-client", m.issue(etcdCA, pki.Request{CommonName: "kube-apiserver-etcd-client", Client: true}))
		writePair(t, root, pkiDir+"/apiserver", m.issue(ca, pki.Request{CommonName: "kube-apiserver", Server: true, IPs: []net.IP{net.ParseIP(h.Address)}}))
		for _, name := range []string{certs.Admin, certs.Scheduler} {
			writeConfig(t, root, name, m.issue(ca, pki.Request{CommonName: name, Client: true}))
		}
		write(t, root, "/etc/kubernetes/manifests/kube-apiserver.yaml", fmt.Appendf(nil, "    - --advertise-address=%s\n    - --secure-port=6443\n    - --etcd-servers=%s\n", h.Address, strings.Join(c.EtcdEndpoints(), ",")))
	}
	return hs
}

func writeConfig(t *testing.T, root, name string, pair pki.KeyPair) {
	t.Helper()
	c := api.NewConfig()
	c.Clusters["k"] = &api.Cluster{Server: "https://127.0.0.1:1"}
	c.AuthInfos["u"] = &api.AuthInfo{ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM}
	c.Contexts["c"], c.CurrentContext = &api.Context{Cluster: "k", AuthInfo: "u"}, "c"
	raw, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, "/etc/kubernetes/"+name, raw)
}

func newCA(t *testing.T) pki.KeyPair {
	t.Helper()
	ca, err := pki.NewCA("lab etcd CA", 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// kept is a state directory with etcd's CA.
func kept(t *testing.T, etcdCA pki.KeyPair) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := pki.OpenStore(dir)
	if err == nil {
		err = store.Keep(t.Context(), "etcd", etcdCA)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// startEtcd runs a real member on a host's files, and returns what ends it.
func startEtcd(t *testing.T, binary, root string, h v1alpha1.Host, c *v1alpha1.Cluster) (stop func()) {
	t.Helper()
	var initial []string
	for _, m := range c.EtcdMembers() {
		initial = append(initial, m.Name+"=https://"+m.Address+":2380")
	}
	in := func(name string) string { return root + "/etc/etcd/pki/" + name }
	client, peer := "https://"+h.Address+":2379", "https://"+h.Address+":2380"
	cmd := exec.Command(binary, "--name="+h.Name, "--data-dir="+root+"/data", "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster="+strings.Join(initial, ","),
		"--cert-file="+in("server.crt"), "--key-file="+in("server.key"), "--trusted-ca-file="+in("ca.crt"), "--client-cert-auth",
		"--peer-cert-file="+in("peer.crt"), "--peer-key-file="+in("peer.key"), "--peer-trusted-ca-file="+in("ca.crt"), "--peer-client-cert-auth")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // It is killed: how it ends is of no interest.
	t.Cleanup(stop)
	return stop
}

// founded is a cluster of real members that was well once, with certificates that have ended
// since, and that was restarted then.
func founded(t *testing.T, binary string, c *v1alpha1.Cluster, etcdCA pki.KeyPair) *hosts {
	t.Helper()
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	good := newHosts(t, c, etcdCA, time.Hour)
	var stops []func()
	for _, h := range c.EtcdMembers() {
		stops = append(stops, startEtcd(t, binary, good.roots[h.Name], h, c))
	}
	login := maker{t, time.Hour}.issue(etcdCA, pki.Request{CommonName: "test", Client: true})
	client, err := etcd.Connect(t.Context(), c.EtcdEndpoints(), etcd.TLS{CA: etcdCA.CertPEM, Cert: login.CertPEM, Key: login.KeyPEM})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.WaitHealthy(t.Context(), 2*time.Minute, nil)
	if err := errors.Join(err, client.Close()); err != nil {
		t.Fatal(err)
	}
	for _, stop := range stops {
		stop()
	}
	for _, h := range c.EtcdMembers() {
		if err := os.Rename(good.roots[h.Name]+"/data", hs.roots[h.Name]+"/data"); err != nil {
			t.Fatal(err)
		}
		startEtcd(t, binary, hs.roots[h.Name], h, c)
	}
	return hs
}

func (hs *hosts) rescue(t *testing.T, o Options) (Result, error) {
	t.Helper()
	r := rescuer{Options: o, sink: report.SinkFunc(func(report.Event) {}), api: func(context.Context) *rest.Config { return o.Config }, result: Result{Renewed: map[string]certs.Data{}},
		ready: func(_ context.Context, _ transport.Runner, _ *v1alpha1.Cluster, h v1alpha1.Host, _ report.Sink) error {
			hs.mu.Lock()
			defer hs.mu.Unlock()
			hs.done = append(hs.done, "ready "+h.Name)
			if hs.onReady != nil {
				hs.onReady()
			}
			return nil
		}}
	return r.run(t.Context())
}

// TestRescueOfWhatHasEnded: all certificates of a cluster have ended, and all its etcd members
// were restarted since, so that none finds another and there is no API. One call brings back
// real members, and everybody's login, in the right order.
func TestRescueOfWhatHasEnded(t *testing.T) {
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	c, etcdCA := newCluster(), newCA(t)
	hs := founded(t, binary, c, etcdCA)
	r, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, StateDir: kept(t, etcdCA), Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, d := range hs.done {
		if task, _, _ := strings.Cut(d, " "); slices.Contains([]string{tasks.InstallCertificates, tasks.RenewCertificates, tasks.EtcdHealth, "ready"}, task) {
			order = append(order, d)
		}
	}
	if got, want := strings.Join(order, ", "), "install-certificates e1, install-certificates e2, install-certificates e3, etcd-health e1, "+
		"renew-certificates cp1, install-certificates cp1, renew-certificates cp1, ready cp1, install-certificates w1"; got != want {
		t.Errorf("done in the order\n%s, not\n%s", got, want)
	}
	var names []string
	for _, x := range r.Renewed["cp1"].Renewed {
		names = append(names, x.Name)
	}
	if got := fmt.Sprint(names); got != "[kubelet apiserver-etcd-client apiserver admin.conf scheduler.conf]" {
		t.Errorf("renewed on cp1 are %s", got)
	}
	for _, h := range c.Spec.Hosts {
		found := certs.Find(hostAt(t, hs.roots[h.Name]), time.Now())
		for _, x := range found.Certificates {
			if x.Name != "" && (x.NotAfter.Before(time.Now()) || x.KeyState != certs.KeyFits) {
				t.Errorf("%s: %s ends at %s, its key %s", h.Name, x.File, x.NotAfter, x.KeyState)
			}
		}
	}
	// Nothing is left to do, and nothing is done.
	hs.done = nil
	if r, err = hs.rescue(t, Options{Cluster: c, Hosts: hs, StateDir: kept(t, etcdCA)}); err != nil || len(r.Renewed) > 0 || slices.ContainsFunc(hs.done, func(d string) bool { return !strings.HasPrefix(d, tasks.Certificates+" ") }) {
		t.Errorf("a second time: %+v %v %v", r, err, hs.done)
	}
}

// TestRescueWithAMemberAway: two of three members are enough, and nothing waits for the third.
func TestRescueWithAMemberAway(t *testing.T) {
	binary := os.Getenv("ETCD")
	if binary == "" {
		t.Skip("ETCD does not name an etcd binary")
	}
	c, etcdCA := newCluster(), newCA(t)
	hs := founded(t, binary, c, etcdCA)
	hs.away["e1"] = true
	_, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, StateDir: kept(t, etcdCA), Life: time.Hour})
	if err == nil || err.Error() != "cannot inspect e1: no route to host" || !slices.Contains(hs.done, tasks.EtcdHealth+" e2") {
		t.Errorf("%v %v", err, hs.done)
	}
}

func hostAt(t *testing.T, root string) *host.Host {
	t.Helper()
	h, err := host.Open(host.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestRescueOfOneHost: a worker that was away when its login ended is helped, by the CA on a
// control plane, and nobody else is touched.
func TestRescueOfOneHost(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	r, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, Only: []string{"w1"}})
	if err != nil || len(r.Renewed) != 1 || len(r.Renewed["w1"].Renewed) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if got := fmt.Sprint(hs.done); got != "[certificates w1 certificate-requests w1 sign-certificates cp1 install-certificates w1]" {
		t.Error(got)
	}
}

// TestLogins: who is helped over SSH alone has to be signed for on a control plane.
func TestLogins(t *testing.T) {
	for _, tc := range []struct {
		only          []string
		rescue, inUse string
	}{
		{nil, "cp1 w1 e1 e2 e3", "e1 e2 e3"},
		{[]string{"w1"}, "cp1 w1", ""},
		{[]string{"e2"}, "e2", "e2"},
		{[]string{"cp1"}, "cp1", ""},
		{[]string{"w9"}, "", ""},
	} {
		o := Options{Cluster: newCluster(), Only: tc.only}
		names := func(hosts []v1alpha1.Host) string {
			var out []string
			for _, h := range hosts {
				out = append(out, h.Name)
			}
			return strings.Join(out, " ")
		}
		if r, u := names(o.LoginsOfRescue()), names(o.LoginsInUse()); r != tc.rescue || u != tc.inUse {
			t.Errorf("%v: rescue logs in to %q, others to %q", tc.only, r, u)
		}
	}
}

// TestRescueOfAHostThatLies: one that shows another node's login is not helped to it.
func TestRescueOfAHostThatLies(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	stolen, err := os.ReadFile(hs.roots["cp1"] + kubelet + "current.pem")
	if err != nil {
		t.Fatal(err)
	}
	write(t, hs.roots["w1"], kubelet+"current.pem", stolen)
	_, err = hs.rescue(t, Options{Cluster: c, Hosts: hs, Only: []string{"w1"}})
	if err == nil || !strings.Contains(err.Error(), "the login of the kubelet of cp1") || !strings.Contains(err.Error(), "next: ") || slices.Contains(hs.done, tasks.SignCertificates+" cp1") {
		t.Errorf("%v %v", err, hs.done)
	}
}

// TestRescueDoesWhatItCan: without etcd's CA, or with hosts that are away, the rest is done all
// the same, and what is missing is said.
func TestRescueDoesWhatItCan(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	hs.away["e2"] = true
	r, err := hs.rescue(t, Options{Cluster: c, Hosts: hs, StateDir: t.TempDir() + "/none"})
	if err == nil || !strings.Contains(err.Error(), "cannot inspect e2: no route to host") || !strings.Contains(err.Error(), "etcd-server of e1: the key of the etcd CA is not on this machine") ||
		!strings.Contains(err.Error(), "apiserver-etcd-client of cp1: the key of the etcd CA") || action.KindOf(err) != action.Unreachable {
		t.Errorf("%v", err)
	}
	if len(r.Renewed["cp1"].Renewed) != 4 || len(r.Renewed["w1"].Renewed) != 1 || len(r.Renewed["e1"].Renewed) != 0 {
		t.Errorf("%+v", r.Renewed)
	}
}

// TestRescueSaysWhatToDo: what a host says to do about a failure is said.
func TestRescueSaysWhatToDo(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	other, err := pki.NewCA("kubernetes", 0)
	if err != nil {
		t.Fatal(err)
	}
	writePair(t, hs.roots["cp1"], pkiDir+"/apiserver", maker{t, time.Millisecond}.issue(other, pki.Request{CommonName: "kube-apiserver", Server: true}))
	_, err = hs.rescue(t, Options{Cluster: c, Hosts: hs, Only: []string{"cp1"}, StateDir: kept(t, etcdCA)})
	if err == nil || !strings.Contains(err.Error(), "apiserver of cp1: another CA (kubernetes) has signed it") || !strings.Contains(err.Error(), "have its successor signed there") {
		t.Errorf("%v", err)
	}
}

// TestRescueIsInterrupted: nothing is begun after a signal, and no errors are made up of it.
func TestRescueIsInterrupted(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Millisecond)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("interrupted")
	r := rescuer{Options: Options{Cluster: c, Hosts: hs, StateDir: kept(t, etcdCA)}, api: func(context.Context) *rest.Config { return nil }, result: Result{Renewed: map[string]certs.Data{}}}
	r.sink = report.SinkFunc(func(e report.Event) {
		if e.Kind == report.StepStarted {
			cancel(gone)
		}
	})
	_, err := r.run(ctx)
	if !errors.Is(err, gone) || strings.Contains(err.Error(), "cp1") {
		t.Errorf("%v", err)
	}
	for _, d := range hs.done {
		if !strings.HasPrefix(d, tasks.Certificates+" ") && !strings.HasSuffix(d, " e1") {
			t.Errorf("%s after the signal", d)
		}
	}
}

func TestRescueRefuses(t *testing.T) {
	c, etcdCA := newCluster(), newCA(t)
	hs := newHosts(t, c, etcdCA, time.Hour)
	for want, o := range map[string]Options{
		"there is no host to log in to": {Cluster: c},
		"no host w9":                    {Cluster: c, Hosts: hs, Only: []string{"w9"}},
		"no certificate called":         {Cluster: c, Hosts: hs, Names: []string{"ca"}},
		"either all":                    {Cluster: c, Hosts: hs, Names: []string{certs.APIServer}, All: true},
		"cannot be negative":            {Cluster: c, Hosts: hs, Life: -1},
		"at most":                       {Cluster: c, Hosts: hs, Life: 10 * pki.DefaultValidity},
		"the CA:":                       {Cluster: c, Hosts: hs, CAs: []pki.KeyPair{{CertPEM: etcdCA.CertPEM}}},
	} {
		if _, err := hs.rescue(t, o); err == nil || !strings.Contains(err.Error(), want) || action.KindOf(err) != action.Invalid {
			t.Errorf("%s: %v", want, err)
		}
	}
	if len(hs.done) > 0 {
		t.Errorf("all the same: %v", hs.done)
	}
}
