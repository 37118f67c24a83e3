package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// maxDownload bounds one downloaded file, in bytes: several times the largest
// that upstream has, so that a wrong server can't fill the disk.
const maxDownload = 2 << 30

// downloader gets files by HTTP into a store, checked and resumable.
type downloader struct {
	client *http.Client
	mirror string
	store  *Store
}

// get downloads one file and returns its digest, under which the store has it.
// progress is called with the bytes so far and the size, -1 when not known.
func (d *downloader) get(ctx context.Context, item download, progress func(done, total int64), note func(error)) (digest.Digest, error) {
	want, whose, err := d.expected(ctx, item, note)
	if err != nil {
		return "", fmt.Errorf("checksum of %s: %w", item.name, err)
	}
	if f, err := d.store.Open(want); err == nil {
		// What is there was checked when it came; it is checked again since it
		// may have come long ago.
		if err := errors.Join(f.Close(), d.store.Verify(ctx, want)); err == nil {
			return want, nil
		}
	}
	fileURL, err := mirrored(item.url, d.mirror)
	if err != nil {
		return "", err
	}
	w, err := d.store.writer(Blob{Digest: want, Size: -1})
	if err != nil {
		return "", err
	}
	if err := d.fill(ctx, w, fileURL, progress, note); err != nil {
		return "", errors.Join(fmt.Errorf("download %s: %w", item.name, err), w.abandon(err))
	}
	if err := w.Commit(); err != nil {
		if errors.Is(err, errDigest) {
			err = fmt.Errorf("download %s: %s is not what %s says it is, "+
				"and was thrown away; check the mirror, or a proxy on the way: %w", item.name, fileURL, whose, err)
			if item.digest != "" && d.mirror != "" {
				err = fmt.Errorf("%w\nnext: %s", err, ownBuilds)
			}
			return "", err
		}
		return "", fmt.Errorf("download %s: %w", item.name, err)
	}
	return want, nil
}

// expected is what a file must be, and who says so: this release, or else the
// origin that the file comes from.
func (d *downloader) expected(ctx context.Context, item download, note func(error)) (want digest.Digest, whose string, err error) {
	if item.digest != "" {
		return item.digest, "this release of kubectl-ha", nil
	}
	whose, err = mirrored(item.sums, d.mirror)
	if err != nil {
		return "", "", err
	}
	var sums string
	err = retryRead(ctx, note, func() error {
		sums, err = d.text(ctx, whose)
		return err
	})
	if err != nil {
		return "", "", err
	}
	sum, err := parseSum(sums, item.file())
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", whose, err)
	}
	return digest.NewDigestFromEncoded(digest.SHA256, sum), whose, nil
}

// fill brings the file from where the writer is to its end. A resumed file that
// turns out wrong is started over once, since what was kept may be the culprit.
func (d *downloader) fill(ctx context.Context, w *blobWriter, url string, progress func(done, total int64), note func(error)) error {
	resumed := w.Offset() > 0
	for {
		err := retryMoving(ctx, note, w.Offset, func() error { return d.part(ctx, w, url, progress) })
		if err != nil {
			return err
		}
		if !resumed || w.sum() == w.blob.Digest {
			return nil
		}
		resumed = false
		if err := w.reset(); err != nil {
			return err
		}
	}
}

// part does one GET from where the writer is.
func (d *downloader) part(ctx context.Context, w *blobWriter, url string, progress func(done, total int64)) error {
	ctx, watch := watchStall(ctx)
	defer watch.end()
	res, err := d.do(ctx, url, w.Offset())
	if err != nil {
		return watch.explain(err)
	}
	defer closeBody(res)
	switch {
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && w.Offset() > 0:
		// The whole file is there already, or a longer one: Commit tells.
		return nil
	case res.StatusCode == http.StatusOK && w.Offset() > 0:
		if err := w.reset(); err != nil {
			return err
		}
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusPartialContent:
		return &statusError{url: url, status: res.Status, code: res.StatusCode}
	}
	total := int64(-1)
	if res.ContentLength >= 0 {
		total = w.Offset() + res.ContentLength
	}
	if total > maxDownload {
		return fmt.Errorf("GET %s: %d bytes are more than any file that is expected here", url, total)
	}
	body := io.LimitReader(&contextReader{ctx: ctx, r: res.Body}, maxDownload-w.Offset())
	_, err = io.Copy(&progressWriter{w: w, at: w.Offset(), total: total, report: progress}, watch.reader(body))
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, watch.explain(err))
	}
	if total >= 0 && w.Offset() != total {
		return fmt.Errorf("GET %s: %w", url, io.ErrUnexpectedEOF)
	}
	return nil
}

// text gets a small file whole.
func (d *downloader) text(ctx context.Context, url string) (string, error) {
	res, err := d.do(ctx, url, 0)
	if err != nil {
		return "", err
	}
	defer closeBody(res)
	if res.StatusCode != http.StatusOK {
		return "", &statusError{url: url, status: res.Status, code: res.StatusCode}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSums+1))
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", url, err)
	}
	if len(data) > maxSums {
		return "", fmt.Errorf("GET %s: longer than %d bytes", url, maxSums)
	}
	return string(data), nil
}

func (d *downloader) do(ctx context.Context, url string, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// A transfer that is decoded on the way has other bytes than the checksum's.
	req.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	return d.client.Do(req)
}

// closeBody closes a response that was read as far as it was wanted.
func closeBody(res *http.Response) {
	// The data is read; an error of closing says nothing about it.
	_ = res.Body.Close()
}

// progressWriter tells how far a copy is.
type progressWriter struct {
	w         io.Writer
	at, total int64
	report    func(done, total int64)
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.at += int64(n)
	if p.report != nil {
		p.report(p.at, p.total)
	}
	return n, err
}
