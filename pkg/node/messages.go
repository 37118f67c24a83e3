package node

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/kubectl-ha/kubectl-ha/pkg/report"
)

// messages writes Messages, one JSON document per line. When the reader has
// gone, events are dropped: who runs a step finishes it.
type messages struct {
	mu     sync.Mutex
	to     io.Writer
	broken bool
}

// Emit writes an event.
func (m *messages) Emit(e report.Event) {
	// A lost reader is noticed by the agent at the end of its standard input.
	_ = m.write(Message{Event: &e})
}

// result writes the last line.
func (m *messages) result(r Result) error {
	if err := m.write(Message{Result: &r}); err != nil {
		return fmt.Errorf("deliver the result: %w", err)
	}
	return nil
}

func (m *messages) write(msg Message) error {
	line, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return ErrClientGone
	}
	if _, err := m.to.Write(append(line, '\n')); err != nil {
		m.broken = true
		return fmt.Errorf("%w: %w", ErrClientGone, err)
	}
	return nil
}
