package kubeletcert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/controlplane"
)

const (
	// configPath is the kubelet's configuration, as kubeadm writes it.
	configPath  = "/var/lib/kubelet/config.yaml"
	pkiDir      = "/var/lib/kubelet/pki"
	kubeletUnit = "kubelet.service"
	// servingPrefix begins the names of the files of certificates that the cluster has signed.
	servingPrefix = "kubelet-server-"
	defaultPort   = 10250

	readyTimeout  = 2 * time.Minute
	readyInterval = 250 * time.Millisecond
	dialTimeout   = 3 * time.Second
)

// ServingSpec says where a kubelet's serving certificate comes from.
type ServingSpec struct {
	// FromCluster has it signed by the cluster's CA; otherwise the kubelet makes
	// one itself, which nobody can verify.
	FromCluster bool `json:"fromCluster"`
	// Address is the node's own, under which others reach the kubelet.
	Address string `json:"address"`
}

// Serving sets the kubelet's serverTLSBootstrap, restarts it where that is owed,
// and waits until it serves such a certificate. Somebody has to approve the
// request meanwhile.
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
func Serving(ctx context.Context, env node.Env, spec ServingSpec) (any, error) {
	h := env.Host
	before, err := h.ReadFile(configPath)
	if err != nil {
		return nil, fmt.Errorf("read the kubelet's configuration: %w", err)
	}
	after, err := SetServing(before, spec.FromCluster)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configPath, err)
	}
	if !bytes.Equal(before, after) {
		info, err := h.Stat(configPath)
		if err != nil {
			return nil, err
		}
		uid, gid := host.Owner(info)
		if _, err := h.WriteFile(ctx, host.File{Path: configPath, Content: after, Mode: info.Mode().Perm(), UID: uid, GID: gid}); err != nil {
			return nil, err
		}
	}
	u, err := h.Unit(ctx, kubeletUnit)
	if err != nil {
		return nil, err
	}
	owed := !bytes.Equal(before, after) || h.Stale(u, configPath)
	if owed {
		env.Progress("restarting the kubelet")
	}
	if _, err := h.EnsureUnit(ctx, kubeletUnit, owed); err != nil || h.DryRun() {
		return nil, err
	}
	if err := awaitServing(ctx, env, spec); err != nil {
		return nil, err
	}
	if spec.FromCluster {
		return nil, nil
	}
	return nil, forget(ctx, h)
}

// forget removes the certificates that the cluster has signed, which nothing uses any more.
func forget(ctx context.Context, h *host.Host) error {
	entries, err := h.ReadDir(pkiDir)
	if err != nil {
		return fmt.Errorf("look for the kubelet's certificates: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), servingPrefix) {
			continue
		}
		// The kubelet made it because of our setting, under a name that nobody knew before.
		if err := h.Record(ctx, host.KindFile, pkiDir+"/"+e.Name(), "the kubelet's certificate, signed by the cluster"); err != nil {
			return err
		}
		if _, err := h.Remove(ctx, pkiDir+"/"+e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// servingLine is the setting where kubeadm and people write it: at the top level.
var servingLine = regexp.MustCompile(`(?m)^serverTLSBootstrap:.*\n?`)

// SetServing sets serverTLSBootstrap in a kubelet's configuration and leaves all
// else as it is written.
func SetServing(config []byte, on bool) ([]byte, error) {
	was, err := servingIn(config)
	if err != nil {
		return nil, err
	}
	if was == on {
		return config, nil
	}
	out := servingLine.ReplaceAll(config, nil)
	if on {
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(bytes.Clone(out), "serverTLSBootstrap: true\n"...)
	}
	if now, err := servingIn(out); err != nil || now != on {
		return nil, errors.Join(fmt.Errorf("serverTLSBootstrap can't be set to %t, since it is written in a way that is not known here; set it there by hand", on), err)
	}
	return out, nil
}

func servingIn(config []byte) (bool, error) {
	var c struct {
		ServerTLSBootstrap bool `json:"serverTLSBootstrap"`
	}
	if err := yaml.Unmarshal(config, &c); err != nil {
		return false, fmt.Errorf("it is not YAML: %w", err)
	}
	return c.ServerTLSBootstrap, nil
}

// awaitServing waits until the kubelet serves the kind of certificate that it should.
func awaitServing(ctx context.Context, env node.Env, spec ServingSpec) error {
	port, roots, err := servedBy(env.Host)
	if err != nil {
		return err
	}
	address := net.JoinHostPort(spec.Address, port)
	env.Progress("waiting for the kubelet to serve its certificate")
	return host.Until(ctx, readyTimeout, readyInterval, func(ctx context.Context) error { return served(ctx, address, roots, spec.FromCluster) },
		func(seen error) error {
			return &node.Failure{Message: fmt.Sprintf("the kubelet serves no certificate of the right kind after %v; last seen: %v", readyTimeout, seen),
				Output: controlplane.KubeletLog(ctx, env.Host),
				Hint:   "look at kubectl get csr, and at the log of the deployment csr-approver in ha-system, which says why it approves none"}
		})
}

// servedBy is the kubelet's port, and the CA that its certificate is to be of.
func servedBy(h *host.Host) (port string, roots *x509.CertPool, err error) {
	config, err := h.ReadFile(configPath)
	if err != nil {
		return "", nil, err
	}
	var c struct {
		Port int `json:"port"`
	}
	if err := yaml.Unmarshal(config, &c); err != nil {
		return "", nil, fmt.Errorf("%s: %w", configPath, err)
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	ca, err := h.ReadFile(caCert)
	if err != nil {
		return "", nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return "", nil, fmt.Errorf("%s has no certificate", caCert)
	}
	return strconv.Itoa(c.Port), roots, nil
}

// served is nil when the kubelet answers, with a certificate of the cluster's CA
// for its address when that is wanted, and one of its own otherwise.
func served(ctx context.Context, address string, roots *x509.CertPool, fromCluster bool) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	// Verified below, since what is wanted may be one that nobody can verify.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // see above
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	state := conn.(*tls.Conn).ConnectionState()
	// The handshake is all that is wanted.
	_ = conn.Close()
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
	switch {
	case fromCluster:
		return err
	case err == nil:
		return errors.New("it is still the one that the cluster has signed")
	}
	return nil
}
