package upgrade

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

const (
	podsInterval = 250 * time.Millisecond
	podsAsk      = 3 * time.Second
)

// podProbe is where a static pod tells whether it is well.
type podProbe struct{ component, url string }

// waitPods asks a control plane's static pods themselves whether they are well, until
// each has said so for a while: a kubelet of another minor version may restart the
// containers that it finds. Asking them tells it at once; a kubelet that was restarted
// calls them ready only after their startup probes, 10 to 20 s later.
func (up upgrader) waitPods(ctx context.Context, env node.Env) error {
	probes, err := podProbes(env.Host)
	if err != nil || len(probes) == 0 || env.Host.DryRun() {
		return err
	}
	env.Progress("waiting for the static pods to be well")
	// The kubelet does not verify what it asks either; nothing is told to whoever answers.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}}
	wait, cancel := context.WithTimeout(ctx, up.podsReady)
	defer cancel()
	var since time.Time
	var last error
	for {
		err := askAll(wait, client, probes)
		switch {
		case err != nil && wait.Err() == nil:
			since, last = time.Time{}, err
		case err == nil && since.IsZero():
			since = time.Now()
		case err == nil && time.Since(since) >= up.podsSteady:
			return nil
		}
		select {
		case <-wait.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &node.Failure{Message: fmt.Sprintf("the static pods are not all well after %v; last seen: %v", up.podsReady, last),
				Output: controlplane.KubeletLog(ctx, env.Host), Hint: "look at /var/log/pods and at journalctl -u kubelet on the host"}
		case <-time.After(podsInterval):
		}
	}
}

func askAll(ctx context.Context, client *http.Client, probes []podProbe) error {
	var failed []error
	for _, p := range probes {
		if err := p.ask(ctx, client); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.component, err))
		}
	}
	return errors.Join(failed...)
}

func (p podProbe) ask(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, podsAsk)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, readErr := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if err := errors.Join(readErr, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 { // As the kubelet judges.
		return fmt.Errorf("%s is answered with %d", p.url, resp.StatusCode)
	}
	return nil
}

// podProbes are the probes of the static pods on this host, none where there are none.
func podProbes(h *host.Host) ([]podProbe, error) {
	var out []podProbe
	for _, c := range components {
		raw, err := h.ReadFile(manifest(c))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		url, err := probeURL(raw, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest(c), err)
		}
		if url != "" {
			out = append(out, podProbe{c, url})
		}
	}
	return out, nil
}

// probeURL reads out of a manifest where its component is asked: as the readiness
// probe asks, or the liveness probe where there is none. Empty when it has neither over
// HTTP at an address of its own.
func probeURL(raw []byte, component string) (string, error) {
	type probe struct {
		HTTPGet *struct {
			Host, Path, Scheme string
			Port               intstr.IntOrString
		} `json:"httpGet"`
	}
	var pod struct {
		Spec struct {
			Containers []struct {
				Name      string
				Readiness *probe `json:"readinessProbe"`
				Liveness  *probe `json:"livenessProbe"`
				Ports     []struct {
					Name string
					Port int32 `json:"containerPort"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &pod); err != nil {
		return "", err
	}
	for _, c := range pod.Spec.Containers {
		p := cmp.Or(c.Readiness, c.Liveness)
		if c.Name != component || p == nil || p.HTTPGet == nil || p.HTTPGet.Host == "" {
			continue
		}
		port := p.HTTPGet.Port.IntVal
		for _, named := range c.Ports {
			if p.HTTPGet.Port.Type == intstr.String && named.Name == p.HTTPGet.Port.StrVal {
				port = named.Port
			}
		}
		if port == 0 {
			return "", fmt.Errorf("its probe asks port %q, which it does not have", p.HTTPGet.Port.String())
		}
		scheme := strings.ToLower(cmp.Or(p.HTTPGet.Scheme, "HTTP"))
		return scheme + "://" + net.JoinHostPort(p.HTTPGet.Host, fmt.Sprint(port)) + "/" + strings.TrimPrefix(p.HTTPGet.Path, "/"), nil
	}
	return "", nil
}
