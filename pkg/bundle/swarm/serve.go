package swarm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/time/rate"
)

// chunk is how much is read or written at once, in bytes.
const chunk = 64 << 10

// maxBurst bounds how much is sent at once after a pause, in bytes.
const maxBurst = 8 << 20

// writeWithin is how long one chunk may take to be sent.
const writeWithin = time.Minute

// newClient makes the asking side of a peer.
func newClient(config *tls.Config) *http.Client {
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	// No proxy: peers are nodes of the same cluster.
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		ResponseHeaderTimeout: 20 * time.Second, DisableCompression: true,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 16 << 10,
	}}
}

// newServer makes the answering side.
func (p *Peer) newServer(config *tls.Config) *http.Server {
	config = config.Clone()
	config.NextProtos = []string{FeedProtocol, "http/1.1"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /have", p.serveHave)
	mux.HandleFunc("GET /piece/{digest}/{number}", p.servePiece)
	mux.HandleFunc("GET /parcel", p.serveParcel)
	if p.cfg.Open {
		mux.HandleFunc("POST "+wantPath+"{digest}", p.serveWant)
		mux.HandleFunc("POST "+begPath, p.serveBeg)
	}
	return &http.Server{
		Handler: p.counted(mux), TLSConfig: config,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		// Peers that break off and strangers without a certificate are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// listen answers until the context ends.
func (p *Peer) listen(ctx context.Context) error {
	p.server.BaseContext = func(net.Listener) context.Context { return ctx }
	p.server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		FeedProtocol: func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
			// It has said in the log why it ended.
			_ = p.ServeFeed(ctx, conn)
		},
	}
	stop := context.AfterFunc(ctx, func() {
		// Serve returns the reason.
		_ = p.server.Close()
	})
	defer stop()
	err := p.server.Serve(tls.NewListener(p.listener, p.server.TLSConfig))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve blobs on %s: %w", p.listener.Addr(), err)
}

// enter lets Run wait for what uses the peer; false once Run has ended.
func (p *Peer) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.serving.Add(1)
	}
	return !p.ended
}

func (p *Peer) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.enter() {
			http.Error(w, "this peer has ended", http.StatusGone)
			return
		}
		defer p.serving.Done()
		h.ServeHTTP(w, r)
	})
}

// serveParcel gives the parcel itself.
func (p *Peer) serveParcel(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	data := p.encoded
	p.mu.Unlock()
	if data == nil {
		http.NotFound(w, r)
		return
	}
	p.send(w, r, bytes.NewReader(data), int64(len(data)))
}

// servePiece gives one piece.
func (p *Peer) servePiece(w http.ResponseWriter, r *http.Request) {
	l, piece, ok := p.pieceOf(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	began, ok := p.beginSending(piece)
	if !ok {
		http.Error(w, "this piece is being sent to others", http.StatusServiceUnavailable)
		return
	}
	defer p.endSending(piece, began)
	content, err := p.openBlob(r.Context(), l.blobOf(piece))
	if err == nil {
		// It is only read.
		defer func() { _ = content.Close() }()
		err = p.checkLocal(r.Context(), l, piece, content)
	}
	if err != nil {
		if r.Context().Err() == nil {
			if err := p.recheck(r.Context(), l.blobOf(piece), err); err != nil {
				p.cfg.Log(err.Error())
			}
		}
		http.NotFound(w, r)
		return
	}
	_, offset, size := l.at(piece)
	p.send(w, r, io.NewSectionReader(content, offset, size), size)
}

// pieceOf is the piece that is asked for; false when it is not here.
func (p *Peer) pieceOf(r *http.Request) (*layout, int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := strconv.ParseUint(r.PathValue("number"), 10, 31)
	if err != nil || p.layout == nil {
		return nil, 0, false
	}
	blob, ok := p.layout.byDigest[digest.Digest(r.PathValue("digest"))]
	if !ok || int(n) >= len(p.layout.parcel.Blobs[blob].Pieces) {
		return nil, 0, false
	}
	piece := p.layout.first[blob] + int(n)
	return p.layout, piece, p.have.has(piece)
}

// beginSending is false while a piece is being sent to enough others: those who
// ask can soon get it from them, and this peer's link is kept for pieces that
// nobody else has.
func (p *Peer) beginSending(piece int) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, fresh := time.Now(), 0
	for _, began := range p.sending[piece] {
		if now.Sub(began) < p.tune.busyFor {
			fresh++
		}
	}
	if fresh >= p.tune.copies {
		return now, false
	}
	p.sending[piece] = append(p.sending[piece], now)
	return now, true
}

func (p *Peer) endSending(piece int, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.sending[piece]
	if i := slices.Index(list, began); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if p.sending[piece] = list; len(list) == 0 {
		delete(p.sending, piece)
	}
}

// checkLocal checks a piece that did not come through this peer, once, before it
// is given to others.
func (p *Peer) checkLocal(ctx context.Context, l *layout, piece int, content io.ReaderAt) error {
	p.mu.Lock()
	unchecked := p.local[l.blobOf(piece)] && !p.checked.has(piece)
	p.mu.Unlock()
	if !unchecked {
		return nil
	}
	_, offset, size := l.at(piece)
	h := sha256.New()
	if _, err := io.Copy(h, &contextReader{ctx: ctx, r: io.NewSectionReader(content, offset, size)}); err != nil {
		return err
	}
	if !l.sums(piece, h.Sum(nil)) {
		return errWrong
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked.set(piece)
	return nil
}

// send writes an answer at the rate that is allowed.
func (p *Peer) send(w http.ResponseWriter, r *http.Request, content io.Reader, size int64) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	out := http.NewResponseController(w)
	buffer := make([]byte, p.throttle.chunk)
	for size > 0 {
		part := buffer[:min(int64(len(buffer)), size)]
		_, err := io.ReadFull(content, part)
		if err == nil {
			err = p.throttle.wait(r.Context(), len(part))
		}
		if err == nil {
			err = out.SetWriteDeadline(time.Now().Add(writeWithin))
		}
		if err == nil {
			_, err = w.Write(part)
		}
		if err == nil {
			// So that at a low rate the other end sees that it goes on.
			err = p.throttle.flush(out)
		}
		if err != nil {
			// Less than was announced: the other end notices.
			panic(http.ErrAbortHandler)
		}
		size -= int64(len(part))
		p.mu.Lock()
		p.counts.sent += int64(len(part))
		p.mu.Unlock()
	}
}

// throttle bounds a rate of bytes.
type throttle struct {
	limiter *rate.Limiter
	// chunk is how much is sent at once.
	chunk int
}

// newThrottle makes one; 0 is no limit.
func newThrottle(perSecond int64) throttle {
	if perSecond <= 0 {
		return throttle{chunk: chunk}
	}
	n := min(chunk, max(perSecond/10, 64))
	// What a busy machine was late to send within a quarter of a second is caught
	// up with.
	burst := int(max(n, min(perSecond/4, maxBurst)))
	return throttle{limiter: rate.NewLimiter(rate.Limit(perSecond), burst), chunk: int(n)}
}

// wait waits until n more bytes, at most a chunk, may be sent.
func (t throttle) wait(ctx context.Context, n int) error {
	if t.limiter == nil {
		return ctx.Err()
	}
	return t.limiter.WaitN(ctx, n)
}

func (t throttle) flush(out *http.ResponseController) error {
	if t.limiter == nil {
		return nil
	}
	return out.Flush()
}
