package vip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// WatchConfigPath is the watcher's configuration file.
const WatchConfigPath = "/etc/kubectl-ha/vip.json"

// ClusterCA is where kubeadm keeps the cluster's CA certificate.
const ClusterCA = "/etc/kubernetes/pki/ca.crt"

// WatchConfig is what the watcher and the drain task need to know.
type WatchConfig struct {
	VirtualIP string `json:"virtualIP"`
	// Address and Port are those of the local apiserver.
	Address string `json:"address"`
	Port    int32  `json:"port"`
	// CAFile verifies it. Default ClusterCA.
	CAFile string `json:"caFile,omitempty"`
	// HealthFile is where the State goes. Default HealthFile.
	HealthFile string `json:"healthFile,omitempty"`
	// HolderFile is where it goes whether this host has the address. Default HolderFile.
	HolderFile string `json:"holderFile,omitempty"`
	// Addresses lists the host's addresses. Default net.InterfaceAddrs.
	Addresses func() ([]net.Addr, error) `json:"-"`
	// NotifySocket is systemd's, from the environment variable NOTIFY_SOCKET
	// (sd_notify(3)). Empty: nobody is told.
	NotifySocket string `json:"-"`
	// Log, when set, takes a line for every change of the state.
	Log func(line string) `json:"-"`
}

// ReadWatchConfig reads the watcher's configuration file.
func ReadWatchConfig(path string) (WatchConfig, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return WatchConfig{}, fmt.Errorf("the watcher's configuration: %w", err)
	}
	return parseWatchConfig(raw)
}

func parseWatchConfig(raw []byte) (WatchConfig, error) {
	var cfg WatchConfig
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		return WatchConfig{}, fmt.Errorf("the watcher's configuration: %w", err)
	}
	if _, err := netip.ParseAddr(cfg.VirtualIP); err != nil {
		return WatchConfig{}, fmt.Errorf("the watcher's configuration: the virtual IP: %w", err)
	}
	if _, err := netip.ParseAddr(cfg.Address); err != nil || cfg.Port < 1 || cfg.Port > 65535 {
		return WatchConfig{}, fmt.Errorf("the watcher's configuration: %q, port %d is no address to watch", cfg.Address, cfg.Port)
	}
	if cfg.CAFile == "" {
		cfg.CAFile = ClusterCA
	}
	if cfg.HealthFile == "" {
		cfg.HealthFile = HealthFile
	}
	if cfg.HolderFile == "" {
		cfg.HolderFile = HolderFile
	}
	return cfg, nil
}

// Watch looks at the local apiserver five times a second, and writes what
// keepalived is to know of it and of who has the address, until the context ends. It tells systemd that it
// is ready once the first state is written, and that it lives with every look.
//
// It begins with the state that an earlier watcher left, so that its own restart
// moves no address; without one, with Dead.
func Watch(ctx context.Context, cfg WatchConfig) error {
	p := policy{state: readState(cfg.HealthFile)}
	if err := write(cfg.HealthFile, int(p.state)); err != nil {
		return err
	}
	if err := notify(cfg.NotifySocket, "READY=1\nSTATUS=the apiserver is "+p.state.String()); err != nil {
		return err
	}
	if cfg.Addresses == nil {
		cfg.Addresses = net.InterfaceAddrs
	}
	probe := newProber(cfg)
	for {
		before := p.state
		seen, why := probe.look(ctx)
		if ctx.Err() != nil {
			// Whatever was seen last is of our own end.
			return nil
		}
		again := p.see(seen)
		if err := keep(cfg.HealthFile, int(p.state)); err != nil {
			return err
		}
		if err := keepHolder(cfg); err != nil {
			return err
		}
		status := "WATCHDOG=1"
		if p.state != before {
			line := fmt.Sprintf("the apiserver is %s", p.state)
			if why != nil {
				line += ": " + why.Error()
			}
			status += "\nSTATUS=" + strings.ReplaceAll(line, "\n", " ")
			if cfg.Log != nil {
				cfg.Log(line)
			}
		}
		if err := notify(cfg.NotifySocket, status); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// readState reads what is written; whatever is no state is Dead.
func readState(path string) State {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Dead
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if s := State(n); err == nil && (s == Healthy || s == Sick) {
		return s
	}
	return Dead
}

// keepHolder writes down whether this host has the address.
func keepHolder(cfg WatchConfig) error {
	all, err := cfg.Addresses()
	if err != nil {
		return fmt.Errorf("look at the host's addresses: %w", err)
	}
	address, err := netip.ParseAddr(cfg.VirtualIP)
	if err != nil {
		return fmt.Errorf("the watcher's configuration: %w", err)
	}
	value := 0
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == address {
			value = 1
		}
	}
	return keep(cfg.HolderFile, value)
}

// keep writes a number where it is not what stands there: keepalived takes a
// file that was removed for a 0.
func keep(path string, n int) error {
	raw, err := os.ReadFile(path)
	if err == nil && string(raw) == content(n) {
		return nil
	}
	return write(path, n)
}

func content(n int) string { return strconv.Itoa(n) + "\n" }

// write replaces the file in one step: keepalived would read 0, which is
// healthy, from a file that is empty for a moment. It takes a rename for a write.
func write(path string, n int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(content(n)), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
