package operations

import (
	"regexp"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// maxOutput bounds what a status keeps of a failed command's output, in bytes;
// the Job's log has all of it.
const maxOutput = 2048

// hintMark begins the line of a step's message that says what to do next.
const hintMark = "next: "

// secretSyntax matches what looks like a bootstrap token or a certificate key:
// a second line of defence for texts that were written by other programs.
var secretSyntax = regexp.MustCompile(`\b([a-z0-9]{6}\.[a-z0-9]{16}|[0-9a-f]{64})\b`)

// FailureText is how a failed task stands in a step's message: the short
// message, what to do next, the end of the output. failureEvent reads it.
func FailureText(node string, f node.Failure) string {
	var b strings.Builder
	b.WriteString(node + ": " + f.Message)
	if f.Hint != "" {
		b.WriteString("\n" + hintMark + f.Hint)
	}
	if out := strings.TrimSpace(f.Output); out != "" {
		if len(out) > maxOutput {
			out = "…" + strings.ToValidUTF8(out[len(out)-maxOutput:], "")
		}
		b.WriteString("\n" + out)
	}
	return secretSyntax.ReplaceAllString(b.String(), "[redacted]")
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
