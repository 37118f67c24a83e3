package report

import (
	"regexp"
	"time"
)

// The secrets that kubeadm and its like print, which would otherwise reach an
// event with a failed command's output. Each expression keeps what is in its
// groups. Never assigned to.
var secrets = []struct {
	pattern *regexp.Regexp
	with    string
}{
	// A private key in PEM.
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`), "[private key]"},
	// The same in base64, as a kubeconfig has it.
	{regexp.MustCompile(`((?:client-key-data|token|password)"?\s*[:=]\s*"?)[^\s",]{8,}`), "${1}[secret]"},
	// kubeadm's bootstrap token: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
	{regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`), "[token]"},
	// kubeadm's key for uploaded certificates: 32 bytes in hex.
	{regexp.MustCompile(`(?i)(certificate[ -]?key\S*[\s:="]*)[0-9a-f]{64}\b`), "${1}[key]"},
	// A service account's token.
	{regexp.MustCompile(`\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}`), "[token]"},
}

// Redact takes the secrets out of a text that a foreign program printed.
func Redact(text string) string {
	for _, s := range secrets {
		text = s.pattern.ReplaceAllString(text, s.with)
	}
	return text
}

// clean returns the event as it may be shown, with the time of its coming when
// it has none.
func clean(e Event) Event {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	for _, text := range []*string{&e.Title, &e.Message, &e.Error, &e.Detail, &e.Hint} {
		*text = Redact(*text)
	}
	return e
}
