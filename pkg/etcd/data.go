package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// DataStatus is how far a member's data is.
type DataStatus struct {
	// Applied is the index of the last entry of the log that is in the database, and Revision the
	// newest of a key in it. The log beside it may have more.
	Applied  uint64
	Revision int64
}

// lockedTimeout bounds the wait for the lock of a database that an etcd has open.
const lockedTimeout = 500 * time.Millisecond

// ReadData reads a member's database (DATA/member/snap/db), which no etcd may have open. It
// changes nothing.
func ReadData(path string) (s DataStatus, err error) {
	db, err := bbolt.Open(path, 0o400, &bbolt.Options{ReadOnly: true, Timeout: lockedTimeout})
	if err != nil {
		return s, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		keys, meta := tx.Bucket(bucketKey), tx.Bucket(bucketMeta)
		if keys == nil || meta == nil {
			return fmt.Errorf("%s is not etcd's", path)
		}
		// https://github.com/etcd-io/etcd/blob/v3.6.16/server/storage/schema/bucket.go
		if v := meta.Get([]byte("consistent_index")); len(v) == 8 {
			s.Applied = binary.BigEndian.Uint64(v)
		}
		if last, _ := keys.Cursor().Last(); len(last) >= 8 {
			s.Revision = int64(binary.BigEndian.Uint64(last))
		}
		return nil
	})
	return s, err // Only now is it read.
}

// Applied asks one endpoint how far its member is; it answers without a quorum as well.
func (c *Client) Applied(ctx context.Context) (DataStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m := c.members[0]
	got, err := m.client.Status(ctx, m.url)
	if err != nil {
		return DataStatus{}, short(err)
	}
	return DataStatus{Applied: got.RaftAppliedIndex, Revision: got.Header.GetRevision()}, nil
}

// Count is the number of keys, and Hash that of all revisions up to Revision (HashKV), as the
// first endpoint has them.
type Count struct {
	Keys     int64
	Hash     uint32
	Revision int64
}

// Count counts the keys, and hashes them.
func (c *Client) Count(ctx context.Context) (Count, error) {
	m := c.members[0]
	got, err := m.client.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
	if err != nil {
		return Count{}, fmt.Errorf("count the keys at %s: %w", m.url, err)
	}
	hash, err := m.client.HashKV(ctx, m.url, 0)
	if err != nil {
		return Count{}, fmt.Errorf("hash the keys at %s: %w", m.url, err)
	}
	return Count{Keys: got.Count, Hash: hash.Hash, Revision: hash.Header.GetRevision()}, nil
}
