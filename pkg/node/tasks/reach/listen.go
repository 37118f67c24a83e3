package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
)

const (
	defaultFor    = time.Minute
	defaultWithin = 3 * time.Second
	maxToken      = 256
)

// Listen listens until the client goes or the time is over.
func Listen(ctx context.Context, env node.Env, spec ListenSpec) (any, error) {
	if spec.Token == "" || len(spec.Token) > maxToken {
		return nil, fmt.Errorf("the token must have 1 to %d characters", maxToken)
	}
	if spec.For <= 0 {
		spec.For = defaultFor
	}
	ctx, cancel := context.WithTimeout(ctx, spec.For)
	defer cancel()
	data := ListenData{Taken: map[int32]string{}, Answered: map[int32]int{}}
	var mu sync.Mutex
	var serving sync.WaitGroup
	for _, port := range spec.Ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(spec.Address, strconv.Itoa(int(port))))
		if err != nil {
			data.Taken[port] = err.Error()
			continue
		}
		stop := context.AfterFunc(ctx, func() {
			// Ends the loop below; there is no error worth telling.
			_ = l.Close()
		})
		serving.Go(func() {
			defer stop()
			serve(ctx, l, spec.Token, func() {
				mu.Lock()
				defer mu.Unlock()
				data.Answered[port]++
			})
		})
	}
	env.Progress(Listening)
	<-ctx.Done()
	serving.Wait()
	return data, nil
}

// serve answers connections until the listener is closed.
func serve(ctx context.Context, l net.Listener, token string, answered func()) {
	var answering sync.WaitGroup
	defer answering.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || err != nil && ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // A peer that went again before it was accepted.
		}
		answering.Go(func() {
			err := conn.SetDeadline(time.Now().Add(defaultWithin))
			if err == nil {
				_, err = conn.Write([]byte(token))
			}
			if errors.Join(err, conn.Close()) == nil {
				answered()
			}
		})
	}
}
