package certs

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// directories are where kubeadm, etcd and the kubelet have theirs, and load balancers usually.
var directories = [...]string{pkiDir, localEtcdDir, etcdmember.PKIDir, kubeletPKI, "/etc/haproxy", "/etc/haproxy/certs", "/etc/nginx/certs", "/etc/kubectl-ha"}

// RootKubeconfig is where kubeadm tells people to copy admin.conf to.
const RootKubeconfig = "/root/.kube/config"

// Look finds every certificate and key of the host. It changes nothing.
func Look(ctx context.Context, env node.Env, _ LookSpec) (any, error) {
	return Find(env.Host, time.Now()), context.Cause(ctx)
}

// Find is Look for other tasks.
func Find(h *host.Host, now time.Time) LookData {
	f := &finder{h: h, now: now, data: LookData{Time: now.UTC(), Kubeconfigs: map[string]string{}}, units: map[string]unit{}}
	for _, u := range catalogue() {
		f.units[u.cert] = u
	}
	for _, dir := range directories {
		f.directory(dir)
	}
	entries, err := h.ReadDir(kubernetesDir)
	f.miss(kubernetesDir, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			f.kubeconfig(path.Join(kubernetesDir, e.Name()))
		}
	}
	f.kubeconfig(RootKubeconfig)
	f.issuers()
	return f.data
}

type finder struct {
	h     *host.Host
	now   time.Time
	data  LookData
	units map[string]unit
	found []*x509.Certificate
	// further are the other CAs of files that have more than one: while a CA is exchanged there are two.
	further []*x509.Certificate
}

// miss notes what could not be looked at; what is not there is no miss.
func (f *finder) miss(what string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.data.Missed = append(f.data.Missed, fmt.Sprintf("%s: %v", what, err))
	}
}

func (f *finder) directory(dir string) {
	entries, err := f.h.ReadDir(dir)
	f.miss(dir, err)
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		// The kubelet keeps its old ones; the current one of each kind is linked.
		old := dir == kubeletPKI && strings.HasPrefix(e.Name(), "kubelet-") && !strings.HasSuffix(e.Name(), "-current.pem")
		if e.IsDir() || old || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		switch {
		case strings.HasSuffix(file, ".crt"), strings.HasSuffix(file, ".pem"):
			raw, err := f.h.ReadFile(file)
			f.miss(file, err)
			f.certificate(file, raw, f.keyBeside(file))
		case strings.HasSuffix(file, ".pub"):
			f.publicKey(file)
		}
	}
}

// keyBeside is the file of a certificate's key: the same for one that may have both.
func (f *finder) keyBeside(file string) string {
	if base, ok := strings.CutSuffix(file, ".crt"); ok {
		return base + ".key"
	}
	return file
}

// certificate notes the first one in a file, which may hold a key and a chain too.
func (f *finder) certificate(file string, raw []byte, keyFile string) {
	if !strings.Contains(string(raw), "-----BEGIN CERTIFICATE-----") {
		return // A file of another kind, or none.
	}
	cert, err := pki.ParseCert(raw)
	if err != nil {
		f.miss(file, err)
		return
	}
	c := Certificate{File: file, Subject: cert.Subject.String(), Names: namesOf(cert), Issuer: cert.Issuer.CommonName, Fingerprint: pki.Fingerprint(cert),
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), CA: cert.IsCA, Due: pki.Due(cert, f.now), KeyFile: keyFile}
	key, err := f.h.ReadFile(keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.KeyState = KeyMissing
	case err != nil:
		f.miss(keyFile, err)
	case keyFile == file && !strings.Contains(string(key), "PRIVATE KEY-----"):
		c.KeyFile, c.KeyState = "", KeyMissing
	case (pki.KeyPair{CertPEM: raw, KeyPEM: key}).Check() != nil:
		c.KeyState = KeyOther
	default:
		c.KeyState = KeyFits
	}
	f.add(c, cert)
	if !cert.IsCA {
		return
	}
	for _, other := range pki.Certs(raw)[1:] {
		if ca, err := pki.ParseCert(other); err == nil {
			f.further = append(f.further, ca)
		}
	}
}

// add notes a certificate, with who renews it as far as its file tells.
func (f *finder) add(c Certificate, cert *x509.Certificate) {
	u, known := f.units[c.File]
	switch {
	case c.CA:
		c.RenewedBy = OwnerRotation
	case known && u.name == Kubelet:
		c.Name, c.RenewedBy, c.Restarts = u.name, OwnerKubelet, u.restarts
	case known:
		// Who renews it is found when all CAs are.
		c.Name, c.Restarts = u.name, u.restarts
	case strings.HasPrefix(c.File, kubeletPKI+"/kubelet"), c.File == kubeletConf:
		c.RenewedBy = OwnerKubelet
	default:
		c.RenewedBy = OwnerNobody
	}
	f.data.Certificates = append(f.data.Certificates, c)
	f.found = append(f.found, cert)
}

// publicKey notes the key that service accounts' tokens are checked with.
func (f *finder) publicKey(file string) {
	raw, err := f.h.ReadFile(file)
	f.miss(file, err)
	block, _ := pem.Decode(raw)
	if block == nil {
		return
	}
	sum := sha256.Sum256(block.Bytes)
	c := Certificate{File: file, Subject: "service accounts", Fingerprint: hex.EncodeToString(sum[:]), KeyFile: strings.TrimSuffix(file, ".pub") + ".key",
		RenewedBy: OwnerRotation, KeyState: KeyMissing}
	key, err := f.h.ReadFile(c.KeyFile)
	f.miss(c.KeyFile, err)
	if err == nil {
		c.KeyState = KeyOther
		if pki.Holds(key, raw) {
			c.KeyState = KeyFits
		}
	}
	f.data.Certificates = append(f.data.Certificates, c)
	f.found = append(f.found, nil)
}

// kubeconfig notes the login in it, when it is a certificate that is inside.
func (f *finder) kubeconfig(file string) {
	raw, err := f.h.ReadFile(file)
	f.miss(file, err)
	if err != nil {
		return
	}
	login, err := readLogin(raw)
	if err != nil {
		f.miss(file, err)
		return
	}
	f.data.Kubeconfigs[file] = login.server
	if len(login.cert) == 0 {
		return // It has a token, or names files, which are found where they are.
	}
	cert, err := pki.ParseCert(login.cert)
	if err != nil {
		f.miss(file, err)
		return
	}
	c := Certificate{File: file, Subject: cert.Subject.String(), Issuer: cert.Issuer.CommonName, Fingerprint: pki.Fingerprint(cert),
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), Due: pki.Due(cert, f.now), KeyFile: file, KeyState: KeyFits}
	if (pki.KeyPair{CertPEM: login.cert, KeyPEM: login.key}).Check() != nil {
		c.KeyState = KeyOther
	}
	f.add(c, cert)
}

// issuers finds the CA of each certificate among those of the host.
func (f *finder) issuers() {
	for i, cert := range f.found {
		if cert == nil {
			continue
		}
		for _, ca := range slices.Concat(f.found, f.further) {
			if ca != nil && ca.IsCA && cert.CheckSignatureFrom(ca) == nil {
				f.data.Certificates[i].IssuerFingerprint = pki.Fingerprint(ca)
				break
			}
		}
	}
	local := localEtcd(f.h)
	for i, cert := range f.found {
		if u, known := f.units[f.data.Certificates[i].File]; known && u.name != Kubelet && !cert.IsCA {
			f.data.Certificates[i].RenewedBy = f.owner(u, cert, local)
		}
	}
}

// owner says who can renew a certificate that is known: who has the key of the CA that has signed
// it. Where etcd is kubeadm's own, the CA of the apiserver's login to it is on the host.
func (f *finder) owner(u unit, cert *x509.Certificate, local bool) Owner {
	// The CA's file has two while a CA is exchanged.
	if ca, err := f.h.ReadFile(u.trust()); err == nil && errors.Is(pki.IssuedBy(ca, pki.EncodeCert(cert)), pki.ErrOtherCA) {
		return OwnerNobody
	}
	if u.name == EtcdClient && local {
		u.signer = SignerLocalEtcd
	}
	_, key := u.signer.ca()
	if key == "" {
		return OwnerWorkstation
	}
	if there, err := f.h.Exists(key); err == nil && !there {
		return OwnerElsewhere
	}
	return OwnerHost
}

func localEtcd(h *host.Host) bool {
	_, key := SignerLocalEtcd.ca()
	there, err := h.Exists(key)
	return err == nil && there
}

func namesOf(cert *x509.Certificate) []string {
	out := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}
