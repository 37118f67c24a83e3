package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// hashTimeout bounds one member's reading of its whole database, which may have 8 GiB.
const hashTimeout = 2 * time.Minute

// Hash is what one member says of its data up to a revision.
type Hash struct {
	Endpoint string `json:"endpoint"`
	// Hash is of all keys, values and leases; Compacted is the revision below which they are
	// compacted. Only hashes of equal Compacted may be compared.
	Hash      uint32 `json:"hash"`
	Compacted int64  `json:"compacted"`
	// Error says why there is none.
	Error string `json:"error,omitempty"`

	wait bool
}

// Hashes are those of all members at one revision.
type Hashes struct {
	Revision int64  `json:"revision"`
	Members  []Hash `json:"members"`
	// Differs are the endpoints of members with other data than most have. Unclear: it can't be
	// told who is right, since no hash has a majority; Differs are all then.
	Differs []string `json:"differs,omitempty"`
	Unclear bool     `json:"unclear,omitempty"`
	// Unequal says why what there is can't be compared: a member did not answer. Empty: it could.
	Unequal string `json:"unequal,omitempty"`
}

// Err is nil when every member has told its hash, and all are equal.
func (h Hashes) Err() error {
	switch {
	case h.Unclear:
		return fmt.Errorf("the members have different data at revision %d, and no hash has a majority", h.Revision)
	case len(h.Differs) > 0:
		return fmt.Errorf("other data than the others at revision %d: %s", h.Revision, strings.Join(h.Differs, ", "))
	case h.Unequal != "":
		return errors.New(h.Unequal)
	}
	return nil
}

// Compare asks every member for the hash of its data up to one revision, the newest that a
// quorum agrees on, and says which member differs. A member that has not come that far, or is
// just being compacted, is asked again until the limit. It reads all of each database: seconds
// for a GiB.
// https://etcd.io/docs/v3.6/op-guide/data_corruption/
func (c *Client) Compare(ctx context.Context, limit time.Duration) (Hashes, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		revision, err := c.Revision(ctx)
		if err != nil {
			return Hashes{}, fmt.Errorf("compare the members' data: %w", err)
		}
		h, again := judgeHashes(revision, c.hashes(ctx, revision))
		if !again {
			return h, nil
		}
		select {
		case <-ctx.Done():
			return h, nil // It says itself what is missing.
		case <-time.After(pollInterval):
		}
	}
}

func (c *Client) hashes(ctx context.Context, revision int64) []Hash {
	out := make([]Hash, len(c.members))
	var all sync.WaitGroup
	for i, m := range c.members {
		all.Go(func() { out[i] = m.hash(ctx, revision) })
	}
	all.Wait()
	return out
}

func (m endpoint) hash(ctx context.Context, revision int64) Hash {
	// One that is away would be waited for as long as one that reads.
	if s := m.status(ctx); s.Err != nil {
		return Hash{Endpoint: m.url, Error: s.Err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, hashTimeout)
	defer cancel()
	got, err := m.client.HashKV(ctx, m.url, revision)
	if err != nil {
		wait := errors.Is(err, rpctypes.ErrFutureRev) || errors.Is(err, rpctypes.ErrCompacted)
		return Hash{Endpoint: m.url, Error: err.Error(), wait: wait}
	}
	return Hash{Endpoint: m.url, Hash: got.Hash, Compacted: got.CompactRevision}
}

// judgeHashes compares hashes. again: asking again may tell more, since a member lags or is
// being compacted. It is pure.
func judgeHashes(revision int64, all []Hash) (h Hashes, again bool) {
	h = Hashes{Revision: revision, Members: all}
	count := map[uint32]int{}
	answered := 0
	for _, one := range all {
		switch {
		case one.Error != "":
			again = again || one.wait
			if h.Unequal == "" {
				h.Unequal = fmt.Sprintf("%s tells no hash of its data: %s", one.Endpoint, one.Error)
			}
			continue
		case slices.ContainsFunc(all, func(o Hash) bool { return o.Error == "" && o.Compacted != one.Compacted }):
			h.Unequal = "the members are compacted up to different revisions"
			return h, true
		}
		answered++
		count[one.Hash]++
	}
	if len(count) < 2 {
		return h, again
	}
	var most uint32
	for hash, n := range count {
		if n > count[most] || count[most] == 0 {
			most = hash
		}
	}
	h.Unclear = 2*count[most] <= answered
	for _, one := range all {
		if one.Error == "" && (h.Unclear || one.Hash != most) {
			h.Differs = append(h.Differs, one.Endpoint)
		}
	}
	return h, false
}
