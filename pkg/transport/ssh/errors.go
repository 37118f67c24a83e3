package ssh

import "fmt"

// Kind says which step towards a host failed, so that a caller can tell people
// what to do without reading messages.
type Kind string

// The kinds of errors.
const (
	// Config: the settings can't be used (a missing key file, ssh_config).
	Config Kind = "config"
	// Unreachable: there is no connection, or no SSH server at its end.
	Unreachable Kind = "unreachable"
	// HostKeyUnknown: known_hosts has no key of this host.
	HostKeyUnknown Kind = "host-key-unknown"
	// HostKeyChanged: known_hosts has another key of this host.
	HostKeyChanged Kind = "host-key-changed"
	// LoginRefused: the host accepted none of the keys.
	LoginRefused Kind = "login-refused"
	// NoSudo: the user is not root, and sudo is missing or asks for a password.
	NoSudo Kind = "no-sudo"
	// Lost: the connection was there and is gone.
	Lost Kind = "connection-lost"
	// NoRoom: there is no directory on the host from which the agent can run.
	NoRoom Kind = "no-room"
	// Agent: the agent died, or answered what can't be understood.
	Agent Kind = "agent"
)

// Error is a failure on the way to a host. The message is short; Detail keeps
// what was printed, Hint says what to do next.
type Error struct {
	Kind Kind
	// Host is the host's name in the Cluster file; for a jump host "host via jump".
	Host string
	// Message says what failed.
	Message string
	// Detail is the output of what failed, when there is any.
	Detail string
	// Hint says what to do next.
	Hint string
	// Err is the cause, if there is one.
	Err error
}

// Error is the host and the message.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Host, e.Message) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitError is a remote command that did not exit with 0.
type ExitError struct {
	// Argv is the command; it never holds secrets.
	Argv []string
	// Code is the exit code; -1 when a signal ended it.
	Code int
	// Signal is its name when one ended the command.
	Signal string
	// Stderr is the end of what it printed there, when the caller took it not.
	Stderr string
}

// Error names the command and how it ended.
func (e *ExitError) Error() string {
	if e.Signal != "" {
		return fmt.Sprintf("%s was ended by signal %s", e.Argv[0], e.Signal)
	}
	return fmt.Sprintf("%s exited with code %d", e.Argv[0], e.Code)
}

// Explain gives the detail and the hint, as steps of a plan show them.
func (e *Error) Explain() (detail, hint string) { return e.Detail, e.Hint }
