package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/poll"
)

// brittle serves a layer that breaks off in its middle, and notes from where it
// was asked for.
type brittle struct {
	path string
	data []byte

	mu     sync.Mutex
	ranges []string
}

// newBrittle makes an image and what serves its last layer; after the first half
// broken is called with the number of the request, and says whether to end there.
func newBrittle(t *testing.T, m *fakeMirror, ignoreRange bool, broken func(n int, r *http.Request) bool) *brittle {
	t.Helper()
	m.push("quay.io/a/b:v1", "amd64")
	c := created(t, m.imagesOnly(t, "quay.io/a/b:v1"))
	last := c.Images[0].Blobs[len(c.Images[0].Blobs)-1].Digest
	b := &brittle{path: "/v2/quay.io/a/b/blobs/" + last.String()}
	res, err := http.Get(m.server.URL + b.path)
	must(t, err)
	b.data, err = io.ReadAll(res.Body)
	must(t, errors.Join(err, res.Body.Close()))
	m.hook(b.path, func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		b.mu.Lock()
		b.ranges = append(b.ranges, r.Header.Get("Range"))
		n := len(b.ranges)
		b.mu.Unlock()
		if ignoreRange {
			r.Header.Del("Range")
		}
		if n == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(b.data)))
			_, _ = w.Write(b.data[:len(b.data)/2])
			w.(http.Flusher).Flush()
		}
		if broken(n, r) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		http.ServeContent(w, r, "", testTime, strings.NewReader(string(b.data)))
		return true
	})
	return b
}

// A layer whose connection breaks in its middle goes on from there, also when the
// registry is gone for a while and when it knows no ranges.
func TestPullGoesOnInsideALayer(t *testing.T) {
	for name, ignoreRange := range map[string]bool{"ranges": false, "a registry without ranges": true} {
		t.Run(name, func(t *testing.T) {
			m := newFakeMirror(t)
			// The second request is the library's own attempt to go on.
			b := newBrittle(t, m, ignoreRange, func(n int, _ *http.Request) bool { return n <= 3 })
			_, err := Create(t.Context(), m.imagesOnly(t, "quay.io/a/b:v1"), nil)
			must(t, err)
			half := fmt.Sprintf("bytes=%d-", len(b.data)/2)
			if got := strings.Join(b.ranges, " "); got != " "+half+" "+half+" "+half {
				t.Errorf("it was asked for %q", got)
			}
		})
	}
}

// A run that is ended in the middle of a layer leaves what came; the next one asks
// for the rest. What is wrong in what was left makes it start over.
func TestPullGoesOnAfterAnInterruption(t *testing.T) {
	for name, spoil := range map[string]bool{"sound": false, "spoilt": true} {
		t.Run(name, func(t *testing.T) {
			m := newFakeMirror(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opts := m.imagesOnly(t, "quay.io/a/b:v1")
			var part string
			b := newBrittle(t, m, false, func(n int, r *http.Request) bool {
				if n > 1 {
					return false
				}
				// Once the half is on disk.
				if !poll.Until(time.Minute, func() bool { return sizeOf(part) > 0 }) {
					t.Error("the half of the layer never came to disk")
				}
				cancel()
				<-r.Context().Done()
				return true
			})
			part = filepath.Join(opts.Output+".work", "ingest", b.path[strings.LastIndex(b.path, ":")+1:])
			if _, err := Create(ctx, opts, nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
			if spoil {
				must(t, os.WriteFile(part, make([]byte, len(b.data)/2), 0o600))
			}
			_, err := Create(t.Context(), opts, nil)
			must(t, err)
			want := fmt.Sprintf(" bytes=%d-", len(b.data)/2)
			if spoil {
				want += " "
			}
			if got := strings.Join(b.ranges, " "); got != want {
				t.Errorf("it was asked for %q, want %q", got, want)
			}
		})
	}
}
