package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/localfile"
)

const (
	lockFile = StateDir + "/lock"
	lockPoll = 100 * time.Millisecond
)

// Holder is who holds a host's lock.
type Holder struct {
	PID   int       `json:"pid"`
	Task  string    `json:"task"`
	Since time.Time `json:"since"`
}

// Lock is the right to change the host: only one agent has it at a time.
type Lock struct{ file *os.File }

// AcquireLock waits until no other agent has the lock, at most for the given
// time. The kernel takes it back when the process ends, however it ends.
func AcquireLock(ctx context.Context, root, task string, wait time.Duration) (*Lock, error) {
	return acquire(ctx, root, lockFile, task, wait)
}

// AcquireTaskLock is AcquireLock for a task that may run beside others, but not
// twice at a time.
func AcquireTaskLock(ctx context.Context, root, task string, wait time.Duration) (*Lock, error) {
	return acquire(ctx, root, lockFile+"-"+task, task, wait)
}

func acquire(ctx context.Context, root, name, task string, wait time.Duration) (*Lock, error) {
	if err := ensureStateDir(root); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(root, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the host's lock: %w", err)
	}
	l := &Lock{file: file}
	if err := l.wait(ctx, wait); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := l.sign(Holder{PID: os.Getpid(), Task: task, Since: time.Now().UTC()}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

func (l *Lock) wait(ctx context.Context, wait time.Duration) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		locked, err := localfile.TryLock(l.file)
		if err != nil {
			return fmt.Errorf("lock the host: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the host's lock, held by %s: %w", l.holder(), context.Cause(ctx))
		case <-deadline.C:
			return WithHint(fmt.Errorf("the host's lock is held by %s, still after %s", l.holder(), wait),
				"another run of kubectl-ha works on this host; wait for it to end, or end that process on the host")
		case <-poll.C:
		}
	}
}

// holder describes who has the lock, as far as can be told.
func (l *Lock) holder() string {
	var h Holder
	content, err := os.ReadFile(l.file.Name())
	if err == nil {
		err = json.Unmarshal(content, &h)
	}
	if err != nil || h.PID == 0 {
		return "another agent"
	}
	return fmt.Sprintf("the agent with pid %d (task %s, since %s)", h.PID, h.Task, h.Since.Format(time.RFC3339))
}

// sign writes the holder into the file, for those who wait.
func (l *Lock) sign(h Holder) error {
	content, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("sign the host's lock: %w", err)
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("sign the host's lock: %w", err)
	}
	if _, err := l.file.WriteAt(append(content, '\n'), 0); err != nil {
		return fmt.Errorf("sign the host's lock: %w", err)
	}
	return nil
}

// Release gives the lock back.
func (l *Lock) Release() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

// ensureStateDir makes StateDir, readable for root alone.
func ensureStateDir(root string) error {
	dir := filepath.Join(root, StateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", StateDir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("protect %s: %w", StateDir, err)
	}
	return nil
}
