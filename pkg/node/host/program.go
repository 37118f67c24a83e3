package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Where our own programs are: not below StateDir, since hardened hosts mount /var without
// execution, and SELinux lets systemd start nothing that is labelled as state (var_lib_t).
// The reference policies give bin_t to what is below a bin of /usr/lib, and take
// /usr/local/lib for the same:
// https://github.com/fedora-selinux/selinux-policy/blob/rawhide/policy/modules/kernel/corecommands.fc
const (
	ProgramsRoot = "/usr/local/lib/kubectl-ha"
	ProgramsDir  = ProgramsRoot + "/bin"
	// AgentPath is the agent's own program.
	AgentPath = ProgramsDir + "/kubectl-ha"
	// FormerAgentPath is where it was once. It is a link now: the load balancer's pods,
	// and what people have written down, go by it.
	FormerAgentPath = StateDir + "/bin/kubectl-ha"
)

// SelfPath is the file of the program that runs.
const SelfPath = "/proc/self/exe"

// InstallAgent puts a program of this machine, usually SelfPath, where the host's own
// services, and pods that run it as the host has it, find it.
func (h *Host) InstallAgent(ctx context.Context, program string) (changed bool, err error) {
	if changed, err = h.InstallProgram(ctx, AgentPath, program, 0o755, "the agent"); err != nil {
		return changed, err
	}
	linked, err := h.Symlink(ctx, FormerAgentPath, AgentPath)
	return changed || linked, err
}

// InstallProgram puts a program of this machine into ProgramsDir, which is ours as a whole.
func (h *Host) InstallProgram(ctx context.Context, path, program string, mode fs.FileMode, note string) (changed bool, err error) {
	sum, err := FileSum(program)
	if err != nil {
		return false, fmt.Errorf("read the agent's own file: %w", err)
	}
	// What is above is not ours as a whole, and noted before it.
	if err := h.mkdirs(ctx, filepath.Dir(ProgramsRoot)); err != nil {
		return false, err
	}
	if err := h.Record(ctx, KindDirectory, ProgramsRoot, "programs of kubectl-ha"); err != nil {
		return false, err
	}
	return h.InstallFile(ctx, File{Path: path, Mode: mode, Note: note}, sum, func() (io.ReadCloser, error) { return os.Open(program) })
}

// AgentInstalled tells whether a program of this machine is the installed agent.
func (h *Host) AgentInstalled(program string) (bool, error) {
	have, err := h.SHA256(AgentPath)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	want, err := FileSum(program)
	return err == nil && have == want, err
}

// labelled tells whether SELinux is on: its file system is there.
func (h *Host) labelled() bool {
	there, err := h.Exists("/sys/fs/selinux/enforce")
	return err == nil && there
}

// relabel gives a new file the label that its place has by SELinux's policy; of itself
// it has that of the directory in which it was made. It is a part of making the file, and
// so not noted on its own. Below StateDir that is the same, and nothing is started there.
func (h *Host) relabel(ctx context.Context, path string) error {
	if strings.HasPrefix(path, StateDir+"/") || !h.labelled() {
		return nil
	}
	program, err := h.LookPath("restorecon")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // SELinux without its tools: nobody here can tell what is right.
	}
	if err != nil {
		return err
	}
	if _, err := h.Query(ctx, Command{Argv: []string{program, path}, Timeout: time.Minute}); err != nil {
		return fmt.Errorf("give %s its SELinux label: %w", path, err)
	}
	return nil
}

// tryWithin bounds the start of a program that does nothing.
const tryWithin = 20 * time.Second

// TryPrograms is an error when a program can't be put into a directory and started there,
// by this process and by systemd: the file system is read-only or mounted noexec, or a
// policy forbids it. It passes by the gate, since nothing of what it makes stays.
func (h *Host) TryPrograms(ctx context.Context, dir string) (err error) {
	made, err := h.makeMissing(ctx, dir)
	defer func() {
		for _, d := range made {
			// Somebody else may have put something into it meanwhile.
			if rmErr := os.Remove(h.Path(d)); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) && !errors.Is(rmErr, syscall.ENOTEMPTY) {
				err = errors.Join(err, rmErr)
			}
		}
	}()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, fmt.Sprintf(".kubectl-ha-try-%d", os.Getpid()))
	f, err := createNew(h.Path(path))
	if err != nil {
		return fmt.Errorf("no file can be made there: %w", cause(err))
	}
	defer func() { err = errors.Join(err, os.Remove(h.Path(path))) }()
	_, err = f.WriteString("#!/bin/sh\nexit 0\n")
	if err := errors.Join(err, f.Chmod(0o755), f.Close()); err != nil {
		return fmt.Errorf("no file can be made there: %w", cause(err))
	}
	if err := h.relabel(ctx, path); err != nil {
		return err
	}
	if _, err := h.Query(ctx, Command{Argv: []string{path}, Timeout: tryWithin}); err != nil {
		return fmt.Errorf("a program there can't be started: %w", err)
	}
	// https://www.freedesktop.org/software/systemd/man/sd_booted.html
	if booted, err := h.Exists("/run/systemd/system"); err != nil || !booted {
		return err
	}
	if _, err := h.Query(ctx, Command{Argv: []string{"systemd-run", "--quiet", "--wait", "--collect", path}, Timeout: tryWithin}); err != nil {
		return fmt.Errorf("systemd can't start a program there: %w", err)
	}
	return nil
}

// makeMissing makes a directory with those above it, and returns the new ones, the
// deepest first.
func (h *Host) makeMissing(ctx context.Context, dir string) (made []string, err error) {
	var missing []string
	for d := dir; ; d = filepath.Dir(d) {
		// One may be a link, as /usr/local is on some systems.
		info, err := os.Stat(h.Path(d))
		if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s is no directory", d)
		}
		if err == nil || d == "/" {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return nil, err
		}
		missing = append(missing, d)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(h.Path(missing[i]), 0o755); err != nil {
			return made, fmt.Errorf("the directory can't be made: %w", cause(err))
		}
		made = append([]string{missing[i]}, made...)
		if err := h.relabel(ctx, missing[i]); err != nil {
			return made, err
		}
	}
	return made, nil
}

// cause is what the system said, without the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
