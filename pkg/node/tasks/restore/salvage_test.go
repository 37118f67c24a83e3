package restore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// realEtcd runs the etcd that ETCD names, and nothing else.
type realEtcd struct {
	t       *testing.T
	program string
}

func (r realEtcd) Run(ctx context.Context, c host.Command) (host.Output, error) {
	if c.Argv[0] != etcdBinary {
		r.t.Errorf("nobody expected %s", strings.Join(c.Argv, " "))
		return host.Output{}, errors.New("unexpected command")
	}
	cmd := exec.CommandContext(ctx, r.program, c.Argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return host.Output{Stdout: out}, err
}

// TestRealThrowAway runs a real etcd for as long as it is needed, and not longer; one that ends before is
// an error with its reason.
func TestRealThrowAway(t *testing.T) {
	program := os.Getenv("ETCD")
	if program == "" {
		t.Skip("ETCD does not name an etcd")
	}
	h := hosttest.Open(t, t.TempDir(), realEtcd{t, program})
	env := node.Env{Host: h, Progress: func(string, ...any) {}}
	if _, err := h.Mkdir(t.Context(), workDir+"/data", 0o700, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var seen etcd.Count
	err := throwAway(ctx, env, h.Path(workDir+"/data"), nil, func(ctx context.Context, c *etcd.Client) (err error) {
		seen, err = c.Count(ctx)
		return err
	})
	if err != nil || seen.Revision == 0 {
		t.Fatalf("%+v, %v", seen, err)
	}
	failed := errors.New("no use")
	if err := throwAway(ctx, env, h.Path(workDir+"/data"), nil, func(context.Context, *etcd.Client) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("what the use ends with: %v", err)
	}
	if err := throwAway(ctx, env, h.Path(workDir+"/data"), []string{"--no-such-flag"}, func(context.Context, *etcd.Client) error { return nil }); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("one that does not start: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("it ran for as long as it could")
	}
}
