package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// SnapshotStatus is what a snapshot's file was found to hold.
type SnapshotStatus struct {
	// Revision is the newest in it: what etcd goes on from after a restore.
	Revision int64
	// Entries is the number of revisions of keys, with those that are not compacted yet.
	Entries int64
	// Bytes is the file's size and SHA256 (hex) its digest, with the checksum at its end.
	Bytes  int64
	SHA256 string
	// StorageVersion is the version of what is stored, such as 3.7.0: etcd from 3.6 on notes it, and
	// does not start on one that is newer than itself. Empty when it is not noted.
	StorageVersion string
}

// openTimeout bounds the wait for somebody else's lock on a snapshot's file.
const openTimeout = 5 * time.Second

// CheckSnapshot reads a snapshot back: the checksum at its end, every page of the
// database and how they hang together, and every key's revision. It changes
// nothing. The error says what is wrong with the file.
func CheckSnapshot(ctx context.Context, path string) (SnapshotStatus, error) {
	s, err := checkSum(path)
	if err == nil {
		err = s.checkDatabase(ctx, path)
	}
	if err != nil {
		return SnapshotStatus{}, fmt.Errorf("the snapshot %s is of no use: %w", path, err)
	}
	return s, nil
}

// checkSum compares the checksum that etcd appends: a database consists of
// pages of at least 512 bytes, and the SHA-256 of it stands behind them.
func checkSum(path string) (s SnapshotStatus, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	s.Bytes = info.Size()
	if s.Bytes%512 != sha256.Size || s.Bytes == sha256.Size {
		return s, fmt.Errorf("its %d bytes are not a database with a checksum behind it: it was cut off", s.Bytes)
	}
	database, whole := sha256.New(), sha256.New()
	if _, err := io.CopyN(io.MultiWriter(database, whole), f, s.Bytes-sha256.Size); err != nil {
		return s, err
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(io.TeeReader(f, whole), want); err != nil {
		return s, err
	}
	if got := database.Sum(nil); !bytes.Equal(got, want) {
		return s, fmt.Errorf("its content has the SHA-256 %x instead of %x", got, want)
	}
	s.SHA256 = hex.EncodeToString(whole.Sum(nil))
	return s, nil
}

// Names that etcd gives to what is in its database.
// https://github.com/etcd-io/etcd/blob/v3.6.16/server/storage/schema/bucket.go
var (
	bucketKey  = []byte("key")
	bucketMeta = []byte("meta")
	// https://github.com/etcd-io/etcd/blob/v3.6.16/server/storage/schema/bucket.go
	keyStorageVersion = []byte("storageVersion")
	bucketMembers     = []byte("members")
	compactions       = [][]byte{[]byte("scheduledCompactRev"), []byte("finishedCompactRev")}
)

func (s *SnapshotStatus) checkDatabase(ctx context.Context, path string) (err error) {
	db, err := bbolt.Open(path, 0o400, &bbolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return fmt.Errorf("its database can't be opened: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		var wrong []error
		// All must be taken: whoever finds them waits for that.
		for e := range tx.Check() {
			if len(wrong) < 10 {
				wrong = append(wrong, e)
			}
		}
		if len(wrong) > 0 {
			return fmt.Errorf("its database is damaged: %w", errors.Join(wrong...))
		}
		return s.readRevisions(ctx, tx)
	})
}

// SnapshotMembers are the members of the cluster that a snapshot is of, which CheckSnapshot has found to
// be whole; none when it does not tell.
func SnapshotMembers(path string) (out []Member, err error) {
	db, err := bbolt.Open(path, 0o400, &bbolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return nil, fmt.Errorf("open the snapshot %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMembers)
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			// https://github.com/etcd-io/etcd/blob/v3.6.16/server/etcdserver/api/membership/member.go
			var m struct {
				Name     string   `json:"name"`
				PeerURLs []string `json:"peerURLs"`
			}
			// A restore leaves it out: what can't be read is no fault of the snapshot.
			if json.Unmarshal(v, &m) == nil {
				out = append(out, Member{Name: m.Name, PeerURLs: m.PeerURLs})
			}
			return nil
		})
	})
	return out, err
}

// readRevisions reads the revision of every key. The newest may be in none of
// them, when it was a removal that is compacted by now.
func (s *SnapshotStatus) readRevisions(ctx context.Context, tx *bbolt.Tx) error {
	keys, meta := tx.Bucket(bucketKey), tx.Bucket(bucketMeta)
	if keys == nil || meta == nil {
		return errors.New("its database is not etcd's")
	}
	s.StorageVersion = string(meta.Get(keyStorageVersion))
	// The count of a store that was never written to.
	s.Revision = 1
	err := keys.ForEach(func(k, _ []byte) error {
		if s.Entries++; s.Entries%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.see(k)
	})
	if err != nil {
		return err
	}
	for _, name := range compactions {
		if v := meta.Get(name); v != nil {
			if err := s.see(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// revisionBytes is the length of a revision: two numbers with _ between them.
// A removal has another byte behind it.
const revisionBytes = 17

func (s *SnapshotStatus) see(revision []byte) error {
	if len(revision) < revisionBytes || len(revision) > revisionBytes+1 || revision[8] != '_' {
		return fmt.Errorf("%x is not a revision of etcd's", revision)
	}
	s.Revision = max(s.Revision, int64(binary.BigEndian.Uint64(revision)))
	return nil
}
