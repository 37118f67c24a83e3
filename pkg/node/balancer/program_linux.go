package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

const (
	// startTimeout bounds a program's start.
	startTimeout = 15 * time.Second
	// startPoll is the time between two looks at it.
	startPoll = 20 * time.Millisecond
)

// program is a haproxy or nginx that runs.
type program struct {
	kind    string
	process *os.Process
	// sign is the file that it makes once it serves: its socket or its PID file.
	sign string
	// config is its configuration file.
	config string
	// exited is closed when it has ended, err says how.
	exited chan struct{}
	err    error
}

// start starts a program on the listening socket, and returns once it serves.
func start(ctx context.Context, dir string, generation int, s Settings, config func(sign string) []byte, l *net.TCPListener) (*program, error) {
	p := &program{kind: s.Type, exited: make(chan struct{}),
		sign:   filepath.Join(dir, fmt.Sprintf("%s-%d.sign", s.Type, generation)),
		config: filepath.Join(dir, fmt.Sprintf("%s-%d.conf", s.Type, generation))}
	path, err := exec.LookPath(s.Type)
	if err != nil {
		return nil, fmt.Errorf("the image has no %s: %w", s.Type, err)
	}
	if err := os.Remove(p.sign); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := os.WriteFile(p.config, config(p.sign), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	argv, env := []string{s.Type, "-db", "-f", p.config}, os.Environ()
	if s.Type == v1alpha1.LoadBalancerNginx {
		argv = []string{s.Type, "-e", "stderr", "-p", dir, "-c", p.config}
		// How nginx is told of sockets that it inherits.
		env = append(env, fmt.Sprintf("NGINX=%d;", inheritedFD))
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close() //nolint:errcheck // only for the program
	err = withFD(l, func(fd int) error {
		// Not os.StartProcess, which makes every file that it passes on a blocking one.
		pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: env, Dir: dir,
			Files: []uintptr{null.Fd(), 1, 2, uintptr(fd)}})
		if err != nil {
			return fmt.Errorf("start %s: %w", path, err)
		}
		p.process, err = os.FindProcess(pid)
		return err
	})
	if err != nil {
		return nil, err
	}
	go p.wait()
	if err := p.serves(ctx); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (p *program) wait() {
	defer close(p.exited)
	state, err := p.process.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("%s ended: %s", p.kind, state)
	}
	p.err = err
}

// serves waits until the program has made its sign.
func (p *program) serves(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s does not serve within %s of its start", p.kind, startTimeout))
	defer cancel()
	for {
		if info, err := os.Stat(p.sign); err == nil && (info.Mode()&os.ModeSocket != 0 || info.Size() > 0 && p.works()) {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s does not start; its log says why: %w", p.kind, errors.Join(p.err, errEnded))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(startPoll):
		}
	}
}

// works tells whether nginx has begun to accept connections: its PID file is there before
// the processes are that do, and who retires the program before it too early leaves
// connections waiting. A kernel that does not tell of processes' children is believed.
func (p *program) works() bool {
	pid := p.process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	return errors.Is(err, os.ErrNotExist) || len(children) > 0
}

var errEnded = errors.New("it has ended")

// retire has the program take no new connections, and end with the last it has.
func (p *program) retire() {
	sig := syscall.SIGUSR1
	if p.kind == v1alpha1.LoadBalancerNginx {
		sig = syscall.SIGQUIT
	}
	// One that has ended needs no telling.
	_ = p.process.Signal(sig)
}

// kill ends the program, its connections with it, and returns when it has.
func (p *program) kill() {
	sig := syscall.SIGTERM
	// One that has ended needs no telling; nginx's master ends its workers.
	_ = p.process.Signal(sig)
	select {
	case <-p.exited:
	case <-time.After(2 * time.Second):
		_ = p.process.Kill()
		<-p.exited
	}
}

// tidy removes its files.
func (p *program) tidy() {
	// They are in memory, and gone with the pod.
	_, _ = os.Remove(p.sign), os.Remove(p.config)
}
