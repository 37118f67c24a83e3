package etcdmember

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const (
	// ConfigPath has etcd's settings, as variables of its environment.
	ConfigPath = "/etc/etcd/etcd.env"
	// YAMLPath is the configuration file of members that an earlier version of this
	// program has set up, until they are set up anew.
	YAMLPath = "/etc/etcd/etcd.yaml"
	// ClientPort and PeerPort are etcd's registered ports; clients and peers alike use TLS.
	ClientPort, PeerPort = "2379", "2380"

	caFile     = PKIDir + "/ca.crt"
	serverCert = PKIDir + "/server.crt"
	serverKey  = PKIDir + "/server.key"
	peerCert   = PKIDir + "/peer.crt"
	peerKey    = PKIDir + "/peer.key"
)

// validate finds what can't work before anything is changed.
func (s Spec) validate() error {
	if s.Name == "" || s.Token == "" {
		return fmt.Errorf("etcd: the member's name and the cluster's token are needed")
	}
	if !path.IsAbs(s.DataDir) || path.Clean(s.DataDir) != s.DataDir || s.DataDir == "/" {
		return fmt.Errorf("etcd: the data directory %q is not a clean absolute path", s.DataDir)
	}
	if s.Members[s.Name] != s.Address {
		return fmt.Errorf("etcd: the members list %q at %q, but this host is %q", s.Name, s.Members[s.Name], s.Address)
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		address := s.Members[name]
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("etcd: the address %q of the member %s is not an IP address", address, name)
		}
		if seen[address] != "" {
			return fmt.Errorf("etcd: the members %s and %s have the same address %s", seen[address], name, address)
		}
		seen[address] = name
	}
	for _, key := range slices.Sorted(maps.Keys(s.Args)) {
		if slices.Contains(v1alpha1.OwnEtcdFlags(), key) {
			return fmt.Errorf("etcd.extraArgs: %q is set by kubectl-ha, it can't be given", key)
		}
		if strings.ContainsFunc(s.Args[key], unicode.IsControl) {
			return fmt.Errorf("etcd.extraArgs: the value of %q has a line break or another control character", key)
		}
		if strings.HasPrefix(key, "-") {
			return fmt.Errorf("etcd.extraArgs: %q: leave out the leading dashes", key)
		}
	}
	for name, pem := range map[string][]byte{"CA": s.CA, "server certificate": s.ServerCert, "server key": s.ServerKey, "peer certificate": s.PeerCert, "peer key": s.PeerKey} {
		if len(pem) == 0 {
			return fmt.Errorf("etcd: the %s is missing", name)
		}
	}
	return nil
}

// settings are the flags of etcd with their values: what makes the member what it is,
// what the Cluster may change, and what it has changed.
// https://etcd.io/docs/v3.6/op-guide/configuration/
func (s Spec) settings() map[string]string {
	loopback := "127.0.0.1"
	if a, err := netip.ParseAddr(s.Address); err == nil && a.Is6() {
		loopback = "::1"
	}
	state := "new"
	if s.Join {
		state = "existing"
	}
	c := map[string]string{
		"name":                        s.Name,
		"data-dir":                    s.DataDir,
		"listen-peer-urls":            httpsURL(s.Address, PeerPort),
		"initial-advertise-peer-urls": httpsURL(s.Address, PeerPort),
		"listen-client-urls":          httpsURL(s.Address, ClientPort) + "," + httpsURL(loopback, ClientPort),
		"advertise-client-urls":       httpsURL(s.Address, ClientPort),
		// Plain, but only for this host: metrics and health.
		"listen-metrics-urls":   "http://" + net.JoinHostPort(loopback, "2381"),
		initialCluster:          strings.Join(initial(s.Members), ","),
		"initial-cluster-token": s.Token,
		"initial-cluster-state": state,
		// etcd#10499: it keeps a member from being added to a sick cluster.
		"strict-reconfig-check": "true",
		// The documented upper end; the default of 2 GiB is full with a few thousand pods' events.
		"quota-backend-bytes": strconv.FormatInt(8<<30, 10),
		// kube-apiserver compacts by itself.
		"auto-compaction-retention": "0",
		"tls-min-version":           "TLS1.2",
		"cert-file":                 serverCert, "key-file": serverKey, "trusted-ca-file": caFile, "client-cert-auth": "true",
		"peer-cert-file": peerCert, "peer-key-file": peerKey, "peer-trusted-ca-file": caFile, "peer-client-cert-auth": "true",
	}
	maps.Copy(c, s.Args)
	return c
}

// config is the file that systemd puts into etcd's environment. etcd takes every flag
// from there, with the flag's own notation. Its configuration file would be another
// language: durations are nanoseconds in it, some flags are no keys of it, and a key
// that it does not know is passed over without a word.
func (s Spec) config() []byte { return environment(s.settings()) }

// checkArgs has this host's etcd judge the further flags, before anything is changed:
// it reads all of them before it tells its version.
func (s Spec) checkArgs(ctx context.Context, h *host.Host) error {
	if len(s.Args) == 0 || h.DryRun() {
		return nil // A dry run may be on a host without etcd.
	}
	argv := []string{binary}
	for _, name := range slices.Sorted(maps.Keys(s.Args)) {
		argv = append(argv, "--"+name+"="+s.Args[name])
	}
	out, err := h.Query(ctx, host.Command{Argv: append(argv, "--version"), Timeout: 30 * time.Second})
	if err == nil {
		return s.checkRevocation(h, string(out.Stdout))
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out.Stderr)), "\n")
	if first == "" {
		first = err.Error()
	}
	return host.WithHint(fmt.Errorf("etcd does not take spec.etcd.extraArgs: %s", first), "etcd --help on the host lists its flags; nothing of etcd was changed")
}

func httpsURL(address, port string) string { return "https://" + net.JoinHostPort(address, port) }
