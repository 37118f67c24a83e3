package etcdcare

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

const (
	// clusterCA signs the apiservers' certificates; control planes have it.
	clusterCA = "/etc/kubernetes/pki/ca.crt"
	// readyTimeout bounds one question to one apiserver, gateInterval is between two looks.
	readyTimeout = 5 * time.Second
	gateInterval = time.Second
	// gateCompare bounds one comparison of the members' data within a gate.
	gateCompare = CompareTimeout
)

// Gate waits until every member is well and follows one leader, no alarm is raised, all have the
// same data at one revision, and every apiserver is ready. With Target it judges at once whether
// etcd may go there; with Settled it waits until all members are of that version.
func Gate(ctx context.Context, env node.Env, spec GateSpec) (_ any, err error) {
	client, err := connect(ctx, env, spec.Endpoints)
	if err != nil || env.Host.DryRun() {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	g := gate{spec: spec, client: client, progress: env.Progress}
	if len(spec.APIServers) > 0 {
		if g.http, err = readyClient(env.Host); err != nil {
			return nil, err
		}
		defer g.http.CloseIdleConnections()
	}
	if err := g.may(ctx); err != nil {
		return nil, err
	}
	return g.wait(ctx)
}

type gate struct {
	spec     GateSpec
	client   *etcd.Client
	http     *http.Client
	progress func(format string, args ...any)
}

// may judges the target, which no waiting changes.
func (g gate) may(ctx context.Context) error {
	if g.spec.Target == "" {
		return nil
	}
	v := g.client.View(ctx)
	var wrong []error
	check := etcd.CheckUpgrade
	if g.spec.Downgrade {
		check = etcd.CheckDowngrade
	}
	for _, p := range check(v, g.spec.Target) {
		wrong = append(wrong, fmt.Errorf("%s\nnext: %s", p.Message, p.Next))
	}
	if len(wrong) > 0 || g.spec.Downgrade || !etcd.NeedsNewLog(v, g.spec.Target) {
		return errors.Join(wrong...)
	}
	ctx, cancel := context.WithTimeout(ctx, LogTimeout)
	defer cancel()
	err := g.client.RenewLog(ctx, max(g.spec.SnapshotCount, etcd.DefaultSnapshotCount), func(left int) {
		g.progress("renewing the log, which 3.7 could not read as far as 3.5 wrote it: %s not written it anew", report.Plural(left, "member has", "members have"))
	})
	if err != nil {
		return host.WithHint(err, "see to what is named (kubectl ha etcd status), then go on with the same command; nothing was changed")
	}
	return nil
}

func (g gate) wait(ctx context.Context) (GateData, error) {
	var data GateData
	limit := GateTimeout - time.Minute
	err := host.Until(ctx, limit, gateInterval, func(ctx context.Context) (err error) {
		data, err = g.look(ctx)
		if err != nil {
			g.progress("waiting: %v", err)
		}
		return err
	}, func(seen error) error {
		return host.WithHint(fmt.Errorf("not well within %v: %w", limit, seen),
			"see to what is named (kubectl ha etcd status; journalctl -u etcd on the member), then go on with the same command; different data: kubectl ha etcd check")
	})
	return data, err
}

// look is nil when all is well.
func (g gate) look(ctx context.Context) (GateData, error) {
	data := GateData{Versions: map[string]string{}}
	v := g.client.View(ctx)
	judge := etcd.Healthy
	if g.spec.MayBeFull {
		judge = etcd.ButFull
	}
	if err := judge(v); err != nil {
		return data, err
	}
	if g.spec.Settled != "" {
		if err := etcd.Settled(v, g.spec.Settled); err != nil {
			return data, err
		}
	}
	for _, s := range v.Status {
		data.Versions[s.Endpoint] = s.Version
		if s.ID == s.Leader {
			data.Leader = s.Endpoint
		}
	}
	for _, address := range g.spec.APIServers {
		if err := g.ready(ctx, address); err != nil {
			return data, err
		}
	}
	h, err := g.client.Compare(ctx, gateCompare)
	data.Revision = h.Revision
	if err == nil {
		err = h.Err()
	}
	return data, err
}

// ready asks an apiserver for /readyz, which includes a read from etcd. One that knows no
// strangers does its work.
func (g gate) ready(ctx context.Context, address string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return fmt.Errorf("the apiserver at %s: %w", address, err)
	}
	_, readErr := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err := errors.Join(readErr, resp.Body.Close()); err != nil {
		return fmt.Errorf("the apiserver at %s: %w", address, err)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden:
		return nil
	}
	return fmt.Errorf("the apiserver at %s is not ready: /readyz answers %d", address, resp.StatusCode)
}

func readyClient(h *host.Host) (*http.Client, error) {
	pem, err := h.ReadFile(clusterCA)
	if err != nil {
		return nil, host.WithHint(fmt.Errorf("the cluster's CA, to ask the apiservers: %w", err), "this has to be asked on a control plane")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s is not a PEM certificate", clusterCA)
	}
	return &http.Client{
		// No Proxy: these are the cluster's own hosts.
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
