package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ha/kubectl-ha/test/lab/docker"
	"github.com/kubectl-ha/kubectl-ha/test/lab/fsdiff"
)

// helper is where the lab's program is put on a host for the moment: in
// memory, and in a folder that no diff looks at.
const helper = "/run/lab-manifest"

// baseline is the file with a host's manifest from when it was bare.
func (l *Lab) baseline(host string) string { return l.path("bare/" + host + ".json.gz") }

// withoutBaseline adds to the hosts that were just made those whose baseline an
// interrupted run has left out.
func (l *Lab) withoutBaseline(made []Host) []Host {
	for _, h := range l.Hosts {
		_, err := os.Stat(l.baseline(h.Name))
		if err != nil && !slices.Contains(made, h) {
			made = append(made, h)
		}
	}
	return made
}

// takeBaselines notes the file systems of hosts that were just made.
func (m Manager) takeBaselines(ctx context.Context, l *Lab, made []Host) error {
	if err := os.MkdirAll(l.path("bare"), 0o755); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, h := range made {
		g.Go(func() error {
			if err := m.waitBooted(gctx, l, h.Name); err != nil {
				return err
			}
			manifest, err := m.inHost(gctx, l, h.Name, nil)
			if err != nil {
				return err
			}
			var buf bytes.Buffer
			zip := gzip.NewWriter(&buf)
			if _, err := zip.Write(manifest); err != nil {
				return err
			}
			if err := zip.Close(); err != nil {
				return err
			}
			return os.WriteFile(l.baseline(h.Name), buf.Bytes(), 0o644)
		})
	}
	return g.Wait()
}

// waitBooted waits until systemd has started all that it starts by itself.
func (m Manager) waitBooted(ctx context.Context, l *Lab, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readyDeadline)
	defer cancel()
	return poll(ctx, "boot of "+name, func(ctx context.Context) error {
		out, err := m.Docker.Run(ctx, "exec", l.container(name), "systemctl", "show", "--property=NJobs", "--value")
		if err == nil && out != "0" {
			err = fmt.Errorf("%s jobs are left", out)
		}
		return err
	})
}

// Diff compares a host with what it was when it was bare.
func (m Manager) Diff(ctx context.Context, l *Lab, name string) ([]fsdiff.Change, error) {
	if _, err := l.Host(name); err != nil {
		return nil, err
	}
	f, err := os.Open(l.baseline(name))
	if err != nil {
		return nil, fmt.Errorf("host %s was never seen bare: %w", name, err)
	}
	defer func() { _ = f.Close() }() // only read
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var before bytes.Buffer
	if _, err := before.ReadFrom(zip); err != nil {
		return nil, err
	}
	out, err := m.inHost(ctx, l, name, &before)
	if err != nil {
		return nil, err
	}
	var changes []fsdiff.Change
	return changes, json.Unmarshal(out, &changes)
}

// inHost runs the lab's program on the host: without a baseline it prints the
// host's manifest, with one it compares and prints the changes.
func (m Manager) inHost(ctx context.Context, l *Lab, name string, baseline *bytes.Buffer) ([]byte, error) {
	c := l.container(name)
	if there, err := m.Docker.Containers(ctx, docker.LabelLab, l.Name); err != nil {
		return nil, err
	} else if s := there[c].State.Status; s != "running" {
		return nil, fmt.Errorf("host %s is %s: it must run to be looked at", name, stateOf(there, c))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := os.Open(self)
	if err != nil {
		return nil, err
	}
	defer func() { _ = program.Close() }() // only read
	// A name of its own for each call: two may look at one host.
	file := fmt.Sprintf("%s-%d", helper, os.Getpid())
	if _, err := m.Docker.Feed(ctx, program, "exec", "-i", c, "dd", "of="+file, "bs=1M", "status=none"); err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	defer func() {
		// It is in memory, and gone with the next boot at the latest.
		_, _ = m.Docker.Run(context.WithoutCancel(ctx), "exec", c, "rm", "-f", file)
	}()
	if _, err := m.Docker.Run(ctx, "exec", c, "chmod", "0700", file); err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	var out bytes.Buffer
	args := []string{"exec", "-i", c, file, "manifest"}
	if baseline == nil {
		return runInto(m.Docker.Stream(ctx, nil, &out, args...), &out)
	}
	return runInto(m.Docker.Stream(ctx, baseline, &out, append(args, "--compare")...), &out)
}

// runInto returns what was printed, or the error.
func runInto(err error, out *bytes.Buffer) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
