package bundle

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// maxLine bounds the first line each way between workstation and blob agent.
const maxLine = 1 << 20

// BlobServerSpec is what a host needs to serve blobs to the others. It holds a
// secret: it travels on standard input, never in argv.
type BlobServerSpec struct {
	// ListenAddr is address:port; port 0 takes any that is free.
	ListenAddr string `json:"listenAddr"`
	// CA, Cert and Key are PEM; see Peers.
	CA   []byte `json:"ca"`
	Cert []byte `json:"cert"`
	Key  []byte `json:"key"`
	// StoreDir is the store to serve from and to keep blobs in.
	StoreDir string `json:"storeDir"`
}

// Spec is a server's, with these credentials.
func (p Peers) Spec(listenAddr, storeDir string) BlobServerSpec {
	return BlobServerSpec{ListenAddr: listenAddr, StoreDir: storeDir, CA: p.CA, Cert: p.Cert, Key: p.Key}
}

// hello is the agent's first line on standard output.
type hello struct {
	Listening string `json:"listening,omitempty"`
	Error     string `json:"error,omitempty"`
}

// RunBlobServer serves blobs on a host; what its store lacks comes through the
// pipe, where the workstation runs ServePipe. ready is called once with the
// address it listens on, before the pipe is used. It returns when the pipe or
// the context ends, neither of which is an error, and closes the pipe.
func RunBlobServer(ctx context.Context, spec BlobServerSpec, pipe io.ReadWriteCloser, ready func(addr string)) error {
	l, err := listen(ctx, spec)
	if err != nil {
		return errors.Join(err, pipe.Close())
	}
	ready(l.Addr().String())
	return serveOn(ctx, l, spec, pipe)
}

func listen(ctx context.Context, spec BlobServerSpec) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", spec.ListenAddr)
	if err != nil {
		return nil, fmt.Errorf("serve blobs: %w", err)
	}
	return l, nil
}

func serveOn(ctx context.Context, l net.Listener, spec BlobServerSpec, pipe io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ending := &endingPipe{ReadWriteCloser: pipe, end: cancel}
	upstream, err := DialPipe(ctx, ending)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return NewServer(ctx, OpenStore(spec.StoreDir), upstream).Serve(ctx, l, spec.CA, spec.Cert, spec.Key)
}

// endingPipe tells when the other end is gone.
type endingPipe struct {
	io.ReadWriteCloser
	end context.CancelFunc
}

func (e *endingPipe) Read(p []byte) (int, error) {
	n, err := e.ReadWriteCloser.Read(p)
	if err != nil {
		e.end()
	}
	return n, err
}

// RunBlobAgent is the host's process: the first line of stdin is a
// BlobServerSpec in JSON, the first of stdout tells where it listens; the rest
// of both is the pipe.
func RunBlobAgent(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReaderSize(stdin, 64<<10)
	var spec BlobServerSpec
	if err := readLine(in, &spec); err != nil {
		return fmt.Errorf("serve blobs: read what to do: %w", err)
	}
	out := json.NewEncoder(stdout)
	l, err := listen(ctx, spec)
	if err != nil {
		return errors.Join(err, out.Encode(hello{Error: err.Error()}))
	}
	if err := out.Encode(hello{Listening: l.Addr().String()}); err != nil {
		return errors.Join(fmt.Errorf("serve blobs: tell where: %w", err), l.Close())
	}
	return serveOn(ctx, l, spec, &stdio{Reader: in, Writer: stdout, stdin: stdin, stdout: stdout})
}

// StartBlobAgent is the workstation's end of a session in which RunBlobAgent
// runs: it tells it what to do, learns where it listens, and then gives it
// blobs until the context ends or the session does. wait waits for that; it
// returns nil when the context ended it. stdin is closed at the end, by which
// the agent ends.
func StartBlobAgent(ctx context.Context, stdin io.WriteCloser, stdout io.Reader, spec BlobServerSpec, blobs Upstream) (addr string, wait func() error, err error) {
	stop := context.AfterFunc(ctx, func() {
		// The agent sees the end of its input and ends.
		_ = stdin.Close()
	})
	defer stop()
	if err := json.NewEncoder(stdin).Encode(spec); err != nil {
		return "", nil, errors.Join(fmt.Errorf("serve blobs: send what to do: %w", err), stdin.Close())
	}
	out := bufio.NewReaderSize(stdout, 64<<10)
	var first hello
	if err := readLine(out, &first); err != nil {
		return "", nil, errors.Join(ctx.Err(), fmt.Errorf("serve blobs: the agent on the host did not start: %w", err), stdin.Close())
	}
	if first.Listening == "" {
		return "", nil, errors.Join(errors.New(first.Error), stdin.Close())
	}
	ended := make(chan error, 1)
	go func() {
		ended <- ServePipe(ctx, &stdio{Reader: out, Writer: stdin, stdin: stdin}, blobs)
	}()
	return first.Listening, func() error {
		err := <-ended
		ended <- err
		if err == nil && ctx.Err() == nil {
			err = errors.New("serve blobs: the agent on the host has ended")
		}
		return err
	}, nil
}

// readLine reads one line of JSON of bounded length. What was read ends up in
// no error: it may be a secret.
func readLine(r *bufio.Reader, into any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if len(line) > maxLine {
			return fmt.Errorf("the first line is longer than %d bytes", maxLine)
		}
	}
	if err := json.Unmarshal(line, into); err != nil {
		return errors.New("the first line is not what was expected")
	}
	return nil
}

// stdio is a process's input and output as one stream. Closing it closes those
// of the two that can be closed.
type stdio struct {
	io.Reader
	io.Writer
	stdin  any
	stdout any
}

func (s *stdio) Close() error {
	var err error
	for _, end := range []any{s.stdin, s.stdout} {
		if c, ok := end.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}
