package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// read takes in what the workstation sends.
func (s *seed) read(ctx context.Context) error {
	greeted := false
	for {
		kind, payload, err := s.frames.read()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFeedEnded, err)
		}
		switch {
		case !greeted && kind == frameHello:
			if err := s.greet(payload); err != nil {
				return err
			}
			greeted = true
		case kind == frameError:
			return fmt.Errorf("%w: %q", errGaveUp, payload)
		case greeted && kind == frameData:
			if err := s.take(ctx, payload); err != nil {
				return err
			}
		case kind == framePing:
		default:
			return fmt.Errorf("%w: a frame %q was not expected", errProtocol, kind)
		}
	}
}

func (s *seed) greet(payload []byte) error {
	var h hello
	if err := json.Unmarshal(payload, &h); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if want := s.p.cfg.Parcel; h.Version != feedVersion || h.Parcel != want.Digest.String() || h.Size != want.Size {
		return fmt.Errorf("%w: the workstation has parcel %.100q (version %d), this peer is for %s (version %d)",
			errProtocol, h.Parcel, h.Version, want.Digest, feedVersion)
	}
	return nil
}

// take takes in a part of the first thing that was asked for.
func (s *seed) take(ctx context.Context, payload []byte) error {
	n, part, err := number(payload)
	if err != nil {
		return err
	}
	p := s.p
	p.mu.Lock()
	expected, l := len(s.asked) > 0 && s.asked[0] == n, p.layout
	p.mu.Unlock()
	if !expected || len(part) == 0 {
		return fmt.Errorf("%w: a piece %d came that it was not its turn", errProtocol, n)
	}
	size := p.cfg.Parcel.Size
	if n != askParcel {
		size = l.size(int(n))
	}
	if int64(len(s.data)+len(part)) > size {
		return fmt.Errorf("%w: the piece %d is longer than %d bytes", errProtocol, n, size)
	}
	if s.data = append(s.data, part...); int64(len(s.data)) < size {
		return nil
	}
	if n == askParcel {
		err = p.adopt(ctx, s.data)
		// It keeps the bytes.
		s.data = nil
	} else {
		err = s.keep(l, int(n))
		s.data = s.data[:0]
	}
	return s.taken(n, size, err)
}

// keep takes in a piece that has come whole.
func (s *seed) keep(l *layout, piece int) error {
	if !l.right(piece, s.data) {
		return errWrong
	}
	return s.p.keep(l, piece, s.data)
}

// taken notes how something that was asked for has come.
func (s *seed) taken(n uint32, size int64, err error) error {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	s.asked = slices.Delete(s.asked, 0, 1)
	s.outstanding -= size
	delete(p.feedAsked, int(n))
	p.counts.fromFeed += size
	p.wake()
	if !errors.Is(err, errWrong) {
		return err
	}
	p.counts.refused++
	s.wrong[n]++
	p.cfg.Log(fmt.Sprintf("the piece %d came wrong from the feed", n))
	if s.wrong[n] >= p.tune.feedTries {
		return fmt.Errorf("the workstation has sent the piece %d wrong %d times: %w; see `kubectl ha bundle verify`", n, s.wrong[n], errWrong)
	}
	return nil
}
