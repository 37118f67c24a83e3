package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	readyInterval = 250 * time.Millisecond
	readyAsk      = 5 * time.Second
)

// waitReady waits until the apiserver at an endpoint answers 200 to /readyz,
// asked as the host's admin, over a new connection each time.
func waitReady(ctx context.Context, env node.Env, endpoint string, limit time.Duration, hint string) error {
	client, err := adminClient(env.Host)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	env.Progress("waiting for the API at %s", endpoint)
	var last error
	for {
		err := ask(wait, client, endpoint+"/readyz")
		if err == nil {
			return nil
		}
		if wait.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return host.WithHint(fmt.Errorf("the API at %s is not ready after %v; last seen: %w", endpoint, limit, last), hint)
		case <-time.After(readyInterval):
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyAsk)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, readErr := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err := errors.Join(readErr, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %d", resp.StatusCode)
	}
	return nil
}

// adminClient is a client with the identity of admin.conf, which trusts the
// cluster's CA alone and goes through no proxy.
func adminClient(h *host.Host) (*http.Client, error) {
	raw, err := h.ReadFile(adminConf)
	if err != nil {
		return nil, fmt.Errorf("the admin's kubeconfig: %w", err)
	}
	c, err := clientcmd.Load(raw)
	if err != nil {
		return nil, fmt.Errorf("the admin's kubeconfig %s: %w", adminConf, err)
	}
	current := c.Contexts[c.CurrentContext]
	if current == nil || c.Clusters[current.Cluster] == nil || c.AuthInfos[current.AuthInfo] == nil {
		return nil, fmt.Errorf("the admin's kubeconfig %s has no current context", adminConf)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.Clusters[current.Cluster].CertificateAuthorityData) {
		return nil, fmt.Errorf("the admin's kubeconfig %s has no CA", adminConf)
	}
	user := c.AuthInfos[current.AuthInfo]
	pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return nil, fmt.Errorf("the admin's kubeconfig %s: %w", adminConf, err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}, nil
}
