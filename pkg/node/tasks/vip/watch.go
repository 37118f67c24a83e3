package vip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	if _, err := netip.ParseAddr(cfg.Address); err != nil || cfg.Port < 1 || cfg.Port > 65535 {
		return WatchConfig{}, fmt.Errorf("the watcher's configuration: %q, port %d is no address to watch", cfg.Address, cfg.Port)
	}
	if cfg.CAFile == "" {
		cfg.CAFile = ClusterCA
	}
	if cfg.HealthFile == "" {
		cfg.HealthFile = HealthFile
	}
	return cfg, nil
}

// Watch looks at the local apiserver five times a second, and writes what
// keepalived is to know of it, until the context ends. It tells systemd that it
// is ready once the first state is written, and that it lives with every look.
//
// It begins with the state that an earlier watcher left, so that its own restart
// moves no address; without one, with Dead.
func Watch(ctx context.Context, cfg WatchConfig) error {
	p := policy{state: readState(cfg.HealthFile)}
	if err := writeState(cfg.HealthFile, p.state); err != nil {
		return err
	}
	if err := notify(cfg.NotifySocket, "READY=1\nSTATUS=the apiserver is "+p.state.String()); err != nil {
		return err
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
		if err := keepState(cfg.HealthFile, p.state); err != nil {
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

// keepState writes the state where it is not what stands there: keepalived
// takes a file that was removed for a 0.
func keepState(path string, s State) error {
	raw, err := os.ReadFile(path)
	if err == nil && string(raw) == content(int(s)) {
		return nil
	}
	return writeState(path, s)
}

func content(n int) string { return strconv.Itoa(n) + "\n" }

// writeState replaces the file in one step: keepalived would read 0, which is
// healthy, from a file that is empty for a moment. It takes a rename for a write.
func writeState(path string, s State) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(content(int(s))), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
