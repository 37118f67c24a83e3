package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options say what to serve and where.
type Options struct {
	// Listen is the address of the one port, such as ":80".
	Listen string
	// Names is the address at which names are refused, such as ":53". Empty for none.
	Names string
	// Files is the tree of files, Registry the registry.
	Files    string
	Registry RegistryOptions
	// Log gets a line per request: time, client, method, path, status, bytes, duration.
	Log io.Writer
}

// Serve runs the mirror until ctx ends.
func Serve(ctx context.Context, o Options) error {
	registry, err := StartRegistry(ctx, o.Registry)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: o.Listen, Handler: logged(handler(o.Files, registry.Address), o.Log), ReadHeaderTimeout: 30 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.ListenAndServe() }()
	if o.Names != "" {
		go func() {
			if err := ServeNames(ctx, o.Names); err != nil {
				failed <- err
			}
		}()
	}
	select {
	case err = <-failed:
	case <-registry.Ended():
		err = errors.New("the registry has ended")
	case <-ctx.Done():
		// Whoever still downloads is cut off: the lab is going down.
		err = server.Close()
	}
	return errors.Join(err, registry.Stop())
}

// handler serves the registry under /v2/ and files elsewhere.
func handler(files, registry string) http.Handler {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	mux := http.NewServeMux()
	// The Host header stays the client's: the registry builds its links from it.
	mux.Handle("/v2/", proxy)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, files) })
	return mux
}

// serveFile serves one file of the tree; folders are not listed.
func serveFile(w http.ResponseWriter, r *http.Request, root string) {
	path := filepath.Join(root, filepath.FromSlash(filepath.Clean("/"+r.URL.Path)))
	info, err := os.Stat(path)
	if err != nil || info.IsDir() || strings.HasSuffix(r.URL.Path, "/") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeFile(w, r, path)
}

// logged writes a line per request.
func logged(next http.Handler, log io.Writer) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		c := &counter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(c, r)
		mu.Lock()
		defer mu.Unlock()
		// A log that can't be written must not break a download.
		_, _ = fmt.Fprintf(log, "%s %s %s %s %d %d %.3fs\n", begin.UTC().Format(time.RFC3339Nano), r.RemoteAddr, r.Method,
			r.URL.Path, c.status, c.bytes, time.Since(begin).Seconds())
	})
}

// counter notes an answer's status and size.
type counter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the status.
func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap lets the standard library find the connection's other powers.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
