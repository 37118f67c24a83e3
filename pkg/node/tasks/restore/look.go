package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// caPath is kubeadm's, which each node has.
const caPath = "/etc/kubernetes/pki/ca.crt"

// Look tells what a host has that a restore is about. It changes nothing.
func Look(ctx context.Context, env node.Env, spec LookSpec) (any, error) {
	h := env.Host
	if !path.IsAbs(spec.DataDir) || path.Clean(spec.DataDir) != spec.DataDir {
		return nil, fmt.Errorf("restore: the data directory %q is not a clean absolute path", spec.DataDir)
	}
	var out LookData
	var err error
	if out.State, err = readState(h); err != nil {
		return nil, err
	}
	list, err := taskbackup.List(ctx, env, taskbackup.ListSpec{})
	if err != nil {
		return nil, err
	}
	if data, ok := list.(taskbackup.ListData); ok {
		out.Backups = data.Backups
	}
	if out.Manifests, err = staticPods(h, stoppedDir); err != nil {
		return nil, err
	}
	if err := out.authority(h); err != nil {
		return nil, err
	}
	config, err := h.ReadFile(etcdmember.ConfigPath)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil // It has no member.
	}
	if err != nil {
		return nil, err
	}
	out.Name, out.PeerURL = etcdmember.Setting(config, "name"), etcdmember.Setting(config, "initial-advertise-peer-urls")
	if quota, err := strconv.ParseInt(etcdmember.Setting(config, "quota-backend-bytes"), 10, 64); err == nil {
		out.QuotaBytes = quota
	}
	out.EtcdVersion = etcdVersion(ctx, h)
	if err := out.data(ctx, h, spec, etcdmember.Setting(config, "advertise-client-urls")); err != nil {
		return nil, err
	}
	return out, nil
}

// authority tells of the CA of Kubernetes. The first one of the file is the one that signs. One that
// can't be read keeps nobody from a restore.
func (d *LookData) authority(h *host.Host) error {
	raw, err := h.ReadFile(caPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	all := pki.Certs(raw)
	if len(all) == 0 {
		return nil
	}
	if ca, err := pki.ParseCert(all[0]); err == nil {
		d.CASince, d.CAs = ca.NotBefore, len(all)
	}
	return nil
}

// data tells how far the member's data is: the member itself, when it runs, or its files.
func (d *LookData) data(ctx context.Context, h *host.Host, spec LookSpec, endpoint string) error {
	entries, err := h.ReadDir(spec.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if of, ok := strings.CutPrefix(e.Name(), asidePrefix); ok {
			d.AsideOf = append(d.AsideOf, of)
		}
		d.HasData = d.HasData || e.Name() == "member"
	}
	if !d.HasData {
		return nil
	}
	status, asked := askMember(ctx, h, endpoint)
	if asked != nil {
		var read error
		if status, read = etcd.ReadData(h.Path(path.Join(spec.DataDir, "member", "snap", "db"))); read != nil {
			d.Unknown = errors.Join(asked, read).Error()
			return nil
		}
	}
	d.Applied, d.Revision = status.Applied, status.Revision
	return nil
}

func askMember(ctx context.Context, h *host.Host, endpoint string) (_ etcd.DataStatus, err error) {
	id, err := etcdmember.Identity(h)
	if err != nil {
		return etcd.DataStatus{}, err
	}
	c, err := etcd.Connect(ctx, []string{endpoint}, id)
	if err != nil {
		return etcd.DataStatus{}, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return c.Applied(ctx)
}

// etcdVersion is what etcd says of itself; empty when it can't be run.
func etcdVersion(ctx context.Context, h *host.Host) string {
	out, err := h.Query(ctx, host.Command{Argv: []string{etcdBinary, "--version"}, Timeout: 30 * time.Second})
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out.Stdout), "\n")
	version, _ := strings.CutPrefix(first, "etcd Version: ")
	return strings.TrimSpace(version)
}
