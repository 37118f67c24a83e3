package operations

import (
	"regexp"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// maxOutput bounds what a status keeps of a failed command's output, in bytes;
// the Job's log has all of it.
const maxOutput = 2048

// maxMessage bounds a failed task's message and its hint each, in bytes: the status of all
// steps together has to fit into one object of the API (1.5 MiB by etcd's default).
const maxMessage = 1024

// hintMark begins the line of a step's message that says what to do next.
const hintMark = "next: "

// secretSyntax matches what looks like a bootstrap token or a certificate key:
// a second line of defence for texts that were written by other programs.
var secretSyntax = regexp.MustCompile(`\b([a-z0-9]{6}\.[a-z0-9]{16}|[0-9a-f]{64})\b`)

// FailureText is how a failed task stands in a step's message: the short
// message, what to do next, the end of the output. failureEvent reads it.
func FailureText(node string, f node.Failure) string {
	var b strings.Builder
	b.WriteString(node + ": " + cut(redact(f.Message)))
	if f.Hint != "" {
		b.WriteString("\n" + hintMark + cut(redact(f.Hint)))
	}
	if out := redact(strings.TrimSpace(f.Output)); out != "" {
		if len(out) > maxOutput {
			out = "…" + strings.ToValidUTF8(out[len(out)-maxOutput:], "")
		}
		b.WriteString("\n" + out)
	}
	return b.String()
}

// redact comes before a text is cut: the half of a secret is one, too.
func redact(s string) string { return secretSyntax.ReplaceAllString(s, "[redacted]") }

// cut keeps the beginning of a text.
func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// FailureNote is a failed step in short: its ID, the message, and what to do next; no output.
func FailureNote(s v1alpha1.StepStatus) string {
	head, rest, _ := strings.Cut(s.Message, "\n")
	note := s.ID + ": " + head
	if next, _, _ := strings.Cut(rest, "\n"); strings.HasPrefix(next, hintMark) {
		note += "\n" + next
	}
	return note
}

// failureEvent puts a failed step's message into an event's fields.
func failureEvent(e report.Event, message string) report.Event {
	head, rest, _ := strings.Cut(message, "\n")
	e.Kind, e.Error = report.StepFailed, head
	if hint, ok := strings.CutPrefix(rest, hintMark); ok {
		e.Hint, rest, _ = strings.Cut(hint, "\n")
	}
	e.Detail = rest
	return e
}
