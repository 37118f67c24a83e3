package node

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

var pipeSignals = []os.Signal{syscall.SIGPIPE}

// reexecOnHost makes this process a new agent in the namespaces of PID 1, with
// the request in memory. It returns only when that fails.
func reexecOnHost(request []byte, terminationLog string) error {
	requestFD, err := memoryFile("request", request)
	if err != nil {
		return err
	}
	argv := []string{"kubectl-ha", "agent", "run", "--request", fdPath(requestFD)}
	if terminationLog != "" {
		// Without O_CLOEXEC: the pod's files can't be reached by name from the host.
		logFD, err := unix.Open(terminationLog, unix.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("open the termination log %s: %w", terminationLog, err)
		}
		argv = append(argv, "--termination-log", fdPath(logFD))
	}
	// Never unlocked: a thread that is half in another namespace must run nothing else.
	runtime.LockOSThread()
	if err := EnterHost(); err != nil {
		return err
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	return fmt.Errorf("run the agent anew on the host: %w", unix.Exec("/proc/self/exe", argv, env))
}

// EnterHost moves the calling thread, which must be locked to its goroutine,
// into the network, IPC, UTS and mount namespaces of PID 1. The PID namespace
// must be the host's already (hostPID), and the process privileged.
func EnterHost() error {
	root, err := unix.Open("/proc/1/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root of PID 1: %w", err)
	}
	// Threads share their root directory; the kernel lets only a thread with one of its own change mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return errors.Join(fmt.Errorf("unshare the root directory: %w", err), unix.Close(root))
	}
	// All are opened first, and the mount namespace is entered last: with it /proc is another.
	kinds := []struct {
		name string
		flag int
		fd   int
	}{{"net", unix.CLONE_NEWNET, -1}, {"ipc", unix.CLONE_NEWIPC, -1}, {"uts", unix.CLONE_NEWUTS, -1}, {"mnt", unix.CLONE_NEWNS, -1}}
	for i := range kinds {
		if kinds[i].fd, err = unix.Open("/proc/1/ns/"+kinds[i].name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open the %s namespace of PID 1: %w", kinds[i].name, err)
		}
	}
	for _, k := range kinds {
		if err := errors.Join(unix.Setns(k.fd, k.flag), unix.Close(k.fd)); err != nil {
			return fmt.Errorf("enter the %s namespace of PID 1: %w", k.name, err)
		}
	}
	if err := errors.Join(unix.Fchdir(root), unix.Chroot("."), unix.Close(root)); err != nil {
		return fmt.Errorf("enter the root of PID 1: %w", err)
	}
	return nil
}

// memoryFile puts content into an anonymous file that outlives an exec.
func memoryFile(name string, content []byte) (int, error) {
	fd, err := unix.MemfdCreate(name, 0)
	if err != nil {
		return -1, fmt.Errorf("make a file in memory: %w", err)
	}
	for rest := content; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			return -1, errors.Join(fmt.Errorf("write a file in memory: %w", err), unix.Close(fd))
		}
		rest = rest[n:]
	}
	return fd, nil
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
