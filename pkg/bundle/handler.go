package bundle

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// blobPath is where a blob is served: /blobs/sha256:<hex>.
const blobPath = "/blobs/"

// digestOfPath reads a request's digest; false when it is not a request for a
// blob.
func digestOfPath(path string) (digest.Digest, bool) {
	rest, ok := strings.CutPrefix(path, blobPath)
	d := digest.Digest(rest)
	return d, ok && checkDigest(d) == nil
}

// upstreamHandler serves blobs of an Upstream as they come, from their
// beginning: for the pipe, where the other end is the only client and resumes
// nothing.
func upstreamHandler(blobs Upstream) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, ok := digestOfPath(r.URL.Path)
		if !ok || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		body, size, err := blobs.Blob(r.Context(), d)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if size >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		_, err = io.Copy(w, body)
		if err = errors.Join(err, body.Close()); err != nil {
			// The status is sent; only breaking off tells that it went wrong.
			panic(http.ErrAbortHandler)
		}
	})
}

// refuse answers with the error: the peer is one of ours and shows it.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusBadGateway
	switch {
	case errors.Is(err, ErrMissing):
		code = http.StatusNotFound
	case errors.Is(err, errDigest):
		code = http.StatusUnprocessableEntity
	}
	http.Error(w, err.Error(), code)
}

// serveSeeker serves a blob with ranges. A blob never changes, so its digest is
// its ETag. A reader that fails breaks the answer off.
func serveSeeker(w http.ResponseWriter, r *http.Request, d digest.Digest, content io.ReadSeeker) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", fmt.Sprintf("%q", d))
	watched := &watchedReader{ReadSeeker: content, answer: http.NewResponseController(w)}
	http.ServeContent(w, r, "", time.Time{}, watched)
	if watched.failed {
		panic(http.ErrAbortHandler)
	}
}

// watchedReader remembers that a read failed; ServeContent keeps that to itself.
// It sends the answer's header before the first read, which may have to wait
// for long until the blob has arrived here.
type watchedReader struct {
	io.ReadSeeker
	answer *http.ResponseController
	begun  bool
	failed bool
}

func (w *watchedReader) Read(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		// A peer that is gone is noticed by the write that follows.
		_ = w.answer.Flush()
	}
	n, err := w.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.failed = true
	}
	return n, err
}
