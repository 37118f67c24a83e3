package balancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// listTimeout bounds one apiserver's answer to which nodes there are.
	listTimeout = 3 * time.Second
	// maxAnswer bounds how much of an answer is read, in bytes; a node is some 10 KiB.
	maxAnswer = 16 << 20
)

// lister asks the apiservers which control planes there are.
type lister struct {
	port              int32
	caFile, tokenFile string
}

// members are the apiservers that there are, and how they treat who looks at them.
type members struct {
	backends []Backend
	// refused is true when apiservers tell nobody of their health who does not prove who
	// they are. One that starts does that to everybody for a moment, before it knows the
	// cluster's roles, and serves nobody yet.
	refused bool
}

// list asks one apiserver after the other, until one answers. An empty answer is an
// error: a load balancer without apiservers is of no use to anybody.
func (l lister) list(ctx context.Context, from []Backend) (members, error) {
	client, err := l.client()
	if err != nil {
		return members{}, err
	}
	defer client.CloseIdleConnections()
	var failed []error
	for _, b := range from {
		all, err := l.ask(ctx, client, b)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		// It knew the pod a moment ago, so it is no apiserver that has just started. No
		// answer says nothing: where strangers are refused everybody would fail the checks.
		status, err := readyz(ctx, client, b.endpoint(l.port))
		if err == nil {
			return members{all, refuses(status)}, nil
		}
		failed = append(failed, err)
	}
	return members{}, errors.Join(failed...)
}

// client trusts the cluster's CA alone, and goes through no proxy.
func (l lister) client() (*http.Client, error) {
	config, err := tlsConfig(l.caFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: listTimeout, Transport: &http.Transport{TLSClientConfig: config}}, nil
}

func tlsConfig(caFile string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("the cluster's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s is no PEM certificate", caFile)
	}
	return &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}, nil
}

// ask asks one apiserver. Version 0 is what it has in memory: the question costs
// nobody anything, and is asked again in a moment.
func (l lister) ask(ctx context.Context, client *http.Client, b Backend) ([]Backend, error) {
	token, err := os.ReadFile(l.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("the pod's token: %w", err)
	}
	query := url.Values{"labelSelector": {"node-role.kubernetes.io/control-plane"}, "resourceVersion": {"0"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+b.endpoint(l.port)+"/api/v1/nodes?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("list the control planes: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list the control planes: %s answers %s", b.Name, resp.Status)
	}
	return parseNodes(body)
}

// parseNodes reads the nodes' names and addresses.
func parseNodes(body []byte) ([]Backend, error) {
	var list corev1.NodeList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("list the control planes: %w", err)
	}
	var out []Backend
	for _, n := range list.Items {
		for _, a := range n.Status.Addresses {
			if a.Type != corev1.NodeInternalIP {
				continue
			}
			b := Backend{Name: n.Name, Address: a.Address}
			if err := b.check(); err != nil {
				return nil, fmt.Errorf("list the control planes: %w", err)
			}
			out = append(out, b)
			break // The first is the one that kubelets and kubeadm go by.
		}
	}
	if len(out) == 0 {
		return nil, errors.New("list the control planes: the answer has none")
	}
	return sorted(out), nil
}
