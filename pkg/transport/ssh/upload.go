package ssh

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	kgzip "github.com/klauspost/compress/gzip"
)

// InstalledAgent is where the prepare task leaves the agent on a host.
const InstalledAgent = "/usr/local/lib/kubectl-ha/bin/kubectl-ha"

// AgentSource gives the agent's program for an architecture in Go's terms. An
// error says how to get one.
type AgentSource interface {
	Binary(arch string) (path string, sha256 string, err error)
}

// places are the directories tried for the agent's own, in this order: /tmp may
// be mounted noexec. An empty one is the user's home.
var places = [...]string{"/tmp", "/var/tmp", ""}

// remoteAgent is the agent on one host.
type remoteAgent struct {
	// path of the program.
	path string
	// dir is the directory made for it; empty when the installed one is used.
	dir string
}

// putAgent makes sure that the agent is on the host: the one that an earlier
// run installed, when it is the same, else one in a directory of its own.
func (c *Conn) putAgent(ctx context.Context, machine string, sudo bool, source AgentSource, blobs *compressed) (remoteAgent, error) {
	local, sum, err := source.Binary(goArch(machine))
	if err != nil {
		return remoteAgent{}, &Error{Kind: Config, Host: c.target.Name, Message: fmt.Sprintf("there is no agent for a %s host: %v", machine, err), Err: err}
	}
	var tried []string
	if c.hasSum(ctx, sudo, InstalledAgent, sum) {
		err := c.starts(ctx, sudo, InstalledAgent)
		if err == nil {
			return remoteAgent{path: InstalledAgent}, nil
		}
		// It may have been mounted noexec since.
		tried = append(tried, fmt.Sprintf("%s: %v", path.Dir(InstalledAgent), err))
	}
	for _, place := range places {
		a, err := c.tryPlace(ctx, place, local, blobs)
		if err == nil {
			return a, nil
		}
		var exit *ExitError
		var e *Error
		if ctx.Err() != nil {
			return remoteAgent{}, ctx.Err()
		}
		if !errors.As(err, &exit) || errors.As(err, &e) && e.Kind == Lost {
			return remoteAgent{}, err
		}
		tried = append(tried, fmt.Sprintf("%s: %v", first(place, "the home directory"), err))
	}
	return remoteAgent{}, &Error{Kind: NoRoom, Host: c.target.Name, Detail: strings.Join(tried, "\n"),
		Message: "there is no directory in which the agent can be put and run: " + strings.Join(tried, "; "),
		Hint:    "make room in /tmp, /var/tmp or the user's home, or mount one of them without noexec"}
}

// tryPlace puts the agent into a new directory (mktemp makes it 0700) in one
// of the places, and finds out at the same time whether programs run there.
func (c *Conn) tryPlace(ctx context.Context, place, local string, blobs *compressed) (_ remoteAgent, err error) {
	if place == "" {
		if place, err = c.output(ctx, "pwd"); err != nil {
			return remoteAgent{}, err
		}
	}
	dir, err := c.output(ctx, "mktemp", "-d", path.Join(place, "kubectl-ha.XXXXXXXXXX"))
	if err != nil {
		return remoteAgent{}, fmt.Errorf("no directory can be made: %w", explained(err))
	}
	a := remoteAgent{path: path.Join(dir, "kubectl-ha"), dir: dir}
	probed := make(chan error, 1)
	go func() { probed <- c.probe(ctx, path.Join(dir, "probe")) }()
	err = c.upload(ctx, local, a.path, blobs)
	if probeErr := <-probed; probeErr != nil {
		err = probeErr
	}
	if err != nil {
		return remoteAgent{}, errors.Join(err, c.removeAgent(context.WithoutCancel(ctx), a))
	}
	return a, nil
}

// goArch is Go's name of what uname -m prints; an unknown one stays as it is.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	default:
		return machine
	}
}

// hasSum tells whether the file is there with this SHA-256. Whatever goes wrong
// means no.
func (c *Conn) hasSum(ctx context.Context, sudo bool, file, sum string) bool {
	argv := []string{"sha256sum", "--", file}
	if sudo {
		argv = append(sudoPrefix[:], argv...)
	}
	out, err := c.output(ctx, argv...)
	return err == nil && strings.HasPrefix(out, sum+" ")
}

// starts tells by an error that a program of ours can't be started where it is.
func (c *Conn) starts(ctx context.Context, sudo bool, program string) error {
	argv := []string{program, "agent", "--help"}
	if sudo {
		argv = append(sudoPrefix[:], argv...)
	}
	if err := c.Run(ctx, argv, nil, nil, nil); err != nil {
		return fmt.Errorf("no program can be run (noexec?): %w", explained(err))
	}
	return nil
}

// probe puts a program of two lines there and runs it, which a file system
// mounted noexec refuses.
func (c *Conn) probe(ctx context.Context, file string) error {
	if err := c.Run(ctx, []string{"dd", "of=" + file}, strings.NewReader("#!/bin/sh\nexit 0\n"), nil, nil); err != nil {
		return fmt.Errorf("no file can be written: %w", explained(err))
	}
	if err := c.Run(ctx, []string{"chmod", "0700", file}, nil, nil, nil); err != nil {
		return explained(err)
	}
	if err := c.Run(ctx, []string{file}, nil, nil, nil); err != nil {
		return fmt.Errorf("no program can be run (noexec?): %w", explained(err))
	}
	return nil
}

// explained puts what a command printed to stderr into the error's message.
func explained(err error) error {
	var exit *ExitError
	if text := ""; errors.As(err, &exit) {
		if text = strings.TrimSpace(exit.Stderr); text != "" {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return err
}

// upload copies a program to the host by the standard input of dd: as it is on
// a fast link, since packing takes longer than it saves there, and packed on a
// slow one, when the host has gzip. SSH itself sees to it that nothing is damaged.
func (c *Conn) upload(ctx context.Context, local, remote string, blobs *compressed) error {
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	err = c.Run(ctx, []string{"dd", "of=" + remote, "bs=1048576"}, &pacer{r: f}, nil, nil)
	if errors.Is(err, errSlow) {
		err = c.uploadPacked(ctx, local, remote, blobs)
	}
	if err != nil {
		return fmt.Errorf("the agent can't be copied there: %w", explained(err))
	}
	return c.Run(ctx, []string{"chmod", "0700", remote}, nil, nil, nil)
}

func (c *Conn) uploadPacked(ctx context.Context, local, remote string, blobs *compressed) error {
	if err := c.Run(ctx, []string{"gzip", "--version"}, nil, nil, nil); err != nil {
		f, err := os.Open(local)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		return c.Run(ctx, []string{"dd", "of=" + remote, "bs=1048576"}, f, nil, nil)
	}
	data, err := blobs.of(local)
	if err != nil {
		return err
	}
	if err := c.Run(ctx, []string{"dd", "of=" + remote + ".gz", "bs=1048576"}, bytes.NewReader(data), nil, nil); err != nil {
		return err
	}
	return c.Run(ctx, []string{"gzip", "-d", "-f", remote + ".gz"}, nil, nil, nil)
}

const (
	// paceAfter is how much is sent before the link is judged, in bytes: more
	// than what fits into SSH's window (2 MiB) and the kernels' buffers.
	paceAfter = 8 << 20
	// slowLink is the speed, in bytes per second, below which packing pays.
	slowLink = 12 << 20
)

// errSlow ends the reading from a pacer.
var errSlow = errors.New("the link is slow")

// pacer is a reader that notices when what is read from it is taken slowly.
type pacer struct {
	r      io.Reader
	begun  time.Time
	read   int64
	judged bool
}

func (p *pacer) Read(b []byte) (int, error) {
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	if !p.judged && p.read >= paceAfter {
		p.judged = true
		if float64(p.read) < slowLink*time.Since(p.begun).Seconds() {
			return 0, errSlow
		}
	}
	n, err := p.r.Read(b)
	p.read += int64(n)
	return n, err
}

// setupError turns the failure of one of the few commands run without the agent
// into an Error.
func (c *Conn) setupError(what string, err error) error {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return err
	}
	return &Error{Kind: NoRoom, Host: c.target.Name, Err: err, Detail: strings.TrimSpace(exit.Stderr),
		Message: fmt.Sprintf("can't %s: %v", what, explained(err)), Hint: "is the disk full, or a basic command missing?"}
}

// removeAgent removes the directory made for the agent, if one was.
func (c *Conn) removeAgent(ctx context.Context, a remoteAgent) error {
	if a.dir == "" {
		return nil
	}
	if err := c.Run(ctx, []string{"rm", "-r", "-f", "--", a.dir}, nil, nil, nil); err != nil {
		return fmt.Errorf("%s: the temporary directory %s is left behind: %w", c.target.Name, a.dir, err)
	}
	return nil
}

// compressed keeps programs compressed, so that each is compressed once for
// all hosts.
type compressed struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (z *compressed) of(file string) ([]byte, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if data, ok := z.files[file]; ok {
		return data, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	var out bytes.Buffer
	w, err := kgzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err == nil {
		_, err = io.Copy(w, f)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress %s: %w", file, err)
	}
	if z.files == nil {
		z.files = map[string][]byte{}
	}
	z.files[file] = out.Bytes()
	return out.Bytes(), nil
}
