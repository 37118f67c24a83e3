package controlplane

import (
	"context"
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
	diedInterval  = 2 * time.Second
)

// wait is something to wait for, with what to say when it does not come.
type wait struct {
	limit time.Duration
	// what says in the error what did not come: "the API is not ready".
	what, hint string
	// died, when set, ends the wait early with an error.
	died func(context.Context, *host.Host) error
}

// until asks again and again until there is no error, or the time is over.
func (w wait) until(ctx context.Context, h *host.Host, ask func(context.Context) error) error {
	var died error
	looked := time.Now()
	err := host.Until(ctx, w.limit, readyInterval, func(ctx context.Context) error {
		err := ask(ctx)
		if err != nil && w.died != nil && ctx.Err() == nil && time.Since(looked) >= diedInterval {
			looked = time.Now()
			if died = w.died(ctx, h); died != nil {
				return nil
			}
		}
		return err
	}, func(seen error) error {
		f := &node.Failure{Message: fmt.Sprintf("%s after %v; last seen: %v", w.what, w.limit, seen), Hint: w.hint}
		if w.died != nil {
			f.Output = KubeletLog(ctx, h)
		}
		return f
	})
	if died != nil {
		return died
	}
	return err
}

// WaitLocal waits until the apiserver on this host is ready. endpoint is
// https://address:port.
func WaitLocal(ctx context.Context, env node.Env, endpoint string) error {
	// The kubelet starts the apiserver; one that systemd gave up gets a new chance.
	if _, err := env.Host.EnsureUnit(ctx, kubeletUnit, false); err != nil {
		return err
	}
	return waitReady(ctx, env, endpoint, wait{limit: localReady, died: kubeletDied,
		hint: "look at journalctl -u kubelet and /var/log/pods on the host; the command can be run again"})
}

// waitVirtual waits until the API answers at the virtual IP.
func waitVirtual(ctx context.Context, env node.Env, endpoint string) error {
	return waitReady(ctx, env, endpoint, wait{limit: virtualReady,
		hint: "the API answers on the host itself: look at journalctl -u keepalived -u kubectl-ha-vip, and whether something else has the virtual IP"})
}

// waitReady waits until an apiserver answers 200 to /readyz, asked as the
// host's admin over a new connection each time.
func waitReady(ctx context.Context, env node.Env, endpoint string, w wait) error {
	client, err := adminClient(env.Host)
	if err != nil {
		return err
	}
	env.Progress("waiting for the API at %s", endpoint)
	w.what = "the API at " + endpoint + " is not ready"
	return w.until(ctx, env.Host, func(ctx context.Context) error { return Ask(ctx, client, endpoint+"/readyz") })
}

// Ask makes one request that is to be answered with 200, within five seconds.
func Ask(ctx context.Context, client *http.Client, url string) error {
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
	_, readErr := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if err := errors.Join(readErr, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered with %d", url, resp.StatusCode)
	}
	return nil
}

// adminClient is a client with the identity of admin.conf.
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
	user := c.AuthInfos[current.AuthInfo]
	client, err := tlsClient(c.Clusters[current.Cluster].CertificateAuthorityData, user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", adminConf, err)
	}
	return client, nil
}
