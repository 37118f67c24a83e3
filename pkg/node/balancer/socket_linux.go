package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// takeTimeout bounds the wait for a port that somebody else has and does not give.
	takeTimeout = 30 * time.Second
	// takeInterval is the time between two tries.
	takeInterval = 200 * time.Millisecond
	// giveTimeout bounds one handing over.
	giveTimeout = 2 * time.Second
)

// giveName is the Unix socket, in the host's network namespace and in no file system,
// over which the listening socket of a port is handed over.
func giveName(port int32) string { return fmt.Sprintf("@kubectl-ha/loadbalancer/%d", port) }

// take gets the listening socket of the port: that of the pod that is there already,
// else a new one.
func take(ctx context.Context, port int32) (*net.TCPListener, error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	for {
		given, giveErr := takeOver(ctx, port)
		if giveErr == nil {
			return given, nil
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(int(port)))
		if err == nil {
			return l.(*net.TCPListener), nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen on port %d: %w", port, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("port %d of this host is in use by another program: end that, or choose another port with --port", port)
		case <-time.After(takeInterval):
		}
	}
}

// takeOver asks the pod that has the socket for it.
func takeOver(ctx context.Context, port int32) (*net.TCPListener, error) {
	dialer := net.Dialer{Timeout: giveTimeout}
	c, err := dialer.DialContext(ctx, "unix", giveName(port))
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	defer conn.Close() //nolint:errcheck // only read
	if err := sameUser(conn); err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(giveTimeout)); err != nil {
		return nil, err
	}
	one, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(one, rights)
	if err != nil {
		return nil, fmt.Errorf("take the listening socket over: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("take the listening socket over: it was not sent"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("take the listening socket over: it was not sent"), err)
	}
	unix.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "listener")
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("take the listening socket over: %w", err)
	}
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(errors.New("take the listening socket over: it is none of TCP"), l.Close())
	}
	if got := t.Addr().(*net.TCPAddr).Port; got != int(port) {
		return nil, errors.Join(fmt.Errorf("take the listening socket over: it is of port %d", got), t.Close())
	}
	return t, nil
}

// give hands the listening socket to whoever asks for it and is the same user, until
// the context ends. While an older pod still does that, it waits for its end.
func give(ctx context.Context, port int32, l *net.TCPListener, log func(format string, args ...any)) {
	var giver *net.UnixListener
	for giver == nil {
		g, err := new(net.ListenConfig).Listen(ctx, "unix", giveName(port))
		if err == nil {
			giver = g.(*net.UnixListener)
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(takeInterval):
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = giver.Close() }) // Accept tells.
	defer stop()
	for {
		conn, err := giver.AcceptUnix()
		if err != nil {
			if ctx.Err() == nil {
				log("the listening socket can't be handed over any more: %v", err)
			}
			return
		}
		if err := errors.Join(send(conn, l), conn.Close()); err != nil {
			log("hand the listening socket over: %v", err)
		}
	}
}

func send(conn *net.UnixConn, l *net.TCPListener) error {
	if err := sameUser(conn); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(giveTimeout)); err != nil {
		return err
	}
	return withFD(l, func(fd int) error {
		_, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil)
		return err
	})
}

// withFD calls do with the listening socket's file descriptor. (*net.TCPListener).File
// would make the socket a blocking one, for all who have it.
func withFD(l *net.TCPListener, do func(fd int) error) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// sameUser refuses a peer that is another user: in the host's network namespace anybody
// may open a Unix socket of that name.
func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("who is at the other end: %w", credErr)
	}
	if int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("the other end is user %d, not %d", cred.Uid, os.Getuid())
	}
	return nil
}
