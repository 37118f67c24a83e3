package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/observe"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/reach"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// fakeHosts are hosts as the bootstrap sees them. They fail on what nobody
// expects: an unknown task, a step out of order, a CA made anew.
type fakeHosts struct {
	t *testing.T
	c *v1alpha1.Cluster
	// dir has the hosts' staging directories.
	dir string

	mu    sync.Mutex
	facts map[string]*observe.Facts
	// requests are the steps and tasks, in the order of their beginning.
	requests []string
	// clusterCAs and etcdData count what must be made once.
	clusterCAs int
	// clusterCA and frontProxyCA are the fingerprints of those in use.
	clusterCA, frontProxyCA string
	etcdData                map[string]int
	etcdCAs                 map[string]bool
	serving                 int
	// kill ends the agents that exchange blobs, and waits for it.
	kill map[string]func()
	// certs are the hosts' certificates, by "host name", and waiting the keys of the next.
	certs   map[string]pki.KeyPair
	waiting map[string][]byte
	// asksFor are certificates that hosts ask for without having been asked about.
	asksFor   []string
	listening map[string]string // address:port to token
	walls     map[string]bool   // "from>to" that is closed
	// impostors are "host:port" where somebody else answers; late are those of
	// which the host's own listeners are seen from then on.
	impostors, late map[string]bool
	caData          string
	// failAt is the step that fails: without having done anything, or with lost set
	// after having done everything but writing it down, by a lost connection.
	failAt string
	lost   bool
}

func newFakeHosts(t *testing.T, c *v1alpha1.Cluster) *fakeHosts {
	f := &fakeHosts{t: t, c: c, dir: t.TempDir(), facts: map[string]*observe.Facts{}, etcdData: map[string]int{}, etcdCAs: map[string]bool{},
		certs: map[string]pki.KeyPair{}, waiting: map[string][]byte{},
		kill: map[string]func(){}, listening: map[string]string{}, walls: map[string]bool{}, impostors: map[string]bool{}, late: map[string]bool{}}
	for _, h := range c.Spec.Hosts {
		facts := bare(c, h).Facts
		facts.Binaries, facts.Images, facts.Listeners = map[string]string{}, map[string]string{}, map[int32]string{}
		f.facts[h.Name] = &facts
	}
	return f
}

var errLost = errors.New("connection lost")

func (f *fakeHosts) Run(ctx context.Context, name string, req node.Request, sink report.Sink) (node.Result, error) {
	f.mu.Lock()
	f.requests = append(f.requests, req.Step)
	facts, fail := f.facts[name], f.failAt == req.Step
	f.mu.Unlock()
	if facts == nil || req.Cluster != f.c.Metadata.Name || req.Timeout == 0 {
		f.t.Errorf("a request that nobody expected: %s on %q, %+v", req.Step, name, req.Task)
		return node.Result{}, errors.New("unexpected")
	}
	if fail && !f.lost {
		return node.Result{Failure: &node.Failure{Message: "injected", Output: "all of it", Hint: "try again"}}, nil
	}
	data, changed, err := f.do(ctx, name, facts, req, sink)
	if err != nil {
		return node.Result{Failure: &node.Failure{Message: err.Error()}}, nil
	}
	if fail {
		return node.Result{}, errLost
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !readOnly(req.Task) {
		if facts.Ours == nil {
			facts.Ours = &observe.Ours{Cluster: req.Cluster}
		}
		if !slices.Contains(facts.Ours.Done, req.Task) {
			facts.Ours.Done = append(facts.Ours.Done, req.Task)
		}
		if facts.Ours.Settings == nil {
			facts.Ours.Settings = map[string]string{}
		}
		facts.Ours.Settings[req.Task] = req.Settings
	}
	res := node.Result{}
	if changed {
		res.Changes = []host.Change{{Action: "create", Target: req.Task}}
	}
	res.Data, err = json.Marshal(data)
	return res, err
}

func decode[S any](f *fakeHosts, raw json.RawMessage) S {
	var spec S
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		f.t.Errorf("spec: %v", err)
	}
	return spec
}

func (f *fakeHosts) do(ctx context.Context, name string, facts *observe.Facts, req node.Request, sink report.Sink) (data any, changed bool, err error) {
	if req.Task == tasks.Listen {
		return f.listen(ctx, name, decode[reach.ListenSpec](f, req.Spec), sink)
	}
	switch req.Task {
	case tasks.Prepare:
		return f.prepare(ctx, name, facts, decode[prepare.Spec](f, req.Spec))
	case tasks.Images:
		return f.images(ctx, name, facts, decode[prepare.ImagesSpec](f, req.Spec))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !readOnly(req.Task) && facts.Ours == nil {
		facts.Ours = &observe.Ours{Cluster: req.Cluster}
	}
	switch req.Task {
	case tasks.Observe:
		return *facts, false, nil
	case tasks.Tidy:
		decode[prepare.TidySpec](f, req.Spec)
		changed = facts.Fetched
		facts.Fetched = false
		return nil, changed, os.RemoveAll(f.store(name))
	case tasks.Etcd:
		return f.etcd(name, facts, decode[etcdmember.Spec](f, req.Spec))
	case tasks.EtcdHealth:
		return f.health(decode[etcdmember.HealthSpec](f, req.Spec))
	case tasks.CertificateRequests:
		return f.askToSign(name, decode[certs.RequestSpec](f, req.Spec))
	case tasks.InstallCertificates:
		return f.installCertificates(name, facts, decode[certs.InstallSpec](f, req.Spec))
	case tasks.VIP:
		spec := decode[vip.Spec](f, req.Spec)
		changed = facts.Commands["keepalived"] == ""
		facts.Commands["keepalived"] = "/usr/sbin/keepalived"
		if spec.Priority == vip.HighestPriority {
			facts.VirtualIPHere = true
		}
		return nil, changed, nil
	case tasks.Init:
		return f.init(facts, decode[controlplane.InitSpec](f, req.Spec))
	case tasks.JoinNode:
		spec := decode[controlplane.JoinNodeSpec](f, req.Spec)
		if f.clusterCAs == 0 || !bytes.Contains(spec.Config, []byte("JoinConfiguration")) || facts.Binaries["/usr/local/bin/kubelet"] == "" {
			return nil, false, fmt.Errorf("joined too early, or with %s", spec.Config)
		}
		changed = !facts.State.Joined
		facts.State.Joined, facts.State.KubeletActive = true, true
		return nil, changed, nil
	case tasks.AdminKubeconfig:
		if !facts.State.ControlPlane {
			return nil, false, errors.New("it is no control plane")
		}
		return controlplane.KubeconfigData{Kubeconfig: []byte(strings.Replace(testKubeconfig, "CADATA", f.caData, 1))}, false, nil
	case tasks.Dial:
		return f.dial(name, decode[reach.DialSpec](f, req.Spec)), false, nil
	}
	f.t.Errorf("unexpected task %s", req.Task)
	return nil, false, errors.New("unexpected")
}

func readOnly(task string) bool {
	return slices.Contains([]string{tasks.Observe, tasks.AdminKubeconfig, tasks.EtcdHealth, tasks.Listen, tasks.Dial}, task)
}

// listen notes the ports until it is ended.
func (f *fakeHosts) listen(ctx context.Context, name string, spec reach.ListenSpec, sink report.Sink) (any, bool, error) {
	f.mu.Lock()
	for _, p := range spec.Ports {
		f.listening[fmt.Sprintf("%s:%d", spec.Address, p)] = spec.Token
	}
	f.mu.Unlock()
	sink.Emit(report.Event{Kind: report.StepProgress, Message: reach.Listening})
	<-ctx.Done()
	return reach.ListenData{}, false, nil
}

func (f *fakeHosts) dial(name string, spec reach.DialSpec) reach.DialData {
	var data reach.DialData
	for _, t := range spec.Targets {
		r := reach.Dialled{Target: t, Outcome: reach.OK}
		if f.listening[fmt.Sprintf("%s:%d", t.Address, t.Port)] != spec.Token || spec.Token == "" {
			f.t.Errorf("%s dials %s:%d, where nobody listens", name, t.Host, t.Port)
		}
		if f.walls[name+">"+t.Host] {
			r.Outcome = reach.Timeout
		}
		if at := fmt.Sprintf("%s:%d", t.Host, t.Port); f.impostors[at] {
			r.Outcome = reach.WrongAnswer
			if f.late[at] {
				f.facts[t.Host].Listeners[t.Port] = "kube-apiserver"
			}
		}
		data.Results = append(data.Results, r)
	}
	return data
}

// fetch fetches what the test bundle has, as the real tasks do, through the host's
// own peer.
func (f *fakeHosts) fetch(ctx context.Context, name string, source swarm.Source) error {
	client, err := swarm.NewClient(source, f.store(name))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, want := range []string{testBlob, testConfig} {
		b := blobOf(want)
		if _, err := client.Fetch(ctx, b); err != nil {
			return err
		}
		r, err := client.Open(b.Digest)
		if err != nil {
			return err
		}
		defer r.Close()
		if content, err := io.ReadAll(r); err != nil || string(content) != want {
			return fmt.Errorf("fetched %q: %w", content, err)
		}
	}
	return nil
}

// store is a host's staging directory.
func (f *fakeHosts) store(name string) string { return filepath.Join(f.dir, name) }

func (f *fakeHosts) prepare(ctx context.Context, name string, facts *observe.Facts, spec prepare.Spec) (any, bool, error) {
	if err := f.fetch(ctx, name, spec.Source); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if facts.Ours == nil {
		facts.Ours = &observe.Ours{Cluster: f.c.Metadata.Name}
	}
	facts.AgentInstalled = true
	for _, b := range spec.Contents.Binaries {
		facts.Binaries[b.Path] = b.SHA256
	}
	return prepare.Data{InstalledBinaries: len(spec.Contents.Binaries)}, true, nil
}

func (f *fakeHosts) images(ctx context.Context, name string, facts *observe.Facts, spec prepare.ImagesSpec) (any, bool, error) {
	if err := f.fetch(ctx, name, spec.Source); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if facts.Binaries["/usr/local/bin/kubelet"] == "" {
		return nil, false, errors.New("not prepared for images")
	}
	for _, i := range spec.Images {
		facts.Images[i.Ref] = string(i.Manifest.Digest)
	}
	facts.Images[spec.AgentImage] = "sha256:a"
	return prepare.Data{ImportedImages: len(spec.Images)}, true, nil
}

func (f *fakeHosts) etcd(name string, facts *observe.Facts, spec etcdmember.Spec) (any, bool, error) {
	if facts.Binaries["/usr/local/bin/etcd"] == "" {
		return nil, false, errors.New("etcd is not installed")
	}
	for _, cert := range [][]byte{spec.ServerCert, spec.PeerCert} {
		if err := pki.Verify(cert, spec.CA); err != nil {
			return nil, false, err
		}
	}
	ca, err := fingerprint(pki.Certs(spec.CA)[0])
	if err != nil {
		return nil, false, err
	}
	if f.etcdCAs[ca] = true; len(f.etcdCAs) > 1 {
		f.t.Error("a second etcd CA")
	}
	if !facts.State.EtcdData {
		if !spec.New {
			return nil, false, errors.New("a member without data in a cluster that is in use")
		}
		f.etcdData[name]++
	}
	facts.State.EtcdCA, facts.State.EtcdData, facts.State.EtcdActive = ca, true, true
	f.certs[name+" "+certs.EtcdServer] = pki.KeyPair{CertPEM: spec.ServerCert, KeyPEM: spec.ServerKey}
	f.certs[name+" "+certs.EtcdPeer] = pki.KeyPair{CertPEM: spec.PeerCert, KeyPEM: spec.PeerKey}
	f.certs[name+" ca"] = pki.KeyPair{CertPEM: spec.CA}
	return nil, true, nil
}

func (f *fakeHosts) health(spec etcdmember.HealthSpec) (any, bool, error) {
	for _, m := range f.c.EtcdMembers() {
		if !f.facts[m.Name].State.EtcdActive {
			return nil, false, fmt.Errorf("etcd on %s does not run", m.Name)
		}
	}
	return etcdmember.HealthData{}, false, pki.Verify(spec.Cert, spec.CA)
}

func (f *fakeHosts) init(facts *observe.Facts, spec controlplane.InitSpec) (any, bool, error) {
	switch {
	case spec.Stacked == nil:
		if _, _, err := f.health(etcdmember.HealthSpec{Cert: spec.EtcdCert, CA: spec.EtcdCA}); err != nil {
			return nil, false, err
		}
	case len(spec.EtcdCert)+len(spec.EtcdKey) > 0 || !f.c.Stacked() || len(spec.EtcdCA) > 0 && !pki.Holds(spec.EtcdCAKey, spec.EtcdCA):
		return nil, false, fmt.Errorf("not for kubeadm's own etcd: %+v", spec.Stacked)
	default:
		facts.State.StackedEtcd, facts.State.EtcdData, facts.State.KubeadmEtcdCA = true, true, "kubeadm's"
		if len(spec.EtcdCA) > 0 {
			var err error
			if facts.State.KubeadmEtcdCA, err = fingerprint(spec.EtcdCA); err != nil {
				return nil, false, err
			}
		}
	}
	if !strings.Contains(string(spec.Config), "InitConfiguration") || facts.Commands["keepalived"] == "" {
		return nil, false, errors.New("not ready for kubeadm init")
	}
	changed := facts.State.ClusterCA == ""
	if changed {
		f.clusterCA, f.frontProxyCA = "cluster-ca", "front-proxy-ca"
		for _, own := range []struct {
			cert, key []byte
			is        *string
		}{{spec.CA, spec.CAKey, &f.clusterCA}, {spec.FrontProxyCA, spec.FrontProxyCAKey, &f.frontProxyCA}} {
			if len(own.cert) == 0 {
				continue
			}
			if !pki.Holds(own.key, own.cert) {
				f.t.Error("a CA without its key")
			}
			var err error
			if *own.is, err = fingerprint(own.cert); err != nil {
				f.t.Error(err)
			}
		}
		facts.State.ClusterCA, facts.State.FrontProxyCA = f.clusterCA, f.frontProxyCA
		if f.clusterCAs++; f.clusterCAs > 1 {
			f.t.Error("a second cluster CA")
		}
	}
	facts.State.ControlPlane, facts.State.APIServerReady = true, true
	facts.State.Joined, facts.State.KubeletActive = true, true
	return controlplane.InitData{CACertHash: "sha256:" + strings.Repeat("ab", 32)}, changed, nil
}

// promote is what the Join Operation does.
func (f *fakeHosts) promote() (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.c.ControlPlanes() {
		facts := f.facts[h.Name]
		if !facts.State.Joined {
			return false, fmt.Errorf("%s is not joined", h.Name)
		}
		if !facts.State.ControlPlane {
			facts.State.ControlPlane, facts.State.APIServerReady, facts.State.ClusterCA = true, true, f.clusterCA
			facts.State.FrontProxyCA = f.frontProxyCA
			if f.c.Stacked() {
				facts.State.StackedEtcd, facts.State.EtcdData = true, true
				facts.State.KubeadmEtcdCA = f.facts[f.c.First().Name].State.KubeadmEtcdCA
			}
			facts.Ours.Done = append(facts.Ours.Done, tasks.Promote)
			changed = true
		}
	}
	return changed, nil
}

// Pipe runs the real blob agent in this process.
func (f *fakeHosts) Pipe(ctx context.Context, name string, args []string) (io.WriteCloser, io.Reader, func() error, error) {
	if !slices.Equal(args, []string{"agent", "blobs"}) {
		f.t.Errorf("unexpected agent %q", args)
	}
	f.mu.Lock()
	f.serving++
	f.facts[name].Fetched = true
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	f.kill[name] = func() { cancel(); <-ended }
	f.mu.Unlock()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := swarm.RunHosted(ctx, inR, outW, f.store(name), func(string) {})
		_ = outW.CloseWithError(io.EOF)
		close(ended)
		done <- err
	}()
	context.AfterFunc(ctx, func() { _, _ = inR.Close(), outR.Close() })
	return inW, outR, func() error { return <-done }, nil
}

func (f *fakeHosts) DialContext(name string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		f.t.Errorf("unexpected connection through %s", name)
		return nil, errors.New("unexpected")
	}
}

// take returns the requests so far and forgets them.
func (f *fakeHosts) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.requests
	f.requests = nil
	return out
}

// fakeBundle has two blobs.
type fakeBundle struct{}

func (fakeBundle) Contents() bundle.Contents { return testContents() }

// stackedBundle has kubeadm's etcd image instead of etcd's programs.
type stackedBundle struct{ fakeBundle }

func (stackedBundle) Contents() bundle.Contents { return stackedContents() }

func (fakeBundle) Blob(_ context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	for _, content := range []string{testBlob, testConfig} {
		if d == digest.FromString(content) {
			return io.NopCloser(strings.NewReader(content)), int64(len(content)), nil
		}
	}
	return nil, 0, bundle.ErrMissing
}

// A kubeconfig without a cluster behind it.
const testKubeconfig = `apiVersion: v1
kind: Config
current-context: admin
clusters: [{name: lab, cluster: {server: "https://127.0.7.100:6443", certificate-authority-data: CADATA}}]
contexts: [{name: admin, context: {cluster: lab, user: admin}}]
users: [{name: admin, user: {token: not-a-token}}]
`
