// Package offsite takes backups off a host: it sends, encrypted to recipients whose keys are on no
// host, what the task backup has put together, and looks after what is at the target.
package offsite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	taskbackup "github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/backup"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/etcdmember"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// Timeout is what a host may take to send its part, or to read one. Nothing that moves is ended before: what
// has stopped is given up by the connection (store.DefaultStall). It is 900 MB over 100 kbit/s, and less than
// backup.TidyAfter.
const Timeout = 20 * time.Hour

// kubeadmCA is etcd's CA on a control plane that is no member.
const kubeadmCA = "/etc/kubernetes/pki/etcd/ca.crt"

// SendSpec sends a backup of this host.
type SendSpec struct {
	// Backup is its name, and Host this host's.
	Backup string `json:"backup"`
	Host   string `json:"host"`
	// Snapshot: send etcd's snapshot as well; one host's is enough.
	Snapshot bool `json:"snapshot,omitempty"`
	// Recipients of age's (age1…).
	Recipients []string     `json:"recipients"`
	Store      store.Config `json:"store"`
}

// SendData is what was sent.
type SendData struct {
	// Identity is the cluster's, the SHA-256 of its first etcd CA's certificate.
	Identity string        `json:"identity"`
	Parts    []backup.Part `json:"parts"`
	// Made is what the host has, of which the parts are.
	Made taskbackup.Backup `json:"made,omitzero"`
}

// Send reads each file of the backup once more, encrypts it and sends it. It changes nothing on
// the host. What a whole backup at the target has already is not sent again, and not replaced: half
// of another upload would make it worthless.
func Send(ctx context.Context, env node.Env, spec SendSpec) (_ any, err error) {
	recipients, err := backup.Recipients(spec.Recipients)
	if err != nil {
		return nil, err
	}
	identity, err := Identity(env.Host)
	if err != nil {
		return nil, err
	}
	all, err := taskbackup.List(ctx, env, taskbackup.ListSpec{Verify: true})
	if err != nil {
		return nil, err
	}
	list, _ := all.(taskbackup.ListData)
	at := slices.IndexFunc(list.Backups, func(b taskbackup.Backup) bool { return b.Name == spec.Backup })
	if at < 0 {
		return nil, fmt.Errorf("there is no whole backup %s on this host: %s", spec.Backup, list.Broken[spec.Backup])
	}
	b := list.Backups[at]
	files := []file{{taskbackup.ArchiveName, backup.Part{Kind: backup.KindHost, Host: spec.Host, Object: spec.Host + "." + taskbackup.ArchiveName + ".age"}, b.Archive.SHA256}}
	if spec.Snapshot {
		if b.Snapshot == nil {
			return nil, fmt.Errorf("the backup %s on this host has no snapshot of etcd", spec.Backup)
		}
		files = append(files, file{taskbackup.SnapshotName, backup.Part{Kind: backup.KindSnapshot, Host: spec.Host, Object: taskbackup.SnapshotName + ".age"}, b.Snapshot.SHA256})
	}
	s, err := store.Open(ctx, spec.Store)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	out := SendData{Identity: identity, Made: b}
	whole, err := backup.Find(ctx, s, identity, spec.Backup)
	if err != nil {
		return nil, err
	}
	if whole != nil {
		out.Parts, err = sent(*whole, files)
		return out, err
	}
	for _, f := range files {
		env.Progress("sending %s", f.part.Object)
		p, err := f.send(ctx, env.Host, s, backup.Folder(identity, spec.Backup), spec.Backup, recipients)
		if err != nil {
			return nil, host.WithHint(fmt.Errorf("send %s: %w", f.part.Object, err), "the target has no backup of this name yet; run the command again, it sends what is left")
		}
		env.Progress("sent %s, %s", p.Object, report.Size(p.SealedBytes))
		out.Parts = append(out.Parts, p)
	}
	return out, nil
}

// sent are the parts that a whole backup has of a host's files. One that has others is another
// backup, whatever its name is.
func sent(m backup.Manifest, files []file) ([]backup.Part, error) {
	var out []backup.Part
	for _, f := range files {
		at := slices.IndexFunc(m.Parts, func(p backup.Part) bool { return p.Object == f.part.Object && p.SHA256 == f.sha256 })
		if at < 0 {
			return nil, host.WithHint(fmt.Errorf("the target has another backup called %s, of %s: it is not replaced", m.Name, m.Created.UTC().Format(time.RFC3339)), "give this one another name")
		}
		out = append(out, m.Parts[at])
	}
	return out, nil
}

// file is one of a backup, and what it becomes.
type file struct {
	name   string
	part   backup.Part
	sha256 string
}

func (f file) send(ctx context.Context, h *host.Host, s store.Store, folder, name string, to []age.Recipient) (backup.Part, error) {
	in, err := os.Open(h.Path(path.Join(taskbackup.Dir, name, f.name)))
	if err != nil {
		return f.part, err
	}
	p, err := backup.Send(ctx, s, folder, f.part, to, in)
	if err = errors.Join(err, in.Close()); err != nil {
		return p, err
	}
	if p.SHA256 != f.sha256 {
		return p, errors.Join(fmt.Errorf("it has changed while it was read"), s.Delete(ctx, path.Join(folder, p.Object)))
	}
	return p, nil
}

// Identity is what the host's cluster is known by: the SHA-256 (hex) of the certificate of its first
// etcd CA. The host's ledger has it; where that was written before there were such, or the cluster
// was adopted, it is that of the CA on the host.
func Identity(h *host.Host) (string, error) {
	ledger, err := h.Ledger()
	if err != nil {
		return "", fmt.Errorf("the host's ledger: %w", err)
	}
	if known := ledger.Identity(); known != "" {
		return known, nil
	}
	for _, name := range []string{etcdmember.PKIDir + "/ca.crt", kubeadmCA} {
		raw, err := h.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			return "", fmt.Errorf("%s is no PEM certificate", name)
		}
		sum := sha256.Sum256(block.Bytes)
		return hex.EncodeToString(sum[:]), nil
	}
	return "", errors.New("this host has no certificate of etcd's CA, by which the cluster is known")
}
