package pki

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	certFile = "ca.crt"
	keyFile  = "ca.key"
	lockFile = ".lock"
	// staging is the prefix of a CA's directory while it is being written.
	staging = ".new-"
	// lockPoll is how often a lock held by another process is tried again.
	lockPoll = 100 * time.Millisecond
)

// Store keeps a cluster's CAs in a directory of the workstation: each a
// directory with ca.crt and ca.key (0600), readable by its owner only (0700).
//
// A CA comes into being by the renaming of a complete, synced directory. So
// after a crash at any point there is the whole CA or none, and a CA that was
// returned once is the one that is returned for ever.
type Store struct {
	dir string
	// before is called before every step that changes the disk, by tests that
	// make the step fail.
	before func(step string) error
}

// OpenStore opens the store in dir, which is made when it does not exist. It is
// an error when others than the owner may read or write there.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the cluster's CA: %w", err)
	}
	if err := checkPrivate(dir, true); err != nil {
		return nil, err
	}
	return &Store{dir: dir, before: func(string) error { return nil }}, nil
}

// CA returns the CA called name, and makes it when there is none (created is
// true then), with the common name commonName and the default validity. It is
// on the disk for good when CA returns. Calls from other processes wait for
// each other until ctx ends.
//
// A CA with one of its two files missing, unreadable or not belonging together
// is an error and is left as it is.
func (s *Store) CA(ctx context.Context, name, commonName string) (pair KeyPair, created bool, err error) {
	if err := checkName(name); err != nil {
		return KeyPair{}, false, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return KeyPair{}, false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	pair, found, err := s.load(name)
	if err != nil {
		return KeyPair{}, false, err
	}
	if found {
		// The run that made it may have ended before its name was durable.
		return pair, false, syncDir(s.dir)
	}
	pair, err = NewCA(commonName, 0)
	if err != nil {
		return KeyPair{}, false, err
	}
	if err := s.save(name, pair); err != nil {
		return KeyPair{}, false, fmt.Errorf("keep the CA %s in %s: %w", name, s.dir, err)
	}
	return pair, true, nil
}

// Keep keeps a CA under a name that has none. It is on the disk for good when Keep returns.
func (s *Store) Keep(ctx context.Context, name string, pair KeyPair) (err error) {
	if err := checkName(name); err != nil {
		return err
	}
	if err := pair.Check(); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	switch _, found, err := s.load(name); {
	case err != nil:
		return err
	case found:
		return fmt.Errorf("there is a CA %s in %s already", name, s.dir)
	}
	if err := s.save(name, pair); err != nil {
		return fmt.Errorf("keep the CA %s in %s: %w", name, s.dir, err)
	}
	return nil
}

// Forget removes a CA with its key. One that is not there is no error.
func (s *Store) Forget(ctx context.Context, name string) (err error) {
	if err := checkName(name); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	dir := filepath.Join(s.dir, name)
	// What is left of it after a crash is not taken for a damaged CA.
	away := filepath.Join(s.dir, staging+name+"-gone")
	if err := os.Rename(dir, away); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(away); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func checkName(name string) error {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q can't name a CA", name)
	}
	return nil
}

// Load returns the CA called name; found is false when there is none.
func (s *Store) Load(ctx context.Context, name string) (pair KeyPair, found bool, err error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return KeyPair{}, false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return s.load(name)
}

func (s *Store) load(name string) (KeyPair, bool, error) {
	dir := filepath.Join(s.dir, name)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return KeyPair{}, false, nil
	} else if err != nil {
		return KeyPair{}, false, fmt.Errorf("look for the CA: %w", err)
	}
	if err := checkPrivate(dir, true); err != nil {
		return KeyPair{}, false, err
	}
	cert, certErr := readPrivate(filepath.Join(dir, certFile))
	key, keyErr := readPrivate(filepath.Join(dir, keyFile))
	for _, half := range []struct {
		err            error
		missing, there string
	}{{certErr, certFile, keyFile}, {keyErr, keyFile, certFile}} {
		if errors.Is(half.err, fs.ErrNotExist) {
			return KeyPair{}, false, fmt.Errorf("%s has no %s: put it back from a backup next to %s; "+
				"only if no cluster uses this CA, remove the directory %s and run again to have a new one",
				dir, half.missing, half.there, dir)
		}
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return KeyPair{}, false, err
	}
	pair := KeyPair{CertPEM: cert, KeyPEM: key}
	if err := pair.Check(); err != nil {
		return KeyPair{}, false, fmt.Errorf("the CA in %s is damaged: %w; put both files back from a backup", dir, err)
	}
	return pair, true, nil
}

// save writes both files into a new directory and renames that into place.
func (s *Store) save(name string, pair KeyPair) error {
	if err := s.removeLeftovers(name); err != nil {
		return err
	}
	if err := s.before("mkdir"); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.dir, staging+name+"-") // mode 0700
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{keyFile, pair.KeyPEM}, {certFile, pair.CertPEM}} {
		if err := s.before("write " + f.name); err != nil {
			return err
		}
		if err := writeSynced(filepath.Join(tmp, f.name), f.data); err != nil {
			return err
		}
	}
	if err := s.before("sync"); err != nil {
		return err
	}
	if err := syncDir(tmp); err != nil {
		return err
	}
	if err := s.before("rename"); err != nil {
		return err
	}
	// A rename never replaces a directory that has something in it.
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		return err
	}
	if err := s.before("sync parent"); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// removeLeftovers removes what an interrupted save of this CA left behind. It
// was never returned to anybody, so nothing can depend on it.
func (s *Store) removeLeftovers(name string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), staging+name+"-") {
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock waits for the store's lock file; the function returned gives it back.
func (s *Store) lock(ctx context.Context) (func() error, error) {
	path := filepath.Join(s.dir, lockFile)
	for {
		unlock, err := tryLock(path)
		if err == nil {
			return unlock, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another kubectl ha holds %s; wait for it to end: %w", path, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}
