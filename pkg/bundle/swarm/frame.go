package swarm

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A feed is a stream of frames each way: one byte that says what it is, four
// with the payload's length (big endian), the payload.
const (
	// frameHello comes first, each way: hello in JSON.
	frameHello = 'H'
	// frameAsk asks for a piece by its number, or for the parcel.
	frameAsk = 'A'
	// frameData is a part of what was asked for: its number, then bytes. Answers
	// come in the order of the questions, each from its beginning.
	frameData = 'D'
	// frameStatus is a FeedStatus in JSON.
	frameStatus = 'S'
	// framePing says that the other end lives.
	framePing = 'P'
	// frameError says why this end gives up; frameBye that the swarm is done.
	frameError = 'E'
	frameFull  = 'F'
	frameBye   = 'B'
)

const (
	feedVersion = 1
	// askParcel is asked for instead of a piece.
	askParcel = 1<<32 - 1
	// feedDead is how long the other end may be silent, feedAlive how often this
	// one says something.
	feedDead  = time.Minute
	feedAlive = 5 * time.Second
)

// hello says which parcel is fed.
type hello struct {
	Version int    `json:"version"`
	Parcel  string `json:"parcel"`
	Size    int64  `json:"size"`
}

// frameLimit bounds a frame's payload.
func frameLimit(kind byte) int {
	switch kind {
	case frameHello, frameError, frameFull:
		return 4 << 10
	case frameAsk:
		return 4
	case frameData:
		return 4 + chunk
	case frameStatus:
		return 1 << 20
	case framePing, frameBye:
		return 0
	}
	return -1
}

// frames reads and writes frames. Reading and writing may be done by two
// goroutines.
type frames struct {
	rw io.ReadWriteCloser
	// in and out are buffers, used again and again.
	in, out []byte
}

func newFrames(rw io.ReadWriteCloser) *frames { return &frames{rw: rw} }

// write writes one frame.
func (f *frames) write(kind byte, payload []byte) error {
	f.out = append(f.out[:0], kind)
	f.out = binary.BigEndian.AppendUint32(f.out, uint32(len(payload)))
	f.out = append(f.out, payload...)
	_, err := f.rw.Write(f.out)
	return err
}

// writeData writes a part of a piece.
func (f *frames) writeData(number uint32, part []byte) error {
	f.out = append(f.out[:0], frameData)
	f.out = binary.BigEndian.AppendUint32(f.out, uint32(4+len(part)))
	f.out = binary.BigEndian.AppendUint32(f.out, number)
	f.out = append(f.out, part...)
	_, err := f.rw.Write(f.out)
	return err
}

func (f *frames) writeJSON(kind byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) > frameLimit(kind) {
		return fmt.Errorf("a frame of %d bytes can't be sent", len(data))
	}
	return f.write(kind, data)
}

// writeText writes why this end gives up.
func (f *frames) writeText(kind byte, text string) error {
	return f.write(kind, []byte(text[:min(len(text), frameLimit(kind))]))
}

// read reads one frame. The payload is good until the next call.
func (f *frames) read() (kind byte, payload []byte, err error) {
	var head [5]byte
	if err := f.full(head[:]); err != nil {
		return 0, nil, err
	}
	kind = head[0]
	n, limit := binary.BigEndian.Uint32(head[1:]), frameLimit(kind)
	if limit < 0 || int64(n) > int64(limit) {
		return 0, nil, fmt.Errorf("%w: a frame %q of %d bytes", errProtocol, kind, n)
	}
	if cap(f.in) < int(n) {
		f.in = make([]byte, n)
	}
	payload = f.in[:n]
	return kind, payload, f.full(payload)
}

// full fills b. When nothing comes for too long the stream is closed: it has no
// deadlines of its own.
func (f *frames) full(b []byte) error {
	for len(b) > 0 {
		dead := time.AfterFunc(feedDead, func() {
			// The read ends.
			_ = f.rw.Close()
		})
		n, err := f.rw.Read(b)
		silent := !dead.Stop()
		b = b[n:]
		switch {
		case len(b) == 0:
		case silent:
			return fmt.Errorf("nothing came for %s", feedDead)
		case err != nil:
			return err
		}
	}
	return nil
}

// number takes the number off a payload.
func number(payload []byte) (uint32, []byte, error) {
	if len(payload) < 4 {
		return 0, nil, fmt.Errorf("%w: a number is missing", errProtocol)
	}
	return binary.BigEndian.Uint32(payload), payload[4:], nil
}
