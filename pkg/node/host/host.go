// Package host is the gate between tasks and the machine they run on. Reads go
// straight through; every mutation is written into the ledger before it is
// made, with the original kept, or in a dry run only recorded.
package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

// StateDir is where everything kubectl-ha keeps on a host lives.
const StateDir = "/var/lib/kubectl-ha"

// ErrNotImplemented marks what is not written yet.
var ErrNotImplemented = errors.New("not implemented")

// Host is the machine, as tasks see it. Its methods may be called from many
// goroutines.
type Host struct {
	opts Options
}

// Options says how a Host behaves.
type Options struct {
	// Root is prefixed to every path; for tests. Default "/".
	Root string
	// DryRun records mutations instead of making them.
	DryRun bool
	// Ledger takes notes of mutations; nil for read-only tasks, which then
	// can't mutate.
	Ledger *Ledger
	// Step is noted in the ledger beside each mutation.
	Step string
	// Commands runs commands. Default: the real ones.
	Commands Commander
}

// Commander runs commands: the one transport of this package.
type Commander interface {
	Run(ctx context.Context, c Command) (Output, error)
}

// Command is an argument vector and what goes with it.
type Command struct {
	Argv []string
	// Env is added to the agent's own environment.
	Env []string
	Dir string
	// Stdin is given to the command. It may hold secrets.
	Stdin []byte
	// Timeout bounds it. Zero: what the context says.
	Timeout time.Duration
	// Progress, when set, is called with each line of output as it comes.
	Progress func(line string)
}

// Output is what a command printed and how it ended.
type Output struct {
	Stdout, Stderr []byte
	ExitCode       int
}

// CommandError is a command that could not be run or did not exit with 0. It
// keeps all output; the message is short.
type CommandError struct {
	Argv   []string
	Output Output
	Err    error
}

// Change is one mutation that was made, or would be.
type Change struct {
	// Action is create, replace, remove, run, service.
	Action string `json:"action"`
	// Path or what is changed: a file, a unit, a command line without secrets.
	Target string `json:"target"`
	// Note is for people.
	Note string `json:"note,omitempty"`
}

// File is a file as it is wanted.
type File struct {
	Path string
	// Mode is the exact permission; there is no default.
	Mode fs.FileMode
	// UID and GID own it. Default root.
	UID, GID int
	Content  []byte
	// Note is for the ledger and people: "etcd's systemd unit".
	Note string
}

// Open makes a Host.
func Open(opts Options) (*Host, error) { return &Host{opts: opts}, nil }

// DryRun tells whether mutations are only recorded.
func (h *Host) DryRun() bool { return h.opts.DryRun }

// Changes returns the mutations so far, in order.
func (h *Host) Changes() []Change { return nil }

// ReadFile reads a file. It is an error that wraps fs.ErrNotExist when there is none.
func (h *Host) ReadFile(path string) ([]byte, error) { return nil, ErrNotImplemented }

// Stat is os.Lstat under the root.
func (h *Host) Stat(path string) (fs.FileInfo, error) { return nil, ErrNotImplemented }

// ReadDir is os.ReadDir under the root.
func (h *Host) ReadDir(path string) ([]fs.DirEntry, error) { return nil, ErrNotImplemented }

// Query runs a command that changes nothing; it runs in a dry run as well.
func (h *Host) Query(ctx context.Context, c Command) (Output, error) {
	return Output{}, ErrNotImplemented
}

// LookPath finds a command on the host.
func (h *Host) LookPath(name string) (string, error) { return "", ErrNotImplemented }

// WriteFile makes a file as wanted, atomically (temporary file, fsync, rename),
// with its directories (0755, or 0700 under StateDir), and tells whether
// anything had to be changed: content, mode and owner are compared first.
func (h *Host) WriteFile(ctx context.Context, f File) (changed bool, err error) {
	return false, ErrNotImplemented
}

// InstallFile is WriteFile for what does not fit into memory: content is read
// from r, and must have the given SHA-256 (hex); what has it already is left alone.
func (h *Host) InstallFile(ctx context.Context, f File, sha256 string, r func() (io.ReadCloser, error)) (changed bool, err error) {
	return false, ErrNotImplemented
}

// Mkdir makes a directory (and its parents) with the exact mode and owner.
func (h *Host) Mkdir(ctx context.Context, path string, mode fs.FileMode, uid, gid int) (changed bool, err error) {
	return false, ErrNotImplemented
}

// Symlink makes path a link to target.
func (h *Host) Symlink(ctx context.Context, path, target string) (changed bool, err error) {
	return false, ErrNotImplemented
}

// Remove removes a file that the ledger knows as ours; what is not ours is an
// error. A missing file is no change.
func (h *Host) Remove(ctx context.Context, path string) (changed bool, err error) {
	return false, ErrNotImplemented
}

// Run runs a command that changes something. why is one line for people, kept
// in the ledger. In a dry run nothing runs and the output is empty.
func (h *Host) Run(ctx context.Context, why string, c Command) (Output, error) {
	return Output{}, ErrNotImplemented
}

// Record notes in the ledger what is about to be made outside of the gate (a
// data directory by etcd, an image by containerd): kind is file, directory,
// image, interface, mount, unit, user, package.
func (h *Host) Record(ctx context.Context, kind, target, note string) error {
	return ErrNotImplemented
}

// Unit is what systemd says of a unit.
type Unit struct {
	Name                             string
	LoadState, ActiveState, SubState string
	UnitFileState                    string
	MainPID                          int
	// ActiveEnter is when it became active; zero when it is not.
	ActiveEnter time.Time
	// NeedReload is true when the unit file is newer than what systemd has read.
	NeedReload bool
}

// Unit asks systemd for a unit's state; a unit that does not exist has the
// LoadState not-found, and is not an error.
func (h *Host) Unit(ctx context.Context, name string) (Unit, error) {
	return Unit{}, ErrNotImplemented
}

// EnsureUnit reloads systemd when needed, enables the unit, starts it, or
// restarts it when restart is true or its unit file changed. It tells whether
// anything was done. It does not wait for more than systemd's own job.
func (h *Host) EnsureUnit(ctx context.Context, name string, restart bool) (changed bool, err error) {
	return false, ErrNotImplemented
}

// StopUnit stops and, when disable is true, disables a unit.
func (h *Host) StopUnit(ctx context.Context, name string, disable bool) (changed bool, err error) {
	return false, ErrNotImplemented
}

// Error is short: the command's name and how it ended.
func (e *CommandError) Error() string { return ErrNotImplemented.Error() }

// Unwrap gives the cause.
func (e *CommandError) Unwrap() error { return e.Err }
