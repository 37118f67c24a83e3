package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/upgrade"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/vip"
)

// queryTimeout bounds one command.
const queryTimeout = 5 * time.Second

// units are those that matter.
var units = [...]string{"containerd.service", "kubelet.service", etcdmember.UnitName, "keepalived.service", "kubectl-ha-vip.service", "haproxy.service", "nginx.service"}

// Run looks. What can't be seen is left out, and said in Missed.
func Run(ctx context.Context, env node.Env, spec Spec) (any, error) {
	l := &look{h: env.Host, spec: spec}
	name, err := os.Hostname()
	l.miss("the host's name", err)
	l.facts.Hostname, l.facts.Kernel = name, l.text("/proc/sys/kernel/osrelease")
	l.certificates()
	l.virtualIP()
	l.units(ctx)
	l.pinned(ctx)
	l.etcdConfig()
	l.etcd(ctx)
	l.backups(ctx, env)
	armed, err := upgrade.Unfinished(l.h)
	l.miss("an upgrade that was not brought to its end", err)
	l.facts.Armed = armed
	l.balancers()
	if spec.LogLines > 0 {
		l.versions(ctx)
		l.logs(ctx)
	}
	l.facts.Time = time.Now().UTC()
	return l.facts, context.Cause(ctx)
}

// Decode reads a result's data.
func Decode(data json.RawMessage) (Facts, error) {
	var f Facts
	err := json.Unmarshal(data, &f)
	return f, err
}

type look struct {
	h     *host.Host
	spec  Spec
	facts Facts
}

// miss notes what could not be looked at; what is not there is no miss.
func (l *look) miss(what string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.facts.Missed = append(l.facts.Missed, fmt.Sprintf("%s: %v", what, err))
	}
}

func (l *look) text(file string) string {
	raw, err := l.h.ReadFile(file)
	l.miss(file, err)
	return strings.TrimSpace(string(raw))
}

func (l *look) virtualIP() {
	config := l.text("/etc/keepalived/keepalived.conf")
	if config == "" {
		return
	}
	v := &VIP{}
	l.facts.VIP = v
	v.Unicast, v.Peers = unicast(config)
	v.Checks = strings.Contains(config, "track_script") || strings.Contains(config, "track_process")
	addresses, err := net.InterfaceAddrs()
	l.miss("the host's addresses", err)
	for _, a := range addresses {
		if address, _, err := net.ParseCIDR(a.String()); err == nil && l.spec.VirtualIP != "" && address.Equal(net.ParseIP(l.spec.VirtualIP)) {
			v.Here = true
		}
	}
	if info, err := l.h.Stat(vip.HolderFile); err == nil {
		// The watcher writes it only when that changes.
		since := info.ModTime().UTC()
		v.Since = &since
	}
	if n, err := strconv.Atoi(l.text(vip.HealthFile)); err == nil {
		v.APIServer = vip.State(n).String()
	}
	v.Draining = l.text(vip.DrainFile) == "1"
}

// unicast counts the peers in keepalived.conf(5)'s unicast_peer block.
func unicast(config string) (bool, int) {
	_, block, found := strings.Cut(config, "unicast_peer")
	if !found {
		return false, 0
	}
	_, block, _ = strings.Cut(block, "{")
	block, _, _ = strings.Cut(block, "}")
	return true, len(strings.Fields(block))
}

func (l *look) units(ctx context.Context) {
	l.facts.Units = map[string]string{}
	for _, name := range units {
		u, err := l.h.Unit(ctx, name)
		l.miss(name, err)
		if err == nil && u.LoadState == "loaded" {
			l.facts.Units[name] = u.ActiveState
		}
	}
}

// pinned asks containerd for images with the label of those that stay.
// https://github.com/containerd/containerd/blob/main/docs/cri/image-decryption.md has no word of it; the label is io.cri-containerd.pinned.
func (l *look) pinned(ctx context.Context) {
	if _, err := l.h.LookPath("ctr"); err != nil {
		return
	}
	out, err := l.h.Query(ctx, host.Command{Argv: []string{"ctr", "--namespace", "k8s.io", "images", "list", "--quiet", `labels."io.cri-containerd.pinned"==pinned`}, Timeout: queryTimeout})
	l.miss("pinned images", err)
	if err != nil {
		return
	}
	l.facts.Pinned = []string{}
	for _, ref := range strings.Fields(string(out.Stdout)) {
		if !strings.HasPrefix(ref, "sha256:") {
			l.facts.Pinned = append(l.facts.Pinned, ref)
		}
	}
}

// etcdConfig reads the member's own file, or kubeadm's static pod.
func (l *look) etcdConfig() {
	if raw, err := l.h.ReadFile(etcdmember.ConfigPath); err == nil {
		quota, err := strconv.ParseInt(etcdmember.Setting(raw, "quota-backend-bytes"), 10, 64)
		l.miss(etcdmember.ConfigPath, err)
		l.facts.EtcdConfig = &EtcdConfig{StrictReconfig: etcdmember.Setting(raw, "strict-reconfig-check") != "false", QuotaBytes: quota}
		return
	}
	if raw, err := l.h.ReadFile(etcdmember.YAMLPath); err == nil {
		var c struct {
			Strict *bool `json:"strict-reconfig-check"`
			Quota  int64 `json:"quota-backend-bytes"`
		}
		err := yaml.Unmarshal(raw, &c)
		l.miss(etcdmember.YAMLPath, err)
		l.facts.EtcdConfig = &EtcdConfig{StrictReconfig: c.Strict == nil || *c.Strict, QuotaBytes: c.Quota}
		return
	}
	const static = kubernetesDir + "/manifests/etcd.yaml"
	raw, err := l.h.ReadFile(static)
	l.miss(static, err)
	if err == nil {
		l.facts.EtcdConfig = &EtcdConfig{StrictReconfig: !strings.Contains(string(raw), "--strict-reconfig-check=false")}
	}
}

// etcd asks the members as the apiserver does.
func (l *look) etcd(ctx context.Context) {
	if len(l.spec.EtcdEndpoints) == 0 {
		return
	}
	id, err := l.etcdLogin()
	if err != nil {
		l.facts.EtcdError = err.Error()
		return
	}
	c, err := etcd.Connect(ctx, l.spec.EtcdEndpoints, id)
	if err != nil {
		l.facts.EtcdError = err.Error()
		return
	}
	for _, s := range c.Status(ctx) {
		m := EtcdMember{Endpoint: s.Endpoint, Version: s.Version, Leader: s.ID != 0 && s.ID == s.Leader, Learner: s.Learner, DBBytes: s.DBBytes, Raft: s.RaftIndex}
		if s.Err != nil {
			m.Error = s.Err.Error()
		}
		for _, a := range s.Alarms {
			if a.MemberID == s.ID {
				m.Alarms = append(m.Alarms, a.Kind)
			}
		}
		l.facts.Etcd = append(l.facts.Etcd, m)
	}
	list, err := c.Members(ctx)
	l.miss("etcd's list of members", err)
	for _, m := range list {
		l.facts.EtcdList = append(l.facts.EtcdList, EtcdEntry{ID: fmt.Sprintf("%x", m.ID), Name: m.Name, PeerURLs: m.PeerURLs, Learner: m.Learner, Started: m.Started()})
	}
	l.miss("etcd", c.Close())
}

// etcdLogin is the apiserver's client certificate.
func (l *look) etcdLogin() (id etcd.TLS, err error) {
	for _, f := range []struct {
		to   *[]byte
		file string
	}{{&id.CA, "etcd/ca.crt"}, {&id.Cert, "apiserver-etcd-client.crt"}, {&id.Key, "apiserver-etcd-client.key"}} {
		if *f.to, err = l.h.ReadFile(path.Join(pkiDir, f.file)); err != nil {
			return id, fmt.Errorf("the apiserver's login to etcd: %w", err)
		}
	}
	return id, nil
}

func (l *look) backups(ctx context.Context, env node.Env) {
	data, err := backup.List(ctx, env, backup.ListSpec{})
	l.miss("the backups", err)
	list, ok := data.(backup.ListData)
	if !ok {
		return
	}
	for _, b := range list.Backups {
		l.facts.Backups = append(l.facts.Backups, Backup{Name: b.Name, Made: b.Created})
	}
}

// versionFlags are how programs tell their versions.
var versionFlags = map[string][]string{"kubelet": {"--version"}, "kubeadm": {"version", "-o", "short"}, "etcd": {"--version"}, "containerd": {"--version"}, "runc": {"--version"}, "keepalived": {"--version"}}

func (l *look) versions(ctx context.Context) {
	l.facts.Versions = map[string]string{}
	for name, flags := range versionFlags {
		if _, err := l.h.LookPath(name); err != nil {
			continue
		}
		out, err := l.h.Query(ctx, host.Command{Argv: append([]string{name}, flags...), Timeout: queryTimeout})
		l.miss(name, err)
		// keepalived tells it on standard error.
		first, _, _ := strings.Cut(strings.TrimSpace(string(out.Stdout)+"\n"+string(out.Stderr)), "\n")
		l.facts.Versions[name] = first
	}
}

// journal's own note at the head of its output is no line of a unit.
var journalNote = regexp.MustCompile(`(?m)^-- .* --\n`)

func (l *look) logs(ctx context.Context) {
	l.facts.Logs = map[string]string{}
	for name := range l.facts.Units {
		out, err := l.h.Query(ctx, host.Command{Argv: []string{"journalctl", "--unit", name, "--no-pager", "--output", "short-iso", "--lines", strconv.Itoa(l.spec.LogLines)}, Timeout: 4 * queryTimeout})
		l.miss("the log of "+name, err)
		l.facts.Logs[name] = Clean(journalNote.ReplaceAllString(string(out.Stdout), ""))
	}
}
