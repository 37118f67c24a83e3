package inspect

import (
	"regexp"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// secrets are forms of secrets that a log or a configuration may hold, beyond
// those that report knows.
var secrets = []*regexp.Regexp{
	// PEM of anything private, also with \n written out.
	regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?-----END [A-Z0-9 ]*PRIVATE KEY-----`),
	// The header and body of a JSON web token.
	regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]+)?`),
	// kubeadm's bootstrap tokens. https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
	regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`),
	// A base64 of a PEM, as kubeconfigs have: "-----BEGIN" begins with these letters.
	regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=]+`),
	// Logins in URLs, and headers.
	regexp.MustCompile(`://[^/\s:@]+:[^/\s@]+@`),
	regexp.MustCompile(`(?i)(authorization|proxy-authorization|x-auth-token):\s*\S+(\s+\S+)?`),
	// A value that calls itself a secret; in JSON within JSON its quotes are escaped.
	regexp.MustCompile(`(?i)\\*"?\b(password|passwd|secret|token|certificate-?key|api-?key|client-key-data)\\*"?\s*[=:]\s*(\\*"[^"\\]*\\*"|[^\s,;}]+)`),
	// kubeadm's key for uploaded certificates, as a flag.
	regexp.MustCompile(`--certificate-key[ =]\S+`),
}

const redacted = "[left out]"

// Clean takes out of a text what is, or looks like, a secret.
func Clean(text string) string {
	for _, s := range secrets {
		text = s.ReplaceAllString(text, redacted)
	}
	return report.Redact(text)
}
