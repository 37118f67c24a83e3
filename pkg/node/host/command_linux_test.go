package host_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

// A program whose file somebody still writes is started once they are done; the kernel says
// so of scripts too.
func TestProgramThatWasJustWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("#!/bin/sh\necho started\n"); err != nil {
		t.Fatal(err)
	}
	var busy *fs.PathError
	if err := exec.Command(path).Run(); !errors.As(err, &busy) || !errors.Is(err, syscall.ETXTBSY) {
		t.Fatalf("with its file open for writing it can be started: %v", err)
	}
	closed := make(chan error, 1)
	time.AfterFunc(200*time.Millisecond, func() { closed <- f.Close() })
	out, err := realHost(t).Query(context.Background(), host.Command{Argv: []string{path}, Timeout: time.Minute})
	if err != nil || string(out.Stdout) != "started\n" {
		t.Errorf("%q %v", out.Stdout, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
