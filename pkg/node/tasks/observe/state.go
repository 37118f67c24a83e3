package observe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/kubeadm"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/prepare"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

// Files of kubeadm, https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/
const (
	kubernetesDir   = "/etc/kubernetes"
	manifestsDir    = kubernetesDir + "/manifests"
	clusterCA       = kubernetesDir + "/pki/ca.crt"
	frontProxyCA    = kubernetesDir + "/pki/front-proxy-ca.crt"
	kubeletConf     = kubernetesDir + "/kubelet.conf"
	kubeletDir      = "/var/lib/kubelet"
	apiServerPod    = manifestsDir + "/kube-apiserver.yaml"
	apiClientCert   = kubernetesDir + "/pki/apiserver-kubelet-client.crt"
	apiClientKey    = kubernetesDir + "/pki/apiserver-kubelet-client.key"
	keepalivedConf  = "/etc/keepalived/keepalived.conf"
	apiServerWithin = time.Second
)

// state tells how far the host has come, from its files.
func (o *observer) state() {
	s := &o.facts.State
	s.EtcdCA = o.certificateDigest(etcdmember.PKIDir + "/ca.crt")
	s.KubeadmEtcdCA = o.certificateDigest(kubeadm.EtcdCAFile)
	s.StackedEtcd = o.exists(manifestsDir + "/etcd.yaml")
	s.ClusterCA = o.certificateDigest(clusterCA)
	s.FrontProxyCA = o.certificateDigest(frontProxyCA)
	s.EtcdData = o.exists(path.Join(o.spec.DataDir, "member"))
	s.ControlPlane = o.exists(apiServerPod)
	s.Joined = o.exists(kubeletConf)
	o.facts.Fetched = o.exists(prepare.StoreDir)
	for _, c := range certs.Find(o.h, time.Now()).Certificates {
		if c.Name != "" && c.Due {
			if s.Due == nil {
				s.Due = map[string]time.Time{}
			}
			s.Due[c.Name] = c.NotAfter
		}
	}
}

func (o *observer) exists(path string) bool {
	there, err := o.h.Exists(path)
	if err != nil {
		o.warn("%s can't be looked at: %v", path, err)
	}
	return there
}

// certificateDigest is the SHA-256 of a certificate's DER.
func (o *observer) certificateDigest(path string) string {
	content, err := o.h.ReadFile(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			o.warn("%s can't be read: %v", path, err)
		}
		return ""
	}
	block, _ := pem.Decode(content)
	if block == nil {
		o.warn("%s holds no certificate", path)
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

// apiServer asks the apiserver of this host whether it is ready.
func (o *observer) apiServer(ctx context.Context) {
	ca, err := o.h.ReadFile(clusterCA)
	if err != nil || !o.exists(apiServerPod) {
		return
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	// Anonymous requests may be forbidden; the apiserver's own client certificate is not.
	cert, certErr := o.h.ReadFile(apiClientCert)
	key, keyErr := o.h.ReadFile(apiClientKey)
	if certErr == nil && keyErr == nil {
		if pair, err := tls.X509KeyPair(cert, key); err == nil {
			config.Certificates = []tls.Certificate{pair}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, apiServerWithin)
	defer cancel()
	url := "https://" + net.JoinHostPort(o.spec.Address, strconv.Itoa(int(o.spec.APIServerPort))) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		o.warn("the apiserver can't be asked: %v", err)
		return
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return // Not ready is what there is to tell.
	}
	o.facts.State.APIServerReady = res.StatusCode == http.StatusOK
	if err := res.Body.Close(); err != nil {
		o.warn("the apiserver's answer: %v", err)
	}
}

// ownership tells what of the host is ours, and what is somebody else's.
func (o *observer) ownership(ctx context.Context) {
	ledger, err := o.h.Ledger()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.warn("the ledger can't be read: %v", err)
	}
	if ledger != nil {
		for _, bad := range ledger.BadLines() {
			o.warn("%s", bad)
		}
		o.facts.Ours = &Ours{Cluster: ledger.Cluster(), Identity: ledger.Identity(), Done: ledger.DoneTasks(), Settings: ledger.Settings()}
	}
	if o.facts.ForeignKeepalived, err = vip.Foreign(ctx, o.h); err != nil {
		o.warn("whose keepalived's configuration is can't be told: %v", err)
	}
	for _, file := range o.traces() {
		if ledger == nil || !ownsTrace(ledger, file) {
			o.facts.Leftovers = append(o.facts.Leftovers, file)
		}
	}
}

// traces are the files by which a host shows that it belongs to a cluster.
func (o *observer) traces() []string {
	var found []string
	for _, dir := range []struct{ path, suffix string }{{manifestsDir, ".yaml"}, {kubernetesDir, ".conf"}} {
		entries, err := o.h.ReadDir(dir.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.warn("%s can't be read: %v", dir.path, err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), dir.suffix) {
				found = append(found, path.Join(dir.path, e.Name()))
			}
		}
	}
	for _, file := range []string{clusterCA, kubeletDir + "/config.yaml", kubeletDir + "/pki"} {
		if o.exists(file) {
			found = append(found, file)
		}
	}
	entries, err := o.h.ReadDir(o.spec.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		o.warn("%s can't be read: %v", o.spec.DataDir, err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			found = append(found, path.Join(o.spec.DataDir, e.Name()))
		}
	}
	return found
}

// ownsTrace tells whether a trace is ours: noted itself, or made by kubeadm,
// which writes many files and was run by us.
func ownsTrace(ledger *host.Ledger, file string) bool {
	if ledger.Owns(file) {
		return true
	}
	if !strings.HasPrefix(file, kubernetesDir+"/") && !strings.HasPrefix(file, kubeletDir+"/") {
		return false
	}
	for _, e := range ledger.Entries() {
		if e.Kind != host.KindCommand {
			continue
		}
		argv := strings.Fields(e.Target)
		if len(argv) > 1 && path.Base(argv[0]) == "kubeadm" && (argv[1] == "init" || argv[1] == "join") {
			return true
		}
	}
	return false
}
