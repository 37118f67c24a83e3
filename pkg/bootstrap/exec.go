package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bundle/swarm"
	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
	"github.com/kubectl-ha/kubectl-ha/pkg/plan"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// lockWait bounds a host's wait for an agent of an interrupted run to end.
const lockWait = 2 * time.Minute

// executor carries out the steps of one plan. It puts the secrets in.
type executor struct {
	cfg       Config
	sink      report.Sink
	authority authority
	// identity is what tells this cluster from others of its name, the first etcd CA's fingerprint;
	// empty when it is not known here.
	identity string
	source   v1alpha1.Host
	blobs    *blobs
	// fresh: the source had no cluster CA when it was observed, so that kubeadm
	// init makes the token.
	fresh bool
	// release ends what Config.Hold has begun; it may be called again. Nil: nothing has.
	release func()
	// members and discover, when set, give what is otherwise made or asked for here.
	members  func(v1alpha1.Host) (MemberFiles, error)
	discover func(context.Context) (token, caHash string, err error)

	mu    sync.Mutex
	token string
	// tokenFrom is when the token's life began, at the earliest.
	tokenFrom time.Time
	caHash    string
	access    *Access
}

// run is plan.Options.Exec.
func (e *executor) run(ctx context.Context, s plan.Step) (plan.Outcome, error) {
	switch spec := s.Spec.(type) {
	case prepare.Spec:
		return e.fetching(ctx, s, func(from swarm.Source) any { spec.Source = from; return spec })
	case prepare.StageSpec:
		return e.fetching(ctx, s, func(from swarm.Source) any { spec.Source = from; return spec })
	case prepare.ImagesSpec:
		return e.fetching(ctx, s, func(from swarm.Source) any { spec.Source = from; return spec })
	case etcdmember.Spec:
		return e.etcd(ctx, s, spec)
	case etcdmember.HealthSpec:
		return e.health(ctx, s, spec)
	case certs.RequestSpec:
		return e.renew(ctx, s, spec)
	case controlplane.InitSpec:
		return e.init(ctx, s, spec)
	case controlplane.JoinNodeSpec:
		return e.joinNode(ctx, s, spec)
	}
	switch s.Task {
	case StepJoin:
		if e.release != nil {
			e.release()
		}
		return e.with(ctx, e.cfg.Join)
	case StepKubeconfig:
		return e.with(ctx, e.cfg.Kubeconfig)
	}
	_, outcome, err := e.send(ctx, s, s.Spec)
	return outcome, err
}

// send runs the step's task on its host with the spec.
func (e *executor) send(ctx context.Context, s plan.Step, spec any) (node.Result, plan.Outcome, error) {
	res, err := Call(ctx, e.cfg.Hosts, s.Host, node.Request{Cluster: e.cfg.Cluster.Metadata.Name, Identity: e.identity, Task: s.Task, Step: s.ID, Settings: s.Settings,
		Timeout: s.Timeout, LockTimeout: lockWait}, spec, e.sink)
	return res, plan.Outcome{Changed: len(res.Changes) > 0}, err
}

// fetching runs a task that fetches blobs, with the spec that the source makes.
func (e *executor) fetching(ctx context.Context, s plan.Step, with func(swarm.Source) any) (plan.Outcome, error) {
	defer e.blobs.done()
	from, err := e.blobs.open(ctx, s.Host)
	if err != nil {
		return plan.Outcome{}, err
	}
	res, outcome, err := e.send(ctx, s, with(from))
	if err != nil {
		// What the task had to say of a peer that is gone is not all.
		err = errors.Join(err, e.blobs.why(s.Host))
	}
	var data prepare.Data
	if err != nil || json.Unmarshal(res.Data, &data) != nil {
		return outcome, err
	}
	var did []string
	for _, x := range []struct {
		n    int64
		what string
	}{{int64(data.InstalledBinaries), "binaries"}, {int64(data.ImportedImages), "images"}, {data.FetchedBytes / mib, "MiB fetched"}} {
		if x.n > 0 {
			did = append(did, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	outcome.Message = strings.Join(did, ", ")
	return outcome, nil
}

func (e *executor) etcd(ctx context.Context, s plan.Step, spec etcdmember.Spec) (plan.Outcome, error) {
	host, _ := e.cfg.Cluster.Host(s.Host)
	files, err := e.memberFiles(host)
	if err != nil {
		return plan.Outcome{}, err
	}
	spec.Token, spec.CA = files.Token, files.CA
	spec.ServerCert, spec.ServerKey = files.ServerCert, files.ServerKey
	spec.PeerCert, spec.PeerKey = files.PeerCert, files.PeerKey
	_, outcome, err := e.send(ctx, s, spec)
	return outcome, err
}

// renew exchanges certificates that etcd's CA signs, with keys that stay on the host.
func (e *executor) renew(ctx context.Context, s plan.Step, spec certs.RequestSpec) (plan.Outcome, error) {
	host, _ := e.cfg.Cluster.Host(s.Host)
	signer := Signer{authority: e.authority, cluster: e.cfg.Cluster, life: e.authority.life}
	data, err := RenewHost(ctx, e.cfg.Hosts, e.cfg.Cluster.Metadata.Name, signer, host, spec.Names, s.ID, e.sink)
	out := plan.Outcome{Changed: len(data.Renewed) > 0}
	for name, why := range data.Unseen {
		e.sink.Emit(report.Event{Time: time.Now(), Kind: report.Warning, Host: s.Host, Step: s.ID, Message: fmt.Sprintf("%s is in its place; whether it is used can't be told: %s", name, why)})
	}
	return out, err
}

func (e *executor) memberFiles(h v1alpha1.Host) (MemberFiles, error) {
	if e.members != nil {
		return e.members(h)
	}
	return e.authority.files(h)
}

func (e *executor) health(ctx context.Context, s plan.Step, spec etcdmember.HealthSpec) (plan.Outcome, error) {
	client, err := e.authority.client("kubectl-ha-health", healthValidity)
	if err != nil {
		return plan.Outcome{}, err
	}
	spec.CA, spec.Cert, spec.Key = e.authority.trusted, client.CertPEM, client.KeyPEM
	_, outcome, err := e.send(ctx, s, spec)
	return outcome, err
}

func (e *executor) init(ctx context.Context, s plan.Step, spec controlplane.InitSpec) (plan.Outcome, error) {
	if err := e.etcdFor(&spec); err != nil {
		return plan.Outcome{}, err
	}
	token, err := kubeadm.NewToken()
	if err != nil {
		return plan.Outcome{}, err
	}
	begun := time.Now()
	own, proxy := e.cfg.OwnCAs[certs.AuthorityKubernetes], e.cfg.OwnCAs[certs.AuthorityFrontProxy]
	spec.CA, spec.CAKey, spec.FrontProxyCA, spec.FrontProxyCAKey = own.CertPEM, own.KeyPEM, proxy.CertPEM, proxy.KeyPEM
	spec.Config, err = kubeadm.Init(e.cfg.Cluster, kubeadm.InitParams{Host: e.source, Token: token, TokenTTL: tokenLife,
		PatchesDir: e.patches()})
	if err != nil {
		return plan.Outcome{}, err
	}
	res, outcome, err := e.send(ctx, s, spec)
	if err != nil {
		return outcome, err
	}
	var data controlplane.InitData
	if err := json.Unmarshal(res.Data, &data); err != nil {
		return outcome, fmt.Errorf("%s: the result of %s can't be read: %w", s.Host, s.Task, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.caHash = data.CACertHash
	if e.fresh {
		e.token, e.tokenFrom = token, begun
	}
	return outcome, nil
}

// etcdFor puts in what the first control plane needs for etcd: a login to an external one, or for kubeadm's
// own the CA that the user has given.
func (e *executor) etcdFor(spec *controlplane.InitSpec) error {
	if spec.Stacked != nil {
		own := e.cfg.OwnCAs[certs.AuthorityEtcd]
		spec.EtcdCA, spec.EtcdCAKey = own.CertPEM, own.KeyPEM
		return nil
	}
	client, err := e.authority.client("kube-apiserver-etcd-client", 0)
	spec.EtcdCA, spec.EtcdCert, spec.EtcdKey = e.authority.trusted, client.CertPEM, client.KeyPEM
	return err
}

func (e *executor) joinNode(ctx context.Context, s plan.Step, spec controlplane.JoinNodeSpec) (plan.Outcome, error) {
	token, hash, err := e.discovery(ctx)
	if err != nil {
		return plan.Outcome{}, err
	}
	host, _ := e.cfg.Cluster.Host(s.Host)
	spec.Config, err = kubeadm.JoinWorker(e.cfg.Cluster, kubeadm.JoinParams{Host: host, Token: token, CACertHash: hash, PatchesDir: e.patches()})
	if err != nil {
		return plan.Outcome{}, err
	}
	_, outcome, err := e.send(ctx, s, spec)
	return outcome, err
}

// patches is where the tasks put kubeadm's patch files; empty without any.
func (e *executor) patches() string {
	if len(e.cfg.Cluster.Spec.Kubeadm.Patches) == 0 {
		return ""
	}
	return controlplane.PatchesDir
}

// discovery is what a kubelet joins with: a token that lives, the one that
// kubeadm init made just now or a new one, and the CA's fingerprint.
func (e *executor) discovery(ctx context.Context) (token, hash string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A host whose images took long must not join with a token that ends meanwhile.
	if e.token != "" && e.caHash != "" && time.Since(e.tokenFrom) < tokenLife-joinTimeout {
		return e.token, e.caHash, nil
	}
	if e.discover != nil {
		e.tokenFrom = time.Now()
		e.token, e.caHash, err = e.discover(ctx)
		return e.token, e.caHash, err
	}
	a, err := e.admin(ctx)
	if err != nil {
		return "", "", err
	}
	cfg, err := a.RESTConfig()
	if err != nil {
		return "", "", err
	}
	if e.caHash == "" {
		if e.caHash, err = pki.CertHash(cfg.CAData); err != nil {
			return "", "", fmt.Errorf("%s: the CA in admin.conf: %w", a.Source, err)
		}
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", "", err
	}
	e.tokenFrom = time.Now()
	e.token, err = e.cfg.newToken(ctx, client, e.tokenFrom)
	return e.token, e.caHash, err
}

// admin is the way to the API, asked for once. e.mu is held.
func (e *executor) admin(ctx context.Context) (Access, error) {
	if e.access != nil {
		return *e.access, nil
	}
	a, err := access(ctx, e.cfg.Hosts, e.cfg.Cluster, e.source.Name, e.sink)
	if err != nil {
		return Access{}, err
	}
	if _, err := clientcmd.Load(a.Kubeconfig); err != nil {
		// The error could quote the file, which is a secret.
		return Access{}, fmt.Errorf("%s: its admin.conf can't be read", a.Source)
	}
	e.access = &a
	return a, nil
}

// with gives the cluster's API to what is done through it.
func (e *executor) with(ctx context.Context, do func(context.Context, Access) (plan.Outcome, error)) (plan.Outcome, error) {
	e.mu.Lock()
	a, err := e.admin(ctx)
	e.mu.Unlock()
	if err != nil {
		return plan.Outcome{}, err
	}
	return do(ctx, a)
}
