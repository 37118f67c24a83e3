// Package backup is what a cluster's backup is, away from its hosts: objects that are encrypted to
// recipients, and a manifest that is written last. Without its manifest a backup is none.
//
// At a target stands IDENTITY/NAME/manifest.json beside its parts, where IDENTITY is the cluster's
// (the SHA-256 of its first etcd CA): clusters of one name may share a target.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

const (
	manifestName = "manifest.json"
	// version of the manifest's form; a newer one is refused.
	version = 1
	// maxManifest bounds what is read as a manifest, in bytes.
	maxManifest = 4 << 20
)

// The kinds of parts.
const (
	// KindSnapshot is etcd's snapshot, KindHost the archive of a host's files.
	KindSnapshot = "etcd-snapshot"
	KindHost     = "host-files"
)

// Manifest tells what a backup holds. It has no secret, and is not encrypted.
type Manifest struct {
	Version int `json:"version"`
	// Name is that of the backup, and Cluster and Identity whose it is.
	Name     string    `json:"name"`
	Cluster  string    `json:"cluster"`
	Identity string    `json:"identity"`
	Created  time.Time `json:"created"`
	// KubernetesVersion and EtcdVersion are what ran, such as v1.36.3; empty when they are not known.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	EtcdVersion       string `json:"etcdVersion,omitempty"`
	// Revision is etcd's newest in the snapshot, Entries the number of keys' revisions in it.
	Revision int64 `json:"revision"`
	Entries  int64 `json:"entries"`
	// Protected says why retention leaves it, such as an upgrade that is not through; empty when
	// it does not.
	Protected string `json:"protected,omitempty"`
	Parts     []Part `json:"parts"`
}

// Part is one object.
type Part struct {
	Kind string `json:"kind"`
	// Host is whose files they are; of a snapshot, who took it.
	Host string `json:"host"`
	// Object is its name within the backup's own folder.
	Object string `json:"object"`
	// Bytes and SHA256 (hex) are of what was encrypted, SealedBytes and SealedSHA256 of the object.
	Bytes        int64  `json:"bytes"`
	SHA256       string `json:"sha256"`
	SealedBytes  int64  `json:"sealedBytes"`
	SealedSHA256 string `json:"sealedSHA256"`
}

// Size is that of all objects, in bytes.
func (m Manifest) Size() (n int64) {
	for _, p := range m.Parts {
		n += p.SealedBytes
	}
	return n
}

// Snapshot is the part with etcd's snapshot.
func (m Manifest) Snapshot() (Part, error) {
	at := slices.IndexFunc(m.Parts, func(p Part) bool { return p.Kind == KindSnapshot })
	if at < 0 {
		return Part{}, fmt.Errorf("the backup %s has no snapshot of etcd", m.Name)
	}
	return m.Parts[at], nil
}

// name is what backups and identities may be called.
var name = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// object is what parts may be called: the name becomes that of a file, on any system.
var object = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,240}\.age$`)

// check finds what can't be a manifest of ours. What it names becomes names of files.
func (m Manifest) check() error {
	switch {
	case m.Version > version:
		return fmt.Errorf("its manifest has the form %d, and this program knows %d: use a newer kubectl-ha", m.Version, version)
	case !name.MatchString(m.Name) || !name.MatchString(m.Identity) || m.Created.IsZero():
		return errors.New("its manifest has no name, identity or time")
	}
	for i, p := range m.Parts {
		if slices.ContainsFunc(m.Parts[:i], func(o Part) bool { return o.Object == p.Object }) {
			return fmt.Errorf("its manifest has the part %q twice", p.Object)
		}
		if !object.MatchString(p.Object) || len(p.SHA256) != 64 || len(p.SealedSHA256) != 64 || p.Bytes < 0 || p.SealedBytes <= 0 {
			return fmt.Errorf("its manifest has a part %q that can't be one", p.Object)
		}
	}
	return nil
}

// Folder is a backup's within the target.
func Folder(identity, name string) string { return path.Join(identity, name) }

// Finish writes the manifest, after a look at each of its parts, and reads it back. From then on
// the backup is one.
func Finish(ctx context.Context, s store.Store, m Manifest) error {
	m.Version = version
	if err := m.check(); err != nil {
		return err
	}
	dir := Folder(m.Identity, m.Name)
	for _, p := range m.Parts {
		o, err := s.Stat(ctx, path.Join(dir, p.Object))
		if err == nil && o.Bytes != p.SealedBytes {
			err = fmt.Errorf("%s has %d bytes at the target instead of %d", p.Object, o.Bytes, p.SealedBytes)
		}
		if err != nil {
			return fmt.Errorf("the backup %s is not whole: %w", m.Name, err)
		}
	}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := s.Put(ctx, path.Join(dir, manifestName), strings.NewReader(string(raw)+"\n")); err != nil {
		return err
	}
	got, err := Read(ctx, s, m.Identity, m.Name)
	if err != nil {
		return err
	}
	if back, err := json.MarshalIndent(got, "", "  "); err != nil || string(back) != string(raw) {
		return errors.Join(err, fmt.Errorf("the manifest of the backup %s reads back as another than was written", m.Name))
	}
	return nil
}

// Read reads a backup's manifest. The error wraps fs.ErrNotExist when there is none.
func Read(ctx context.Context, s store.Store, identity, backup string) (m Manifest, err error) {
	if !name.MatchString(identity) || !name.MatchString(backup) {
		return m, fmt.Errorf("%q can't be the name of a backup", backup)
	}
	in, err := s.Get(ctx, path.Join(Folder(identity, backup), manifestName))
	if err != nil {
		return m, err
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err = errors.Join(err, in.Close()); err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("the manifest of the backup %s can't be read: %w", backup, err)
	}
	if err := m.check(); err != nil {
		return m, fmt.Errorf("the backup %s: %w", backup, err)
	}
	if m.Name != backup || m.Identity != identity {
		return m, fmt.Errorf("the manifest of the backup %s is that of another (%s of the cluster %s)", backup, m.Name, m.Identity)
	}
	return m, nil
}

// Find is the whole backup of a name; nil when there is none, or what there is of it is not whole, as
// far as the sizes of its objects tell.
func Find(ctx context.Context, s store.Store, identity, backup string) (*Manifest, error) {
	m, err := Read(ctx, s, identity, backup)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range m.Parts {
		o, err := s.Stat(ctx, path.Join(Folder(identity, backup), p.Object))
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && o.Bytes != p.SealedBytes:
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
	return &m, nil
}

// Listed is what is at a target of one cluster.
type Listed struct {
	// Backups are whole as far as their objects' sizes tell, the newest first.
	Backups []Manifest `json:"backups,omitempty"`
	// Broken are the folders that are no backup, with what is wrong.
	Broken map[string]string `json:"broken,omitempty"`
}

// List reads all manifests of a cluster, and compares the sizes of their objects.
func List(ctx context.Context, s store.Store, identity string) (Listed, error) {
	out := Listed{Broken: map[string]string{}}
	objects, err := s.List(ctx, identity+"/")
	if err != nil {
		return out, err
	}
	found := map[string]map[string]int64{}
	for _, o := range objects {
		parts := strings.Split(o.Name, "/")
		if len(parts) != 3 {
			continue
		}
		if found[parts[1]] == nil {
			found[parts[1]] = map[string]int64{}
		}
		found[parts[1]][parts[2]] = o.Bytes
	}
	for backup, has := range found {
		m, err := listed(ctx, s, identity, backup, has)
		switch {
		case ctx.Err() != nil:
			return out, context.Cause(ctx)
		case err != nil:
			out.Broken[backup] = err.Error()
		default:
			out.Backups = append(out.Backups, m)
		}
	}
	slices.SortFunc(out.Backups, func(a, b Manifest) int {
		return cmpOr(b.Created.Compare(a.Created), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

func listed(ctx context.Context, s store.Store, identity, backup string, has map[string]int64) (Manifest, error) {
	if _, ok := has[manifestName]; !ok {
		return Manifest{}, errors.New("it was never finished: it has no manifest")
	}
	m, err := Read(ctx, s, identity, backup)
	if err != nil {
		return m, err
	}
	for _, p := range m.Parts {
		if n, ok := has[p.Object]; !ok || n != p.SealedBytes {
			return m, fmt.Errorf("%s has %d bytes instead of %d", p.Object, n, p.SealedBytes)
		}
	}
	return m, nil
}

// Delete removes a backup, the manifest first, so that what is left of it never looks like one.
func Delete(ctx context.Context, s store.Store, identity, backup string) error {
	if !name.MatchString(identity) || !name.MatchString(backup) {
		return fmt.Errorf("%q can't be the name of a backup", backup)
	}
	dir := Folder(identity, backup)
	if err := s.Delete(ctx, path.Join(dir, manifestName)); err != nil {
		return err
	}
	objects, err := s.List(ctx, dir+"/")
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range objects {
		errs = append(errs, s.Delete(ctx, o.Name))
	}
	return errors.Join(errs...)
}
