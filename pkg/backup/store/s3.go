package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	defaultEndpoint = "https://s3.amazonaws.com"
	// partBytes is a part of an upload, and partsAtOnce how many are sent at the same time: each
	// is in memory. S3 takes 10,000 parts, so an object may have 80 GB; etcd's largest is 8 GiB.
	partBytes   = 8 << 20
	partsAtOnce = 4
	// s3Retries is how often a request is tried; minio-go waits between them.
	s3Retries = 4
)

// s3 is a bucket. What an upload sends is no object before all its parts are there.
type s3 struct {
	client *minio.Client
	bucket string
	prefix string
	close  func()
}

func openS3(u *url.URL, c Config, w *wire) (Store, error) {
	if c.Endpoint == "" {
		c.Endpoint = defaultEndpoint
	}
	end, err := url.Parse(c.Endpoint)
	if err != nil || end.Host == "" || end.Scheme != "https" && end.Scheme != "http" || strings.Trim(end.Path, "/") != "" || end.User != nil {
		return nil, errors.New("the backup target: the endpoint of S3 is written https://HOST:PORT")
	}
	if c.Credentials[KeyAccess] == "" || c.Credentials[KeySecret] == "" {
		return nil, fmt.Errorf("the backup target %s: its credentials lack %s or %s", c.URL, KeyAccess, KeySecret)
	}
	roots := (*x509.CertPool)(nil)
	if pem := c.Credentials[KeyCA]; pem != "" {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM([]byte(pem)) {
			return nil, fmt.Errorf("the backup target %s: %s has no PEM certificate", c.URL, KeyCA)
		}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: w.dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: partsAtOnce, TLSHandshakeTimeout: dialTimeout, DisableCompression: true,
	}
	client, err := minio.New(end.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(c.Credentials[KeyAccess], c.Credentials[KeySecret], c.Credentials[KeySession]),
		Secure: end.Scheme == "https", Region: c.Region, Transport: transport, MaxRetries: s3Retries,
		// Each part has a CRC32C that the server compares.
		TrailingHeaders: true,
	})
	if err != nil {
		return nil, fmt.Errorf("the backup target %s: %w", c.URL, err)
	}
	return &s3{client: client, bucket: u.Host, prefix: strings.Trim(u.Path, "/"), close: transport.CloseIdleConnections}, nil
}

func (s *s3) key(name string) string { return path.Join(s.prefix, name) }

// base is what all keys begin with.
func (s *s3) base() string {
	if s.prefix == "" {
		return ""
	}
	return s.prefix + "/"
}

// explain makes of S3's answers what callers and people understand. None of them has a secret.
func (s *s3) explain(err error, doing, name string) error {
	if err == nil {
		return nil
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == minio.NoSuchKey:
		return fmt.Errorf("%s %s in the bucket %s: %w", doing, name, s.bucket, fs.ErrNotExist)
	case answer.Code == "AccessDenied" || answer.Code == "InvalidAccessKeyId" || answer.Code == "SignatureDoesNotMatch" || answer.Code == "ExpiredToken" || answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s %s in the bucket %s: S3 refuses the credentials (%s)", doing, name, s.bucket, answer.Code)
	}
	return fmt.Errorf("%s %s in the bucket %s: %w", doing, name, s.bucket, err)
}

func (s *s3) Put(ctx context.Context, name string, r io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &failing{r: r}
	_, err := s.client.PutObject(ctx, s.bucket, s.key(name), in, -1, minio.PutObjectOptions{
		PartSize: partBytes, NumThreads: partsAtOnce, ConcurrentStreamParts: true, ContentType: "application/octet-stream",
	})
	if in.err != nil {
		err = in.err // The source's own, whatever the library has made of it.
	}
	return s.explain(err, "write", name)
}

// failing keeps the error of the reader.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

func (s *s3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	o, err := s.client.GetObject(ctx, s.bucket, s.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, s.explain(err, "read", name)
	}
	// It asks only now.
	if _, err := o.Stat(); err != nil {
		return nil, errors.Join(s.explain(err, "read", name), o.Close())
	}
	return o, nil
}

func (s *s3) Stat(ctx context.Context, name string) (Object, error) {
	info, err := s.client.StatObject(ctx, s.bucket, s.key(name), minio.StatObjectOptions{})
	if err != nil {
		return Object{}, s.explain(err, "look at", name)
	}
	return Object{Name: name, Bytes: info.Size, Modified: info.LastModified}, nil
}

func (s *s3) List(ctx context.Context, prefix string) ([]Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	base := s.base()
	var out []Object
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: base + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, s.explain(o.Err, "list", prefix)
		}
		if !strings.HasSuffix(o.Key, "/") { // Some servers have directories.
			out = append(out, Object{Name: strings.TrimPrefix(o.Key, base), Bytes: o.Size, Modified: o.LastModified})
		}
	}
	return out, nil
}

func (s *s3) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := s.explain(s.client.RemoveObject(ctx, s.bucket, s.key(name), minio.RemoveObjectOptions{}), "delete", name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Tidy ends each unfinished upload by its own ID: another one of the same object may be under way.
func (s *s3) Tidy(ctx context.Context, prefix string, since time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var errs []error
	for u := range s.client.ListIncompleteUploads(ctx, s.bucket, s.base()+prefix, true) {
		switch {
		case u.Err != nil:
			return errors.Join(append(errs, s.explain(u.Err, "list the unfinished uploads of", prefix))...)
		case u.Initiated.IsZero() || !u.Initiated.Before(since): // One whose age is not told is somebody's.
		default:
			err := minio.Core{Client: s.client}.AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID)
			if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
				continue // It has ended since.
			}
			errs = append(errs, s.explain(err, "end the unfinished upload of", u.Key))
		}
	}
	return errors.Join(errs...)
}

func (s *s3) Close() error { s.close(); return nil }
