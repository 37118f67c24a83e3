package etcdmember

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	// ConfigPath is etcd's own configuration file.
	ConfigPath = "/etc/etcd/etcd.yaml"
	// ClientPort and PeerPort are etcd's registered ports; clients and peers alike use TLS.
	ClientPort, PeerPort = "2379", "2380"

	caFile     = PKIDir + "/ca.crt"
	serverCert = PKIDir + "/server.crt"
	serverKey  = PKIDir + "/server.key"
	peerCert   = PKIDir + "/peer.crt"
	peerKey    = PKIDir + "/peer.key"
)

// owned are the settings that make the member what it is; Args can't have them.
var owned = []string{
	"name", "data-dir", "config-file", "initial-cluster", "initial-cluster-token", "initial-cluster-state",
	"initial-advertise-peer-urls", "advertise-client-urls", "listen-peer-urls", "listen-client-urls",
	"client-transport-security", "peer-transport-security",
	"cert-file", "key-file", "client-cert-auth", "trusted-ca-file", "auto-tls",
	"peer-cert-file", "peer-key-file", "peer-client-cert-auth", "peer-trusted-ca-file", "peer-auto-tls",
	"strict-reconfig-check", "force-new-cluster",
}

// lists are the flags whose value is a list in the file and comma-separated elsewhere.
var lists = []string{"cipher-suites", "log-outputs"}

// texts are the flags whose value may look like a number, and is text.
var texts = []string{"auto-compaction-retention"}

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
		if slices.Contains(owned, key) {
			return fmt.Errorf("etcd.extraArgs: %q is set by kubectl-ha, it can't be given", key)
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

// config is etcd's configuration file: its keys are the names of etcd's flags.
// https://etcd.io/docs/v3.6/op-guide/configuration/
func (s Spec) config() ([]byte, error) {
	loopback := "127.0.0.1"
	if a, err := netip.ParseAddr(s.Address); err == nil && a.Is6() {
		loopback = "::1"
	}
	state := "new"
	if s.Join {
		state = "existing"
	}
	c := map[string]any{
		"name":                        s.Name,
		"data-dir":                    s.DataDir,
		"listen-peer-urls":            httpsURL(s.Address, PeerPort),
		"initial-advertise-peer-urls": httpsURL(s.Address, PeerPort),
		"listen-client-urls":          httpsURL(s.Address, ClientPort) + "," + httpsURL(loopback, ClientPort),
		"advertise-client-urls":       httpsURL(s.Address, ClientPort),
		// Plain, but only for this host: metrics and health.
		"listen-metrics-urls":   "http://" + net.JoinHostPort(loopback, "2381"),
		"initial-cluster":       strings.Join(initial(s.Members), ","),
		"initial-cluster-token": s.Token,
		"initial-cluster-state": state,
		// etcd#10499: it keeps a member from being added to a sick cluster.
		"strict-reconfig-check": true,
		// The documented upper end; the default of 2 GiB is full with a few thousand pods' events.
		"quota-backend-bytes": int64(8) << 30,
		// kube-apiserver compacts by itself.
		"auto-compaction-retention": "0",
		"tls-min-version":           "TLS1.2",
		"client-transport-security": security(serverCert, serverKey),
		"peer-transport-security":   security(peerCert, peerKey),
	}
	for key, value := range s.Args {
		c[key] = typed(key, value)
	}
	return yaml.Marshal(c)
}

func security(cert, key string) map[string]any {
	return map[string]any{"cert-file": cert, "key-file": key, "trusted-ca-file": caFile, "client-cert-auth": true}
}

// typed gives a flag's value the type that the file wants: etcd refuses text
// where it wants a number, and the other way round.
func typed(key, value string) any {
	if slices.Contains(lists, key) {
		return strings.Split(value, ",")
	}
	if slices.Contains(texts, key) {
		return value
	}
	if value == "true" || value == "false" {
		return value == "true"
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	return value
}

func httpsURL(address, port string) string { return "https://" + net.JoinHostPort(address, port) }
