package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubectl-ha/kubectl-ha/pkg/bundle"
)

// progressEvery is how often the progress of sending is told.
const progressEvery = 200 * time.Millisecond

// feeder is one call of Feed.
type feeder struct {
	frames   *frames
	layout   *layout
	encoded  []byte
	identity bundle.Blob
	source   *pieceSource
	throttle throttle
	progress func(sent int64, status FeedStatus)

	// asks are what the seed has asked for, in order; ended is closed when
	// reading has, failure says why, nil when the swarm is done.
	asks    chan uint32
	ended   chan struct{}
	failure error

	mu     sync.Mutex
	sent   int64
	status FeedStatus
	told   time.Time
}

func newFeeder(rw io.ReadWriteCloser, parcel *Parcel, source bundle.Upstream, opts FeedOptions) *feeder {
	f := &feeder{frames: newFrames(rw), layout: newLayout(parcel), source: &pieceSource{source: source},
		throttle: newThrottle(opts.MaxRate), progress: opts.Progress,
		asks: make(chan uint32, 2*maxAsks), ended: make(chan struct{})}
	f.encoded, f.identity = parcel.Encode()
	return f
}

func (f *feeder) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		// Reading and writing end.
		_ = f.frames.rw.Close()
	})
	defer stop()
	go func() {
		f.failure = f.read()
		close(f.ended)
	}()
	err := errors.Join(f.write(ctx), f.source.close())
	// The result of closing says nothing about what was sent.
	_ = f.frames.rw.Close()
	if ctx.Err() != nil {
		// A stream whose reading end can't be closed from here lets go later: what
		// it still says is not told.
		f.mu.Lock()
		f.progress = nil
		f.mu.Unlock()
		return ctx.Err()
	}
	<-f.ended
	if err == nil || errors.Is(err, ErrFeedEnded) {
		// The seed may have said why.
		err = f.failure
	}
	if errors.Is(err, errProtocol) {
		err = fmt.Errorf("%w: %w", ErrFeedHopeless, err)
	}
	return err
}

// write sends what was asked for until the other end is done or gone.
func (f *feeder) write(ctx context.Context) error {
	if err := f.frames.writeJSON(frameHello, hello{Version: feedVersion, Parcel: f.identity.Digest.String(), Size: f.identity.Size}); err != nil {
		return fmt.Errorf("%w: %w", ErrFeedEnded, err)
	}
	alive := time.NewTicker(feedAlive)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ended:
			return nil
		case n := <-f.asks:
			if err := f.answer(ctx, n); err != nil {
				return err
			}
		case <-alive.C:
			if err := f.frames.write(framePing, nil); err != nil {
				return fmt.Errorf("%w: %w", ErrFeedEnded, err)
			}
		}
	}
}

// answer sends one piece, or the parcel.
func (f *feeder) answer(ctx context.Context, n uint32) error {
	data := f.encoded
	if n != askParcel {
		var err error
		if data, err = f.source.piece(ctx, f.layout, int(n)); err != nil {
			err = fmt.Errorf("%w: read what is to be sent: %w", ErrFeedHopeless, err)
			// When it can't be told, the seed still sees the end.
			_ = f.frames.writeText(frameError, err.Error())
			return err
		}
	}
	for len(data) > 0 {
		part := data[:min(len(data), f.throttle.chunk)]
		if err := f.throttle.wait(ctx, len(part)); err != nil {
			return err
		}
		if err := f.frames.writeData(n, part); err != nil {
			return fmt.Errorf("%w: %w", ErrFeedEnded, err)
		}
		data = data[len(part):]
		f.note(int64(len(part)), nil)
	}
	return nil
}

// note keeps what is to be told, and tells it now and then.
func (f *feeder) note(sent int64, status *FeedStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent += sent
	if status != nil {
		f.status = *status
	}
	if f.progress == nil || (status == nil && time.Since(f.told) < progressEvery) {
		return
	}
	f.told = time.Now()
	f.progress(f.sent, f.status)
}

// read takes in what the seed says, until it says that the swarm is done.
func (f *feeder) read() error {
	for greeted := false; ; {
		kind, payload, err := f.frames.read()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFeedEnded, err)
		}
		switch {
		case kind == frameError:
			return fmt.Errorf("the seed gave up: %q", payload)
		case kind == frameFull:
			return fmt.Errorf("the seed gave up: %q: %w", payload, syscall.ENOSPC)
		case !greeted && kind == frameHello:
			if err := f.greet(payload); err != nil {
				return err
			}
			greeted = true
		case greeted && kind == frameAsk:
			if err := f.asked(payload); err != nil {
				return err
			}
		case greeted && kind == frameStatus:
			var s FeedStatus
			if err := json.Unmarshal(payload, &s); err != nil {
				return fmt.Errorf("%w: %w", errProtocol, err)
			}
			f.note(0, &s)
		case greeted && kind == frameBye:
			return nil
		case kind == framePing:
		default:
			return fmt.Errorf("%w: a frame %q was not expected", errProtocol, kind)
		}
	}
}

func (f *feeder) greet(payload []byte) error {
	var h hello
	if err := json.Unmarshal(payload, &h); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	if h.Version != feedVersion || h.Parcel != f.identity.Digest.String() {
		return fmt.Errorf("%w: the seed is for parcel %.100q (version %d), here is %s (version %d)",
			errProtocol, h.Parcel, h.Version, f.identity.Digest, feedVersion)
	}
	return nil
}

func (f *feeder) asked(payload []byte) error {
	n, _, err := number(payload)
	if err != nil {
		return err
	}
	if n != askParcel && int64(n) >= int64(f.layout.pieces()) {
		return fmt.Errorf("%w: the seed asks for piece %d of %d", errProtocol, n, f.layout.pieces())
	}
	select {
	case f.asks <- n:
		return nil
	default:
		return fmt.Errorf("%w: the seed asks for too much at once", errProtocol)
	}
}

// pieceSource reads pieces of blobs. It keeps the blob open that it read last.
type pieceSource struct {
	source bundle.Upstream
	blob   digest.Digest
	open   io.ReadCloser
	// at is how far open was read.
	at     int64
	buffer []byte
}

// piece reads a piece and checks it, so that a damaged file is not sent. It is
// good until the next call.
func (s *pieceSource) piece(ctx context.Context, l *layout, n int) ([]byte, error) {
	blob, offset, size := l.at(n)
	if int64(cap(s.buffer)) < size {
		s.buffer = make([]byte, l.parcel.PieceSize)
	}
	data := s.buffer[:size]
	if err := s.read(ctx, blob.Digest, offset, data); err != nil {
		return nil, fmt.Errorf("blob %s at %d: %w", blob.Digest, offset, err)
	}
	if !l.right(n, data) {
		return nil, fmt.Errorf("blob %s at %d: %w; see `kubectl ha bundle verify`", blob.Digest, offset, errWrong)
	}
	return data, nil
}

func (s *pieceSource) read(ctx context.Context, d digest.Digest, offset int64, data []byte) error {
	if s.open == nil || s.blob != d {
		if err := s.reopen(ctx, d); err != nil {
			return err
		}
	}
	if r, ok := s.open.(io.ReaderAt); ok {
		n, err := r.ReadAt(data, offset)
		if n == len(data) {
			return nil
		}
		return err
	}
	if err := s.seek(ctx, d, offset); err != nil {
		return err
	}
	n, err := io.ReadFull(s.open, data)
	s.at += int64(n)
	return err
}

func (s *pieceSource) reopen(ctx context.Context, d digest.Digest) error {
	if err := s.close(); err != nil {
		return err
	}
	r, _, err := s.source.Blob(ctx, d)
	if err != nil {
		return err
	}
	s.blob, s.open, s.at = d, r, 0
	return nil
}

// seek brings the open blob to an offset.
func (s *pieceSource) seek(ctx context.Context, d digest.Digest, offset int64) error {
	if offset == s.at {
		return nil
	}
	if r, ok := s.open.(io.Seeker); ok {
		_, err := r.Seek(offset, io.SeekStart)
		s.at = offset
		return err
	}
	if offset < s.at {
		if err := s.reopen(ctx, d); err != nil {
			return err
		}
	}
	n, err := io.CopyN(io.Discard, s.open, offset-s.at)
	s.at += n
	return err
}

func (s *pieceSource) close() error {
	if s.open == nil {
		return nil
	}
	err := s.open.Close()
	s.open = nil
	return err
}
