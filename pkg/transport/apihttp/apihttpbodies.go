package apihttp

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// client-go logs the bodies of requests and answers from level 8 on, with the secrets in
// them. So it is kept below that level, and this file, which alone has the level that was
// asked for, logs the bodies that have none. klog keeps the two levels; it finds this file
// by its name.
const (
	libraryLevel = 7
	bodiesFile   = "apihttpbodies"
)

// Levels are klog's settings -v and -vmodule for a level that was asked for.
func Levels(level int) (v, vmodule string) {
	return fmt.Sprint(min(level, libraryLevel)), fmt.Sprintf("%s=%d", bodiesFile, level)
}

// LogBodies has the bodies of requests and answers logged from klog's level 8 on: 1024
// characters, 10240 at 9, all at 10, as kubectl does. Those that may hold secrets are left
// out. At these levels the clients speak JSON, which people can read, and Redact.
func LogBodies(config *rest.Config) {
	if klog.V(8).Enabled() {
		config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &bodyLogger{next} })
}

type bodyLogger struct{ next http.RoundTripper }

// WrappedRoundTripper lets apimachinery find the connections below.
func (l *bodyLogger) WrappedRoundTripper() http.RoundTripper { return l.next }

// RoundTrip is the next one's.
func (l *bodyLogger) RoundTrip(r *http.Request) (*http.Response, error) {
	if !klog.V(8).Enabled() {
		return l.next.RoundTrip(r)
	}
	why := leftOut(r)
	if r.Body != nil && r.Body != http.NoBody {
		logBody("Request Body", r, why, r.Header.Get("Content-Type"), requestBody(r))
	}
	resp, err := l.next.RoundTrip(r)
	if err != nil || resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == nil {
		return resp, err
	}
	if why == "" && lasts(r) {
		why = "it has no end"
	}
	if why != "" {
		logBody("Response Body", r, why, "", nil)
		return resp, nil
	}
	resp.Body = &seenBody{ReadCloser: resp.Body, done: func(data []byte) {
		logBody("Response Body", r, "", resp.Header.Get("Content-Type"), data)
	}}
	return resp, nil
}

// requestBody is a copy of a request's body; nil when it can be read only once.
func requestBody(r *http.Request) []byte {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(body, mostSeen))
	if err != nil {
		return nil
	}
	return data
}

// secretParts are the parts of a path that name resources and subresources of secrets: Secrets,
// tokens that are issued or looked at, certificates that are asked for, and all that goes
// through the API server to another program.
var secretParts = []string{"secrets", "token", "tokenreviews", "tokenrequests", "certificatesigningrequests",
	"exec", "attach", "portforward", "proxy", "log"}

// leftOut tells why a request's bodies are not logged; empty when they are.
func leftOut(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	for _, p := range parts {
		if slices.Contains(secretParts, strings.ToLower(p)) {
			return "it may hold secrets (" + strings.ToLower(p) + ")"
		}
	}
	// The Cluster document has patches, which may hold what they like.
	at := slices.Index(parts, "configmaps")
	if at < 0 {
		return ""
	}
	if in := slices.Index(parts, "namespaces"); in >= 0 && in+1 < at && parts[in+1] != v1alpha1.SystemNamespace {
		return ""
	}
	return "it may hold the Cluster document, whose patches may hold secrets"
}

// lasts tells whether an answer goes on until somebody ends it.
func lasts(r *http.Request) bool {
	q := r.URL.Query()
	return q.Get("watch") == "true" || q.Get("watch") == "1" || strings.Contains(r.URL.Path, "/watch/") || q.Get("follow") == "true"
}

// logBody logs a body, or why it is not.
func logBody(what string, r *http.Request, why, contentType string, data []byte) {
	body := ""
	switch kind, _, err := mime.ParseMediaType(contentType); {
	case why != "":
		body = "left out: " + why
	case err != nil || !strings.HasSuffix(kind, "json") && !strings.HasSuffix(kind, "yaml") && kind != "text/plain":
		body = fmt.Sprintf("left out: %d bytes of %q", len(data), contentType)
	default:
		body = shortened(masked(string(data)))
	}
	klog.V(8).InfoS(what, "verb", r.Method, "url", r.URL.String(), "body", body)
}

// Fields, and variables of a pod's environment, that are called like secrets; the quotes may
// be those of JSON in JSON. Never assigned to.
var secretFields = []*regexp.Regexp{
	regexp.MustCompile(`(?i)([\w.-]*(?:client-key-data|token|password|passwd|secret|certificate-?key|api-?key)\\*"\s*:\s*\\*")[^"\\]+`),
	regexp.MustCompile(`(?i)(\\*"name\\*"\s*:\s*\\*"[^"\\]*(?:token|passw|secret|key|credential)[^"\\]*\\*"\s*,\s*\\*"value\\*"\s*:\s*\\*")[^"\\]+`),
}

// masked takes out of a body what looks like a secret: one may be where nobody expects it.
func masked(body string) string {
	body = report.Redact(body)
	for _, f := range secretFields {
		body = f.ReplaceAllString(body, "${1}[secret]")
	}
	return body
}

// shortened cuts a body as kubectl does.
func shortened(body string) string {
	most := 1024
	switch {
	case klog.V(10).Enabled():
		return body
	case klog.V(9).Enabled():
		most = 10240
	}
	if len(body) <= most {
		return body
	}
	return fmt.Sprintf("%s [truncated %d chars]", body[:most], len(body)-most)
}

const (
	// mostSeen is how much of a body is looked at, in bytes.
	mostSeen = 4 << 20
	// unsure is what is cut from the end of a body that has more: a secret that is not
	// whole would not be known for one.
	unsure = 8 << 10
)

// seenBody calls done with what was read of a body, once: at its end, or when it is closed.
type seenBody struct {
	io.ReadCloser
	done func([]byte)

	once sync.Once
	seen bytes.Buffer
	more bool
}

// Read is the body's.
func (b *seenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if keep := min(n, mostSeen-b.seen.Len()); keep > 0 {
		b.seen.Write(p[:keep])
	}
	b.more = b.more || b.seen.Len() == mostSeen
	if err != nil {
		b.end()
	}
	return n, err
}

// Close is the body's.
func (b *seenBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

func (b *seenBody) end() {
	b.once.Do(func() {
		data := b.seen.Bytes()
		if b.more {
			data = data[:mostSeen-unsure]
		}
		b.done(data)
	})
}
