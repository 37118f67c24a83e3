package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

// dialling is how many targets are dialled at once.
const dialling = 64

// Dial dials all targets. That some can't be reached is a result, not an error.
func Dial(ctx context.Context, env node.Env, spec DialSpec) (any, error) {
	if spec.Token == "" || len(spec.Token) > maxToken {
		return nil, fmt.Errorf("the token must have 1 to %d characters", maxToken)
	}
	if spec.Within <= 0 {
		spec.Within = defaultWithin
	}
	env.Progress("dialling %d ports", len(spec.Targets))
	data := DialData{Results: make([]Dialled, len(spec.Targets))}
	slots := make(chan struct{}, dialling)
	var all sync.WaitGroup
	for i, target := range spec.Targets {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			err := dial(ctx, target, spec)
			data.Results[i] = Dialled{Target: target, Outcome: outcome(err)}
			if err != nil {
				data.Results[i].Detail = err.Error()
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return data, nil
}

// errWrongAnswer is wrapped when somebody else answers.
var errWrongAnswer = errors.New("somebody else answers there")

func dial(ctx context.Context, target Target, spec DialSpec) error {
	ctx, cancel := context.WithTimeout(ctx, spec.Within)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(target.Address, strconv.Itoa(int(target.Port))))
	if err != nil {
		return err
	}
	err = expect(conn, spec.Token, spec.Within)
	return errors.Join(err, conn.Close())
}

// expect reads the token. Its absence after a connection was made means that
// the way is open, but to somebody else.
func expect(conn net.Conn, token string, within time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	got, err := io.ReadAll(io.LimitReader(conn, maxToken+1))
	if string(got) == token {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errWrongAnswer, err)
	}
	return errWrongAnswer
}

func outcome(err error) Outcome {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return OK
	case errors.Is(err, errWrongAnswer):
		return WrongAnswer
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Failed
}
