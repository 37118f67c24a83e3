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

	kgzip "github.com/klauspost/compress/gzip"
)

// InstalledAgent is where the prepare task leaves the agent on a host.
const InstalledAgent = "/var/lib/kubectl-ha/bin/kubectl-ha"

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
func (c *Conn) putAgent(ctx context.Context, sudo bool, source AgentSource, blobs *compressed) (remoteAgent, error) {
	machine, err := c.output(ctx, "uname", "-m")
	if err != nil {
		return remoteAgent{}, c.setupError("ask for the architecture", err)
	}
	local, sum, err := source.Binary(goArch(machine))
	if err != nil {
		return remoteAgent{}, &Error{Kind: Config, Host: c.target.Name, Message: fmt.Sprintf("there is no agent for a %s host: %v", machine, err), Err: err}
	}
	if c.hasSum(ctx, sudo, InstalledAgent, sum) {
		return remoteAgent{path: InstalledAgent}, nil
	}
	dir, err := c.makeDir(ctx)
	if err != nil {
		return remoteAgent{}, err
	}
	a := remoteAgent{path: path.Join(dir, "kubectl-ha"), dir: dir}
	if err := c.upload(ctx, local, sum, a.path, blobs); err != nil {
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

// makeDir makes a directory for the agent (mktemp makes it 0700), from which a
// program can be run.
func (c *Conn) makeDir(ctx context.Context) (string, error) {
	var tried []string
	for _, place := range places {
		template := path.Join(place, "kubectl-ha.XXXXXXXXXX")
		if place == "" {
			home, err := c.output(ctx, "pwd")
			if err != nil {
				break
			}
			template = path.Join(home, template)
		}
		dir, err := c.output(ctx, "mktemp", "-d", template)
		if err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			tried = append(tried, fmt.Sprintf("%s: %s", path.Dir(template), stderrOf(err)))
			continue
		}
		err = c.probe(ctx, path.Join(dir, "probe"))
		if err == nil {
			return dir, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v", path.Dir(template), err))
		if err := c.removeAgent(context.WithoutCancel(ctx), remoteAgent{dir: dir}); err != nil {
			return "", err
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	return "", &Error{Kind: NoRoom, Host: c.target.Name, Detail: strings.Join(tried, "\n"),
		Message: "there is no directory in which the agent can be put and run: " + strings.Join(tried, "; "),
		Hint:    "make room in /tmp, /var/tmp or the user's home, or mount one of them without noexec"}
}

// probe puts a program of two lines there and runs it, which a file system
// mounted noexec refuses.
func (c *Conn) probe(ctx context.Context, file string) error {
	if err := c.Run(ctx, []string{"dd", "of=" + file}, strings.NewReader("#!/bin/sh\nexit 0\n"), nil, nil); err != nil {
		return fmt.Errorf("no file can be written: %s", stderrOf(err))
	}
	if err := c.Run(ctx, []string{"chmod", "0700", file}, nil, nil, nil); err != nil {
		return err
	}
	if err := c.Run(ctx, []string{file}, nil, nil, nil); err != nil {
		return fmt.Errorf("no program can be run (noexec?): %w", err)
	}
	return nil
}

func stderrOf(err error) string {
	var exit *ExitError
	if errors.As(err, &exit) && strings.TrimSpace(exit.Stderr) != "" {
		return strings.TrimSpace(exit.Stderr)
	}
	return err.Error()
}

// upload copies a program to the host by the standard input of dd, compressed
// when the host has gzip, and compares its checksum at the end.
func (c *Conn) upload(ctx context.Context, local, sum, remote string, blobs *compressed) error {
	to, packed := remote, c.Run(ctx, []string{"gzip", "--version"}, nil, nil, nil) == nil
	var content io.Reader
	if packed {
		to = remote + ".gz"
		data, err := blobs.of(local)
		if err != nil {
			return err
		}
		content = bytes.NewReader(data)
	} else {
		f, err := os.Open(local)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		content = f
	}
	if err := c.Run(ctx, []string{"dd", "of=" + to, "bs=1048576"}, content, nil, nil); err != nil {
		return c.setupError("copy the agent there", err)
	}
	if packed {
		if err := c.Run(ctx, []string{"gzip", "-d", to}, nil, nil, nil); err != nil {
			return c.setupError("unpack the agent", err)
		}
	}
	if err := c.Run(ctx, []string{"chmod", "0700", remote}, nil, nil, nil); err != nil {
		return c.setupError("make the agent executable", err)
	}
	if !c.hasSum(ctx, false, remote, sum) {
		return &Error{Kind: Agent, Host: c.target.Name, Message: "the agent arrived damaged, or the host has no sha256sum",
			Hint: "run the command again; sha256sum is part of coreutils and busybox"}
	}
	return nil
}

// setupError turns the failure of one of the few commands run without the agent
// into an Error.
func (c *Conn) setupError(what string, err error) error {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return err
	}
	return &Error{Kind: NoRoom, Host: c.target.Name, Err: err, Detail: strings.TrimSpace(exit.Stderr),
		Message: fmt.Sprintf("can't %s: %s", what, stderrOf(err)), Hint: "is the disk full, or a basic command missing?"}
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
