package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
)

// flights pulls blobs from an upstream into a store, each one once at a time,
// whoever asks; all who ask read along while it arrives.
type flights struct {
	// life bounds the pulls: they go on when the one who asked first goes away.
	life     context.Context
	store    *Store
	upstream Upstream

	// arrived is told of each blob that was pulled, and thereby verified.
	arrived func(digest.Digest)

	mu      sync.Mutex
	running map[digest.Digest]*flight
	// wrong are the blobs of which the upstream gave something else: they are
	// not asked for again.
	wrong map[digest.Digest]error
}

// flight is one blob on its way.
type flight struct {
	writer *blobWriter
	size   int64
	// ready is closed when size and writer are known, or when it failed before.
	ready chan struct{}

	mu   sync.Mutex
	cond *sync.Cond
	done bool
	err  error
}

// join finds or starts the flight of a blob; nil when it has arrived meanwhile.
func (f *flights) join(d digest.Digest) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if running, ok := f.running[d]; ok {
		return running, nil
	}
	if err := f.wrong[d]; err != nil {
		return nil, err
	}
	// A flight that ends is taken off the list after its blob is in the store,
	// so that under this lock no blob is in neither.
	if _, err := os.Stat(f.store.Path(d)); err == nil {
		return nil, nil
	}
	one := &flight{ready: make(chan struct{})}
	one.cond = sync.NewCond(&one.mu)
	f.running[d] = one
	go func() {
		err := f.pull(d, one)
		if err == nil {
			f.arrived(d)
		}
		f.mu.Lock()
		delete(f.running, d)
		if errors.Is(err, errDigest) {
			f.wrong[d] = err
		}
		f.mu.Unlock()
		one.finish(err)
	}()
	return one, nil
}

func (f *flights) pull(d digest.Digest, one *flight) error {
	body, size, err := f.upstream.Blob(f.life, d)
	if err != nil {
		return err
	}
	err = f.take(d, one, body, size)
	return errors.Join(err, body.Close())
}

// take copies the blob into the store, waking the readers as it grows.
func (f *flights) take(d digest.Digest, one *flight, body io.Reader, size int64) error {
	if size < 0 || size > maxBlob {
		return fmt.Errorf("blob %s: the source does not say its size", d)
	}
	w, err := f.store.writer(Blob{Digest: d, Size: size})
	if err != nil {
		return err
	}
	// What an earlier run left is not trusted here: it could not be told from
	// what comes now, and the source is sent once anyway.
	if err := w.reset(); err != nil {
		return errors.Join(err, w.Close())
	}
	one.writer, one.size = w, size
	close(one.ready)
	_, err = io.Copy(&wakingWriter{flight: one}, &contextReader{ctx: f.life, r: body})
	if err != nil {
		return errors.Join(fmt.Errorf("blob %s: %w", d, err), w.Close())
	}
	return w.Commit()
}

type wakingWriter struct{ flight *flight }

func (w *wakingWriter) Write(p []byte) (int, error) {
	n, err := w.flight.writer.Write(p)
	w.flight.mu.Lock()
	defer w.flight.mu.Unlock()
	w.flight.cond.Broadcast()
	return n, err
}

// finish wakes everybody for the last time.
func (f *flight) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done, f.err = true, err
	select {
	case <-f.ready:
	default:
		close(f.ready)
	}
	f.cond.Broadcast()
}

// outcome is the flight's error once it is done.
func (f *flight) outcome() (done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done, f.err
}

// follow reads a flight's blob from a file handle of its own, waiting where it
// has not arrived yet. The last byte is only given once the whole is verified.
type follow struct {
	ctx    context.Context
	flight *flight
	file   io.ReaderAt
	at     int64
}

func (r *follow) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.flight.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.at = offset
	return offset, nil
}

func (r *follow) Read(p []byte) (int, error) {
	if r.at >= r.flight.size {
		return 0, io.EOF
	}
	limit, err := r.wait()
	if err != nil {
		return 0, err
	}
	if room := limit - r.at; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := r.file.ReadAt(p, r.at)
	r.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// wait blocks until there is something to read after at, and tells up to where.
func (r *follow) wait() (int64, error) {
	f := r.flight
	stop := context.AfterFunc(r.ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cond.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if f.done {
			return f.size, f.err
		}
		if limit := min(f.writer.Offset(), f.size-1); limit > r.at {
			return limit, nil
		}
		f.cond.Wait()
	}
}
