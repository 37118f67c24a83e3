package uninstall

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/bootstrap"
	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Snapshot is a snapshot of etcd on this machine.
type Snapshot struct {
	File     string `json:"file"`
	Revision int64  `json:"revision,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
}

// noSnapshot is a last snapshot that could not be taken.
type noSnapshot struct{ err error }

func (e *noSnapshot) Error() string { return e.err.Error() }
func (e *noSnapshot) Unwrap() error { return e.err }

// Explain says how to go on.
func (e *noSnapshot) Explain() (detail, hint string) {
	return "", "nothing was changed on the hosts; see to it that a majority of etcd's members runs, or go on without a snapshot: --no-snapshot. Backups that upgrades made are in " + backup.Dir + " on the hosts, and go with them"
}

// takeSnapshot copies etcd's database through the hosts' own SSH sessions, and
// reads it back before it counts. The file is for its owner alone: it has every
// secret of the cluster.
func takeSnapshot(ctx context.Context, hosts Hosts, c *v1alpha1.Cluster, members []string, file string, sink report.Sink) (s Snapshot, err error) {
	defer func() {
		if err != nil {
			err = &noSnapshot{fmt.Errorf("a last snapshot of etcd can't be taken: %w", err)}
		}
	}()
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return s, errors.Join(err, fmt.Errorf("there is something at %s already", file))
	}
	id, err := identity(ctx, hosts, c, members, sink)
	if err != nil {
		return s, err
	}
	through := map[string]string{}
	var endpoints []string
	for _, name := range members {
		h, _ := c.Host(name)
		address := h.EtcdAddress()
		through[address] = name
		endpoints = append(endpoints, h.EtcdURL())
	}
	client, err := etcd.ConnectVia(ctx, endpoints, id, func(ctx context.Context, network, address string) (net.Conn, error) {
		host, ok := through[address]
		if !ok {
			return nil, fmt.Errorf("%s is no member of etcd", address)
		}
		return hosts.DialContext(host)(ctx, network, address)
	})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	from, err := client.Snapshot(ctx)
	if err != nil {
		return s, err
	}
	return copySnapshot(ctx, from, file)
}

// identity asks the members for certificates, one after the other.
func identity(ctx context.Context, hosts Hosts, c *v1alpha1.Cluster, members []string, sink report.Sink) (etcd.TLS, error) {
	var errs []error
	for _, name := range members {
		res, err := bootstrap.Call(ctx, hosts, name, node.Request{Cluster: c.Metadata.Name, Task: tasks.EtcdIdentity, Step: StepSnapshot, Timeout: time.Minute}, backup.IdentitySpec{}, sink)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var data backup.IdentityData
		if err := json.Unmarshal(res.Data, &data); err != nil {
			// The error could quote the key.
			errs = append(errs, fmt.Errorf("%s: the answer with the certificates for etcd can't be read", name))
			continue
		}
		return etcd.TLS{CA: data.CA, Cert: data.Cert, Key: data.Key}, nil
	}
	return etcd.TLS{}, errors.Join(errs...)
}

// copySnapshot writes the file beside its place, and gives it its name once it is whole.
func copySnapshot(ctx context.Context, from *etcd.Snapshot, file string) (s Snapshot, err error) {
	tmp := file + ".partial"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	out := bufio.NewWriterSize(f, 1<<20)
	_, err = from.CopyTo(ctx, out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Chmod(0o600) // There may have been a file of an earlier run.
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return s, err
	}
	status, err := etcd.CheckSnapshot(ctx, tmp)
	if err != nil {
		return s, err
	}
	if status.Revision < from.AtLeast {
		return s, fmt.Errorf("it ends at the revision %d, but etcd had acknowledged %d before", status.Revision, from.AtLeast)
	}
	return Snapshot{File: file, Revision: status.Revision, Bytes: status.Bytes, SHA256: status.SHA256}, os.Rename(tmp, file)
}
