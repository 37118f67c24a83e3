package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// registerTimeout bounds the wait for a kubelet to register its node.
	registerTimeout = 2 * time.Minute
	// nodeUser begins a kubelet's name in its certificate.
	// https://kubernetes.io/docs/reference/access-authn-authz/node/
	nodeUser = "system:node:"
)

// waitRegistered waits until the kubelet's node is in the cluster, asked as the
// kubelet itself, who may read its own node. A certificate alone tells only
// that the kubelet once got as far as that.
func waitRegistered(ctx context.Context, env node.Env) error {
	client, url, err := kubeletClient(env.Host)
	if err != nil {
		return err
	}
	env.Progress("waiting for the kubelet to register its node")
	w := wait{limit: registerTimeout, what: "the kubelet has not registered its node",
		hint: "look at journalctl -u kubelet on the host", died: kubeletDied}
	return w.until(ctx, env.Host, func(ctx context.Context) error { return Ask(ctx, client, url) })
}

// kubeletClient is a client with the kubelet's identity, and the URL of its node.
func kubeletClient(h *host.Host) (*http.Client, string, error) {
	raw, err := h.ReadFile(kubeletConf)
	if err != nil {
		return nil, "", err
	}
	c, err := clientcmd.Load(raw)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", kubeletConf, err)
	}
	current := c.Contexts[c.CurrentContext]
	if current == nil || c.Clusters[current.Cluster] == nil || c.AuthInfos[current.AuthInfo] == nil {
		return nil, "", fmt.Errorf("%s has no current context", kubeletConf)
	}
	user, cluster := c.AuthInfos[current.AuthInfo], c.Clusters[current.Cluster]
	certPEM, keyPEM := user.ClientCertificateData, user.ClientKeyData
	// Both may be one file: that of a kubelet that rotates its certificate is.
	for _, f := range []struct {
		path    string
		content *[]byte
	}{{user.ClientCertificate, &certPEM}, {user.ClientKey, &keyPEM}} {
		if f.path == "" {
			continue
		}
		if *f.content, err = h.ReadFile(f.path); err != nil {
			return nil, "", fmt.Errorf("the kubelet's credentials: %w", err)
		}
	}
	cert, err := firstCertificate(certPEM)
	if err != nil {
		return nil, "", fmt.Errorf("the kubelet's credentials: %w", err)
	}
	name, ok := strings.CutPrefix(cert.Subject.CommonName, nodeUser)
	if !ok {
		return nil, "", fmt.Errorf("the kubelet's credentials are those of %q, which is no node", cert.Subject.CommonName)
	}
	client, err := tlsClient(cluster.CertificateAuthorityData, certPEM, keyPEM)
	return client, cluster.Server + "/api/v1/nodes/" + name, err
}

// tlsClient trusts one CA alone, goes through no proxy, and makes a new
// connection for each request.
func tlsClient(ca, cert, key []byte) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("the kubeconfig has no CA")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig's credentials: %w", err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}, nil
}

// kubeletDied is an error when systemd has given the kubelet up, and there is
// nothing left to wait for.
func kubeletDied(ctx context.Context, h *host.Host) error {
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil || u.ActiveState != "failed" {
		return nil //nolint:nilerr // whoever waits goes on waiting
	}
	return &node.Failure{Message: "the kubelet does not start: systemd has given it up", Output: KubeletLog(ctx, h),
		Hint: "look at journalctl -u kubelet on the host"}
}

// KubeletLog is the end of the kubelet's log.
func KubeletLog(ctx context.Context, h *host.Host) string {
	out, err := h.Query(context.WithoutCancel(ctx), host.Command{
		Argv: []string{"journalctl", "--unit", kubeletUnit, "--lines", "40", "--no-pager", "--output", "cat"}, Timeout: 10 * time.Second})
	if err != nil {
		return fmt.Sprintf("the kubelet's log can't be read: %v", err)
	}
	return string(out.Stdout)
}
