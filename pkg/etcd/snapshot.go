package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Snapshot is a copy of a member's database on its way.
type Snapshot struct {
	// Endpoint is the member that it is of.
	Endpoint string
	// AtLeast is a revision that was acknowledged before the copy began: what the
	// copy holds is not older. CheckSnapshot tells its own revision.
	AtLeast int64
	// Bytes is the size of the member's database at the beginning. The copy is
	// about as large.
	Bytes int64

	member endpoint
}

// Snapshot chooses the member to copy: the first, in the order given to Connect,
// that can answer a read to which all agree, and so lags behind nobody. Nothing
// is copied yet. The error says of every endpoint why not it.
func (c *Client) Snapshot(ctx context.Context) (*Snapshot, error) {
	var errs []error
	for _, m := range c.members {
		s, err := m.offer(ctx)
		if err == nil {
			return s, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.url, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("no etcd member can give a snapshot: %w", errors.Join(errs...))
}

func (m endpoint) offer(ctx context.Context) (*Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// It takes a quorum, and this member's having applied all that the others have.
	got, err := m.client.Get(ctx, "\x00", clientv3.WithCountOnly())
	if err != nil {
		return nil, short(err)
	}
	status, err := m.client.Status(ctx, m.url)
	if err != nil {
		return nil, short(err)
	}
	if status.IsLearner {
		return nil, errors.New("it is a learner")
	}
	return &Snapshot{Endpoint: m.url, AtLeast: got.Header.GetRevision(), Bytes: status.DbSize, member: m}, nil
}

// CopyTo streams the copy, which ends with its own SHA-256 as `etcdutl snapshot
// restore` wants it. What was written is of use only after CheckSnapshot has
// read it back. It can be called once.
func (s *Snapshot) CopyTo(ctx context.Context, to io.Writer) (n int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // It ends the library's own reader, when writing fails.
	from, err := s.member.client.Snapshot(ctx)
	if err != nil {
		return 0, fmt.Errorf("take a snapshot of %s: %w", s.Endpoint, err)
	}
	n, err = io.Copy(to, from)
	if err = errors.Join(err, from.Close()); err != nil {
		return n, fmt.Errorf("take a snapshot of %s: broken off after %d bytes: %w", s.Endpoint, n, err)
	}
	return n, nil
}
