package survey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

const (
	manifestsDir     = "/etc/kubernetes/manifests"
	containerdConfig = "/etc/containerd/config.toml"
	kubeletConfig    = "/var/lib/kubelet/config.yaml"
)

// Run looks. What can't be read is in the facts, and no error.
func Run(_ context.Context, env node.Env, _ Spec) (any, error) {
	l := &look{h: env.Host, hostname: os.Hostname, addresses: net.InterfaceAddrs}
	return l.run(), nil
}

// Decode reads a result's data.
func Decode(data json.RawMessage) (Facts, error) {
	var f Facts
	err := json.Unmarshal(data, &f)
	return f, err
}

type look struct {
	h         *host.Host
	hostname  func() (string, error)
	addresses func() ([]net.Addr, error)
	facts     Facts
}

// miss notes what could not be read; what is not there is no miss.
func (l *look) miss(what string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.facts.Missed = append(l.facts.Missed, fmt.Sprintf("%s: %v", what, err))
	}
}

func (l *look) read(file string) []byte {
	raw, err := l.h.ReadFile(file)
	l.miss(file, err)
	return raw
}

func (l *look) run() Facts {
	var err error
	l.facts.HostName, err = l.hostname()
	l.miss("the host's name", err)
	all, err := l.addresses()
	l.miss("the host's addresses", err)
	for _, a := range all {
		l.facts.Addresses = append(l.facts.Addresses, a.String())
	}
	l.keepalived()
	l.staticPods()
	l.facts.ContainerdConfig = configVersion(l.read(containerdConfig))
	l.kubelet()
	return l.facts
}

func (l *look) keepalived() {
	raw := l.read(vip.ConfigPath)
	if len(raw) == 0 {
		return
	}
	k := Parse(raw)
	_, err := l.h.Stat(vip.WatchConfigPath)
	l.miss(vip.WatchConfigPath, err)
	k.Ours = err == nil
	l.facts.Keepalived = &k
}

func (l *look) staticPods() {
	entries, err := l.h.ReadDir(manifestsDir)
	l.miss(manifestsDir, err)
	for _, e := range entries {
		if ext := path.Ext(e.Name()); ext == ".yaml" || ext == ".yml" || ext == ".json" {
			l.facts.StaticPods = append(l.facts.StaticPods, strings.TrimSuffix(e.Name(), ext))
		}
	}
}

func (l *look) kubelet() {
	var config struct {
		CgroupDriver string `json:"cgroupDriver"`
	}
	l.miss(kubeletConfig, yaml.Unmarshal(l.read(kubeletConfig), &config))
	l.facts.CgroupDriver = config.CgroupDriver
	if found, err := l.h.LookPath("kubelet"); err == nil {
		l.facts.Kubelet = found
	}
}

// configVersion is the top-level version of containerd's configuration. One without is of version 1.
func configVersion(raw []byte) int {
	if len(bytes.TrimSpace(raw)) == 0 {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			break // What follows is a plugin's.
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "version" {
			continue
		}
		var n int
		if _, err := fmt.Sscan(value, &n); err == nil {
			return n
		}
	}
	return 1
}
