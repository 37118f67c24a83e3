package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

const (
	etcdBinary = "/usr/local/bin/etcd"
	// upTimeout bounds the start of an etcd of a few gigabytes that nobody else uses.
	upTimeout   = 5 * time.Minute
	workDir     = Dir + "/throw-away"
	throwAwayID = "throw-away"
	certLife    = 24 * time.Hour
)

// salvage makes a snapshot of a member's own data, for a cluster that has lost its quorum: a copy
// of it is started as a cluster of its own, so that what is in the log and not in the database yet
// comes along. The data itself is only read, with etcd stopped.
func salvage(ctx context.Context, env node.Env, spec Spec) (_ any, err error) {
	h := env.Host
	data := workDir + "/data"
	if err := clean(ctx, h); err != nil {
		return nil, err
	}
	size, err := treeBytes(h.Path(spec.member()))
	if err != nil {
		return nil, fmt.Errorf("the size of this member's data: %w", err)
	}
	// Before anything is stopped: the copy, and the snapshot of it.
	if err := room(h, Dir, 2*size); err != nil {
		return nil, err
	}
	if err := stopEtcd(ctx, env); err != nil {
		return nil, err
	}
	if _, err := h.Mkdir(ctx, data, 0o700, 0, 0); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean(context.WithoutCancel(ctx), h)) }()
	env.Progress("copying the data of this member")
	if _, err := h.Run(ctx, "copy the member's data", host.Command{Argv: []string{"cp", "-a", spec.member(), data + "/member"}, Timeout: restoreTimeout}); err != nil {
		return nil, err
	}
	if h.DryRun() {
		return Data{}, nil
	}
	// etcd's own user owns the copy; root runs it, which may read all.
	var status etcd.SnapshotStatus
	err = throwAway(ctx, env, data, []string{"--force-new-cluster"}, func(ctx context.Context, c *etcd.Client) error {
		from, err := c.Snapshot(ctx)
		if err != nil {
			return err
		}
		_, err = h.StreamFile(ctx, host.File{Path: SnapshotPath, Mode: 0o600, Note: "a snapshot of what a surviving member has"}, func(w io.Writer) error {
			_, err := from.CopyTo(ctx, w)
			return err
		}, func(path string) (err error) {
			status, err = etcd.CheckSnapshot(ctx, path)
			return err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a snapshot of this member's data: %w", err)
	}
	return Data{Snapshot: &taskbackup.Snapshot{Revision: status.Revision, Entries: status.Entries, Bytes: status.Bytes, SHA256: status.SHA256}}, nil
}

// treeBytes is the size of all files below a directory.
func treeBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // etcd removes old files of its log.
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

func clean(ctx context.Context, h *host.Host) error {
	_, err := h.RemoveTree(ctx, workDir)
	return err
}

// throwAway runs an etcd on a data directory for as long as use needs it, reachable for its own
// client only: over loopback, with certificates of its own.
func throwAway(ctx context.Context, env node.Env, data string, flags []string, use func(context.Context, *etcd.Client) error) (err error) {
	id, files, err := ownIdentity(ctx, env.Host)
	if err != nil {
		return err
	}
	client, err := freeURL(ctx)
	if err != nil {
		return err
	}
	peer, err := freeURL(ctx)
	if err != nil {
		return err
	}
	argv := append([]string{etcdBinary, "--name", throwAwayID, "--data-dir", data, "--logger", "zap", "--log-level", "warn", "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", throwAwayID + "=" + peer, "--quota-backend-bytes", "17179869184",
		"--client-cert-auth", "--peer-client-cert-auth"}, append(files, flags...)...)
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := env.Host.RunWhile(running, "run an etcd that is thrown away", host.Command{Argv: argv})
		ended <- err
		stop() // Nobody waits for one that is gone.
	}()
	defer func() {
		died := running.Err() != nil && ctx.Err() == nil
		stop()
		// What is killed at the end says so; only one that ended by itself is an error.
		if runErr := <-ended; died {
			err = errors.Join(fmt.Errorf("the throw-away etcd has ended: %w", runErr), err)
		}
	}()
	c, err := etcd.Connect(running, []string{client}, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	env.Progress("starting an etcd that is thrown away")
	if err := host.Until(running, upTimeout, 200*time.Millisecond, func(ctx context.Context) error {
		_, err := c.Members(ctx)
		return err
	}, func(seen error) error {
		return fmt.Errorf("the throw-away etcd is not ready after %v: %w", upTimeout, seen)
	}); err != nil {
		return err
	}
	return use(running, c)
}

// ownIdentity makes a CA and a certificate for one etcd and its one client.
func ownIdentity(ctx context.Context, h *host.Host) (etcd.TLS, []string, error) {
	ca, err := pki.NewCA(throwAwayID, certLife)
	if err != nil {
		return etcd.TLS{}, nil, err
	}
	pair, err := pki.Issue(ca, pki.Request{CommonName: throwAwayID, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Client: true, Validity: certLife})
	if err != nil {
		return etcd.TLS{}, nil, err
	}
	var flags []string
	for _, f := range []struct {
		name, flag string
		content    []byte
	}{{"ca.crt", "trusted-ca-file", ca.CertPEM}, {"etcd.crt", "cert-file", pair.CertPEM}, {"etcd.key", "key-file", pair.KeyPEM}} {
		file := workDir + "/" + f.name
		if _, err := h.WriteFile(ctx, host.File{Path: file, Mode: 0o600, Content: f.content, Note: "of an etcd that is thrown away"}); err != nil {
			return etcd.TLS{}, nil, err
		}
		flags = append(flags, "--"+f.flag, h.Path(file), "--peer-"+f.flag, h.Path(file))
	}
	return etcd.TLS{CA: ca.CertPEM, Cert: pair.CertPEM, Key: pair.KeyPEM}, flags, nil
}

// freeURL is one on loopback that nobody listens on now.
func freeURL(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "https://" + l.Addr().String(), l.Close()
}

// Verify restores the snapshot into an etcd that is thrown away, and compares what that holds.
func Verify(ctx context.Context, env node.Env, spec Spec) (_ any, err error) {
	h := env.Host
	if _, err := h.Mkdir(ctx, workDir, 0o700, 0, 0); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean(context.WithoutCancel(ctx), h)) }()
	file, data := workDir+"/etcd-snapshot.db", workDir+"/data"
	if err := room(h, workDir, 2*spec.Bytes); err != nil {
		return nil, err
	}
	get := spec
	var status etcd.SnapshotStatus
	if err := fill(ctx, env, get, file, func(path string) (err error) {
		status, err = etcd.CheckSnapshot(ctx, path)
		return err
	}); err != nil {
		return nil, err
	}
	if status.SHA256 != spec.SHA256 {
		return nil, fmt.Errorf("the snapshot has the SHA-256 %s instead of %s", status.SHA256, spec.SHA256)
	}
	if err := room(h, workDir, status.Bytes); err != nil {
		return nil, err
	}
	if _, err := h.Run(ctx, "restore the snapshot into an etcd that is thrown away", host.Command{Timeout: restoreTimeout,
		Argv: []string{etcdutl, "snapshot", "restore", h.Path(file), "--data-dir", h.Path(data), "--name", throwAwayID, "--initial-cluster", throwAwayID + "=https://127.0.0.1:1", "--initial-advertise-peer-urls", "https://127.0.0.1:1"}}); err != nil {
		return nil, err
	}
	out := VerifyData{Revision: status.Revision, Entries: status.Entries}
	err = throwAway(ctx, env, h.Path(data), []string{"--force-new-cluster"}, func(ctx context.Context, c *etcd.Client) error {
		n, err := c.Count(ctx)
		out.Keys, out.Hash = n.Keys, n.Hash
		if err == nil && n.Revision != status.Revision {
			err = fmt.Errorf("the restored etcd is at the revision %d, not at %d", n.Revision, status.Revision)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// VerifyData is what a snapshot was found to hold once it was restored.
type VerifyData struct {
	Revision int64 `json:"revision"`
	// Entries is the number of keys' revisions in the file, Keys that of keys which etcd counts, and
	// Hash etcd's own of all of them (HashKV).
	Entries int64  `json:"entries"`
	Keys    int64  `json:"keys"`
	Hash    uint32 `json:"hash"`
}

// fill writes a snapshot from where the spec says.
func fill(ctx context.Context, env node.Env, spec Spec, to string, check func(string) error) error {
	_, err := env.Host.StreamFile(ctx, host.File{Path: to, Mode: 0o600, Note: "a snapshot of etcd that is verified"}, func(w io.Writer) error { return source(ctx, env, spec, w) }, check)
	return err
}

func source(ctx context.Context, env node.Env, spec Spec, w io.Writer) error {
	if spec.Store != nil {
		return fromStore(ctx, spec, w)
	}
	if !backupName.MatchString(spec.Backup) {
		return fmt.Errorf("restore: %q can't be the name of a backup", spec.Backup)
	}
	f, err := os.Open(env.Host.Path(taskbackup.Dir + "/" + spec.Backup + "/" + taskbackup.SnapshotName))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}
