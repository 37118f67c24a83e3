package swarm

import "sync"

// buffers are for pieces that are on their way, used again and again.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

func (b *buffers) get(size int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		buffer := b.free[n-1]
		b.free = b.free[:n-1]
		return buffer
	}
	return make([]byte, size)
}

func (b *buffers) put(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, buffer)
}
