package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/kubectl-ha/kubectl-ha/test/s3test"
)

func s3Config(endpoint string) Config {
	return Config{URL: "s3://" + s3test.Bucket + "/some/prefix", Endpoint: endpoint, Region: s3test.Region, Credentials: map[string]string{KeyAccess: s3test.Access, KeySecret: s3test.Secret}}
}

func TestS3(t *testing.T) { behaves(t, open(t, s3Config(s3test.Start(t).Endpoint))) }

// TestS3Refuses: credentials that are wrong are told as that, and are in no message.
func TestS3Refuses(t *testing.T) {
	c := s3Config(s3test.Start(t).Endpoint)
	c.Credentials = map[string]string{KeyAccess: s3test.Access, KeySecret: "secret-of-others"}
	err := open(t, c).Put(t.Context(), "x", strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "refuses the credentials") || strings.Contains(err.Error(), "secret-of-others") {
		t.Errorf("%v", err)
	}
}

// TestS3Breaks: whatever breaks an upload leaves no object and says what it was; once that has ended
// the upload succeeds, and nothing is left of what was interrupted.
func TestS3Breaks(t *testing.T) {
	server := s3test.Start(t)
	content := random(t, 30<<20)
	for name, tc := range map[string]struct {
		// after is how many parts go through first.
		after int32
		fault http.HandlerFunc
		says  string
	}{
		"the connection ends": {1, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "write id/b/x"},
		"credentials end": {1, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest) // As AWS does.
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>`)
		}, "S3 refuses the credentials (ExpiredToken)"},
		"the disk is full": {2, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive threshold.</Message></Error>`)
		}, "Storage backend has reached"},
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			var parts atomic.Int32
			c := s3Config(server.Before(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if broken.Load() && r.Method == http.MethodPut && parts.Add(1) > tc.after {
					tc.fault(w, r)
					return
				}
				next.ServeHTTP(w, r)
			}, nil))
			s := open(t, c)
			broken.Store(true)
			if err := s.Put(t.Context(), "id/b/x", bytes.NewReader(content)); err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), s3test.Secret) {
				t.Fatalf("%v", err)
			}
			if _, err := s.Stat(t.Context(), "id/b/x"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("half of it is there: %v", err)
			}
			broken.Store(false)
			if err := errors.Join(s.Tidy(t.Context(), "id/", time.Now().Add(time.Hour)), s.Put(t.Context(), "id/b/x", bytes.NewReader(content)), s.Delete(t.Context(), "id/b/x")); err != nil {
				t.Error(err)
			}
			if left := uploads(t, s); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// uploads are the keys of the unfinished uploads in the bucket.
func uploads(t *testing.T, s Store) (out []string) {
	t.Helper()
	own, is := s.(*s3)
	if !is {
		t.Fatalf("%T is no S3", s)
	}
	for u := range own.client.ListIncompleteUploads(t.Context(), own.bucket, "", true) {
		if u.Err != nil {
			t.Fatal(u.Err)
		}
		out = append(out, u.Key)
	}
	return out
}

// TestS3Ends: a server that is killed in the middle of an upload has no object when it is back.
func TestS3Ends(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, s3Config(server.Endpoint))
	content := random(t, 20<<20)
	killed := func() (io.Reader, func()) {
		r, w := io.Pipe()
		return r, func() {
			_, _ = w.Write(content)
			server.Kill()
			_, _ = w.Write(content)
			_ = w.Close()
		}
	}
	in, feed := killed()
	go feed()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Put(ctx, "id/b/x", in); err == nil {
		t.Fatal("it succeeded all the same")
	}
	server.Again()
	if list, err := s.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("it has %v, %v", list, err)
	}
	if err := errors.Join(s.Put(t.Context(), "id/b/x", bytes.NewReader(content)), s.Tidy(t.Context(), "id/", time.Now().Add(time.Hour))); err != nil {
		t.Error(err)
	}
	if o, err := s.Stat(t.Context(), "id/b/x"); err != nil || o.Bytes != int64(len(content)) {
		t.Errorf("%+v %v", o, err)
	}
}

// TestS3Lies: what is changed on its way to the server never becomes an object.
func TestS3Lies(t *testing.T) {
	var lies atomic.Bool
	s := open(t, s3Config(s3test.Start(t).Before(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if lies.Load() && r.Method == http.MethodPut {
			r.Body = &flips{r.Body, 4000}
		}
		next.ServeHTTP(w, r)
	}, nil)))
	for name, size := range map[string]int{"one part": 10_000, "several parts": 20 << 20} {
		lies.Store(true)
		if err := s.Put(t.Context(), "id/b/x", bytes.NewReader(random(t, size))); err == nil {
			t.Errorf("%s: it succeeded all the same", name)
		}
		lies.Store(false)
		if _, err := s.Stat(t.Context(), "id/b/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is there: %v", name, err)
		}
	}
}

// flips changes one bit, so many bytes from here.
type flips struct {
	io.ReadCloser
	left int
}

func (f *flips) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.left >= 0 && f.left < n {
		p[f.left] ^= 1
	}
	f.left -= n
	return n, err
}

// TestS3TidiesItsOwn: only unfinished uploads below the prefix end that were begun before; not
// another one of the same object that is under way, nor another cluster's.
func TestS3TidiesItsOwn(t *testing.T) {
	s := open(t, s3Config(s3test.Start(t).Endpoint))
	own, is := s.(*s3)
	if !is {
		t.Fatalf("%T is no S3", s)
	}
	begin := func(name string) (id string, begun time.Time) {
		t.Helper()
		id, err := minio.Core{Client: own.client}.NewMultipartUpload(t.Context(), own.bucket, own.key(name), minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for u := range own.client.ListIncompleteUploads(t.Context(), own.bucket, own.key(name), true) {
			if u.UploadID == id {
				return id, u.Initiated
			}
		}
		t.Fatalf("the upload of %s is not listed", name)
		return "", time.Time{}
	}
	_, first := begin("id/b/x")
	begin("identity-of-another/b/x")
	// Its time is told in seconds by some.
	deadline, again := time.Now().Add(10*time.Second), ""
	for since := first; !since.After(first); {
		if time.Now().After(deadline) {
			t.Fatal("the server's clock stands")
		}
		if again != "" {
			if err := (minio.Core{Client: own.client}).AbortMultipartUpload(t.Context(), own.bucket, own.key("id/b/x"), again); err != nil {
				t.Fatal(err)
			}
		}
		again, since = begin("id/b/x")
	}
	if err := s.Tidy(t.Context(), "id/", first.Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	left := strings.Join(uploads(t, s), " ")
	if left != "some/prefix/id/b/x some/prefix/identity-of-another/b/x" {
		t.Errorf("left: %s", left)
	}
	if err := s.Tidy(t.Context(), "id", time.Now().Add(-time.Hour)); err != nil || len(uploads(t, s)) != 2 {
		t.Errorf("what is not old has gone: %v", err)
	}
}
