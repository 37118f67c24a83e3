// Package host is the gate between tasks and the machine they run on. Reads go
// straight through; every mutation is written into the ledger before it is
// made, with the original kept, or in a dry run only recorded.
package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// StateDir is where everything kubectl-ha keeps on a host lives, but programs: AgentPath.
const StateDir = "/var/lib/kubectl-ha"

// ErrReadOnly is the error of a mutation tried by a task that keeps no ledger.
var ErrReadOnly = errors.New("this task only reads, it must not change the host")

// Host is the machine, as tasks see it. Its methods may be called from many
// goroutines.
type Host struct {
	opts Options

	mu      sync.Mutex
	changes []Change
	refused error

	// beforeStep, when set, may fail a step of replacing a file; for tests.
	beforeStep func(path, step string) error
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
	// Unkept: of what was there before no copy is kept, since it is a secret that is to be gone. Nor
	// is the file one of ours for that: who takes back what was done leaves it as it is.
	Unkept bool
}

// Open makes a Host.
func Open(opts Options) (*Host, error) {
	if opts.Root == "" {
		opts.Root = "/"
	}
	if !filepath.IsAbs(opts.Root) {
		return nil, fmt.Errorf("the root %q of the host is not an absolute path", opts.Root)
	}
	if opts.Commands == nil {
		opts.Commands = systemCommander{}
	}
	return &Host{opts: opts}, nil
}

// DryRun tells whether mutations are only recorded.
func (h *Host) DryRun() bool { return h.opts.DryRun }

// Changes returns the mutations so far, in order.
func (h *Host) Changes() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

// Refuse makes the gate refuse every further mutation with the given reason.
// What runs at the moment runs on to its end. The first reason stays.
func (h *Host) Refuse(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused == nil {
		h.refused = reason
	}
}

// Path is where a path of the host lies for this process: under the root.
func (h *Host) Path(path string) string { return filepath.Join(h.opts.Root, path) }

// ReadFile reads a file. It is an error that wraps fs.ErrNotExist when there is none.
func (h *Host) ReadFile(path string) ([]byte, error) { return os.ReadFile(h.Path(path)) }

// Stat is os.Lstat under the root.
func (h *Host) Stat(path string) (fs.FileInfo, error) { return os.Lstat(h.Path(path)) }

// ReadDir is os.ReadDir under the root.
func (h *Host) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(h.Path(path)) }

// Exists tells whether there is anything at path; a link is not followed.
func (h *Host) Exists(path string) (bool, error) {
	_, err := h.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Ledger reads the host's ledger, whether or not this task keeps it. The error
// wraps fs.ErrNotExist when the host has none.
func (h *Host) Ledger() (*Ledger, error) {
	if h.opts.Ledger != nil {
		return h.opts.Ledger, nil
	}
	return ReadLedger(h.opts.Root)
}

// mutate is the gate: it says whether a mutation is to be made, after it was
// written into the ledger. In a dry run it is only added to the changes.
func (h *Host) mutate(ctx context.Context, c Change, e Entry) (do bool, err error) {
	if err := h.mayMutate(ctx); err != nil {
		return false, fmt.Errorf("%s %s: not done: %w", c.Action, c.Target, err)
	}
	if !h.opts.DryRun {
		e.Step = h.opts.Step
		if err := h.opts.Ledger.append(e); err != nil {
			return false, fmt.Errorf("%s %s: not done, since it can't be noted in the ledger: %w", c.Action, c.Target, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, c)
	return !h.opts.DryRun, nil
}

// mayMutate is the gate's condition.
func (h *Host) mayMutate(ctx context.Context) error {
	h.mu.Lock()
	refused := h.refused
	h.mu.Unlock()
	switch {
	case refused != nil:
		return refused
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case h.opts.Ledger == nil && !h.opts.DryRun:
		return ErrReadOnly
	}
	return nil
}
