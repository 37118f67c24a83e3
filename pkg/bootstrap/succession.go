package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

// successionFile says which etcd CA of a state directory is in use. There is none before the
// first rotation: the CA is the one called etcd then.
const successionFile = "etcd-ca.json"

// succession is the content of that file. Each change of it is one rename: after a crash either the
// one or the other CA signs.
type succession struct {
	// Identity is the fingerprint of the cluster's first etcd CA.
	Identity string `json:"identity,omitempty"`
	// CA is the name of the CA that the next one replaces, or that has replaced the former one; Next
	// is that of the next one, empty outside of a rotation.
	CA   string `json:"ca"`
	Next string `json:"next,omitempty"`
	// Phase is the one that was begun last. Back: the rotation is being taken back.
	Phase certs.Phase `json:"phase,omitempty"`
	Back  bool        `json:"back,omitempty"`
	// Gone is the name of the CA that the last rotation which is complete has removed.
	Gone string `json:"gone,omitempty"`
}

func readSuccession(dir string) (succession, error) {
	s := succession{CA: etcdCA}
	raw, err := os.ReadFile(filepath.Join(dir, successionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err == nil && (s.CA == "" || s.Identity == "") {
		err = errors.New("it names no CA")
	}
	if err != nil {
		return s, fmt.Errorf("which etcd CA is in use cannot be read: %w\nnext: put %s back from a backup of this directory", err, filepath.Join(dir, successionFile))
	}
	return s, nil
}

func (s succession) write(dir string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = localfile.Write(filepath.Join(dir, successionFile), append(raw, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note which etcd CA is in use: %w", err)
	}
	return nil
}

// names are the CA that signs, and those that are trusted: it comes first.
func (s succession) names() (signs string, trusted []string) {
	switch {
	case s.Next == "" || s.Phase == "" || s.Back && s.Phase == certs.PhaseFinish:
		return s.CA, []string{s.CA}
	case s.Phase == certs.PhaseTrust || s.Back:
		return s.CA, []string{s.CA, s.Next}
	case s.Phase == certs.PhaseIssue:
		return s.Next, []string{s.Next, s.CA}
	}
	return s.Next, []string{s.Next}
}

// authority loads the CAs of the phase that the rotation is in. Without any it has none.
func (s succession) authority(ctx context.Context, store *pki.Store, cluster string) (authority, error) {
	a := authority{cluster: cluster}
	signs, trusted := s.names()
	var all [][]byte
	for _, name := range trusted {
		pair, found, err := store.Load(ctx, name)
		if err != nil {
			return a, err
		}
		if !found && s.Identity == "" {
			return a, nil
		}
		if !found {
			return a, fmt.Errorf("the etcd CA %s is missing in the state directory; put the directory %s back from a backup of it", name, name)
		}
		if name == signs {
			a.ca = pair
		} else {
			a.other = pair.CertPEM
		}
		all = append(all, pair.CertPEM)
	}
	a.trusted = slices.Concat(all...)
	for _, name := range []string{s.CA, s.Next} {
		if name == "" || slices.Contains(trusted, name) {
			continue
		}
		pair, _, err := store.Load(ctx, name)
		if err != nil {
			return a, err
		}
		a.leaving = pair.CertPEM
	}
	if a.first = s.Identity; a.first != "" {
		return a, nil
	}
	var err error
	a.first, err = fingerprint(a.ca.CertPEM)
	return a, err
}

// EtcdCAs are the etcd CA of a state directory, and the one that replaces it during a rotation. The
// keys stay there.
type EtcdCAs struct {
	dir     string
	cluster *v1alpha1.Cluster
	store   *pki.Store
	state   succession
	// from and to are the CA that is replaced, and the one that replaces it.
	from, to pki.KeyPair
	// own is the one that Begin takes instead of making one; nil without.
	own *pki.KeyPair
}

// Use has Begin take a CA of the user's own as the next one, unless there is a next one. It is an error when
// it is another cluster's etcd CA: clusters are told apart by it.
func (r *EtcdCAs) Use(pair pki.KeyPair) error {
	other, err := sharedWith(r.dir, pair.CertPEM)
	if err == nil && other != "" {
		err = fmt.Errorf("it is the etcd CA of another cluster, whose state is in %s: create one for this cluster", other)
	}
	r.own = &pair
	return err
}

// OpenEtcdCAs opens them. Without an etcd CA the error is ErrNoCA. Whoever changes anything has to
// hold the directory's lock.
func OpenEtcdCAs(ctx context.Context, dir string, c *v1alpha1.Cluster) (*EtcdCAs, error) {
	if _, err := OpenSigner(ctx, dir, c, 0); err != nil {
		return nil, err
	}
	r := &EtcdCAs{dir: dir, cluster: c}
	var err error
	if r.store, err = pki.OpenStore(dir); err != nil {
		return nil, err
	}
	if r.state, err = readSuccession(dir); err != nil {
		return nil, err
	}
	var found bool
	if r.from, found, err = r.store.Load(ctx, r.state.CA); err != nil || !found {
		return nil, errors.Join(err, ErrNoCA)
	}
	if r.state.Next != "" {
		if r.to, found, err = r.store.Load(ctx, r.state.Next); err == nil && !found {
			err = fmt.Errorf("the next etcd CA %s is missing in %s; put it back from a backup of this directory", r.state.Next, dir)
		}
	}
	return r, err
}

// From is the certificate of the CA that is replaced, PEM; To is that of the one that replaces it, nil
// before there is one.
func (r *EtcdCAs) From() []byte { return r.from.CertPEM }

// To is described at From.
func (r *EtcdCAs) To() []byte { return r.to.CertPEM }

// Begin notes that a phase begins, before any host is touched: from then on certificates are signed
// as the phase says, those of members that join as well. The first one creates the next CA.
func (r *EtcdCAs) Begin(ctx context.Context, phase certs.Phase, back bool) error {
	next := r.state
	if back && next.Phase == certs.PhaseFinish && !next.Back {
		return errors.New("the last phase has begun, and the former etcd CA is not trusted everywhere any more: complete the rotation instead")
	}
	next.Phase, next.Back = phase, back
	if next.Next == "" {
		if back {
			return errors.New("there is no rotation of the etcd CA to take back")
		}
		if err := r.create(ctx, &next); err != nil {
			return err
		}
	}
	if err := next.write(r.dir); err != nil {
		return err
	}
	r.state = next
	return nil
}

// nameOf is the name of a CA that was not the first.
func nameOf(caPEM []byte) string { return etcdCA + "-" + pki.ID(caPEM) }

// TookBack tells whether the last rotation that is complete was one to this CA which was taken back.
func (r *EtcdCAs) TookBack(caPEM []byte) bool {
	return r.state.Next == "" && r.state.Gone == nameOf(caPEM)
}

func (r *EtcdCAs) create(ctx context.Context, next *succession) error {
	pair, name, err := r.keepNext(ctx)
	if err != nil {
		return err
	}
	if next.Identity == "" {
		if next.Identity, err = fingerprint(r.from.CertPEM); err != nil {
			return err
		}
	}
	next.Next, r.to = name, pair
	return nil
}

// keepNext puts the next CA into the store, the user's own or a new one.
func (r *EtcdCAs) keepNext(ctx context.Context) (pair pki.KeyPair, name string, err error) {
	if r.own == nil {
		if pair, err = pki.NextCA(r.from.CertPEM, 0); err != nil {
			return pair, "", err
		}
		name = nameOf(pair.CertPEM)
		return pair, name, r.store.Keep(ctx, name, pair)
	}
	name = nameOf(r.own.CertPEM)
	// A run that was killed may have left it.
	if pair, found, err := r.store.Load(ctx, name); err != nil || found {
		return pair, name, err
	}
	return *r.own, name, r.store.Keep(ctx, name, *r.own)
}

// Complete notes that the last phase is complete, and removes the CA that is not trusted any more. It
// can be repeated, for a run that ended between the two.
func (r *EtcdCAs) Complete(ctx context.Context) error {
	if r.state.Next == "" && r.state.Gone != "" {
		return r.store.Forget(ctx, r.state.Gone)
	}
	stays, goes := r.state.Next, r.state.CA
	if r.state.Back {
		stays, goes = goes, stays
	}
	if goes == "" || r.state.Phase != certs.PhaseFinish {
		return errors.New("the rotation of the etcd CA is not in its last phase")
	}
	next := succession{Identity: r.state.Identity, CA: stays, Gone: goes}
	if err := next.write(r.dir); err != nil {
		return err
	}
	r.state = next
	return r.store.Forget(ctx, goes)
}

// Signer signs as the phase says that was begun last.
func (r *EtcdCAs) Signer(ctx context.Context, life time.Duration) (Signer, error) {
	return OpenSigner(ctx, r.dir, r.cluster, life)
}
