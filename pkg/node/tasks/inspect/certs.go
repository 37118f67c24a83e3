package inspect

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
)

const (
	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
	kubeletPKI    = "/var/lib/kubelet/pki"
)

// certificateDirs are where kubeadm, etcd and the kubelet have theirs, and load
// balancers usually.
var certificateDirs = [...]string{pkiDir, pkiDir + "/etcd", etcdmember.PKIDir, kubeletPKI, "/etc/haproxy", "/etc/haproxy/certs", "/etc/nginx/certs", "/etc/kubectl-ha"}

// certificates reads all of them, and the logins in kubeconfigs.
func (l *look) certificates() {
	for _, dir := range certificateDirs {
		entries, err := l.h.ReadDir(dir)
		l.miss(dir, err)
		for _, e := range entries {
			file := path.Join(dir, e.Name())
			// The kubelet keeps its old ones; the current one is linked.
			old := dir == kubeletPKI && strings.HasPrefix(e.Name(), "kubelet-client-") && e.Name() != "kubelet-client-current.pem"
			if e.IsDir() || old || !strings.HasSuffix(file, ".crt") && !strings.HasSuffix(file, ".pem") {
				continue
			}
			raw, err := l.h.ReadFile(file)
			l.miss(file, err)
			l.certificate(file, raw)
		}
	}
	l.facts.Kubeconfigs = map[string]string{}
	entries, err := l.h.ReadDir(kubernetesDir)
	l.miss(kubernetesDir, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			l.kubeconfig(path.Join(kubernetesDir, e.Name()))
		}
	}
}

// certificate notes the first one in a file, which may hold a key and a chain too.
func (l *look) certificate(file string, raw []byte) {
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			l.miss(file, err)
			return
		}
		l.facts.Certificates = append(l.facts.Certificates, Certificate{File: file, Subject: c.Subject.String(), NotAfter: c.NotAfter.UTC(), CA: c.IsCA})
		return
	}
}

// kubeconfig notes where it points, and the end of the certificate in it.
func (l *look) kubeconfig(file string) {
	raw, err := l.h.ReadFile(file)
	l.miss(file, err)
	var k struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate string `json:"client-certificate-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(raw, &k); err != nil || len(k.Clusters) != 1 {
		l.miss(file, err)
		return
	}
	l.facts.Kubeconfigs[file] = k.Clusters[0].Cluster.Server
	if len(k.Users) == 1 && k.Users[0].User.Certificate != "" {
		cert, err := base64.StdEncoding.DecodeString(k.Users[0].User.Certificate)
		l.miss(file, err)
		l.certificate(file, bytes.TrimSpace(cert))
	}
}
