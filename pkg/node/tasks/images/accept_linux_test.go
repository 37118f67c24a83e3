package images

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// poor is a listener that has no file descriptor left.
type poor struct {
	net.Listener
	tries atomic.Int64
}

func (p *poor) Accept() (net.Conn, error) {
	p.tries.Add(1)
	return nil, errors.New("too many open files")
}

// A shortage that lasts is waited for, not asked about without end.
func TestAcceptShortage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*acceptInterval)
	defer cancel()
	var serving sync.WaitGroup
	l := &poor{}
	began := time.Now()
	if err := new(task).accept(ctx, l, &serving); err != nil {
		t.Errorf("got %v", err)
	}
	if most := int64(time.Since(began)/acceptInterval) + 2; l.tries.Load() > most {
		t.Errorf("tried %d times, at most %d were expected", l.tries.Load(), most)
	}
}
