package mirror

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

// RegistryOptions say how to run the registry.
type RegistryOptions struct {
	// Program is the registry's binary, Storage its folder.
	Program, Storage string
	// Log is the file that gets what it prints. Default: this program's error stream.
	Log string
	// ReadOnly refuses pushes.
	ReadOnly bool
}

// Registry is a running registry.
type Registry struct {
	// Address is host:port on the loopback interface.
	Address string
	cmd     *exec.Cmd
	dir     string
	ended   chan struct{}
}

// StartRegistry starts the registry on a free loopback port and waits until it answers.
func StartRegistry(ctx context.Context, o RegistryOptions) (*Registry, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lab-registry-")
	if err != nil {
		return nil, err
	}
	config, err := yaml.Marshal(registryConfig(o, address))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	r := &Registry{Address: address, dir: dir, ended: make(chan struct{})}
	r.cmd = exec.CommandContext(ctx, o.Program, "serve", file)
	// Tracing is on by default and would look for a collector.
	r.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	r.cmd.Stderr = os.Stderr
	if o.Log != "" {
		log, err := os.Create(o.Log)
		if err != nil {
			return nil, err
		}
		defer func() { _ = log.Close() }() // the registry has its own descriptor
		r.cmd.Stdout, r.cmd.Stderr = log, log
	}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the registry: %w", err)
	}
	go func() {
		_ = r.cmd.Wait() // its end is what counts; Stop is its usual cause
		close(r.ended)
	}()
	if err := r.waitReady(ctx); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// registryConfig is distribution's configuration.
// https://distribution.github.io/distribution/about/configuration/
func registryConfig(o RegistryOptions, address string) map[string]any {
	return map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem":  map[string]any{"rootdirectory": o.Storage},
			"maintenance": map[string]any{"readonly": map[string]any{"enabled": o.ReadOnly}},
		},
		// Only one registry ever uses the secret, for uploads in progress.
		"http": map[string]any{"addr": address, "secret": "lab"},
	}
}

// freeAddress finds a free loopback port.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitReady polls until the registry answers, for half a minute at most.
func (r *Registry) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.ended:
			return fmt.Errorf("the registry ended at once: %v", r.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("the registry does not answer at %s: %w", r.Address, ctx.Err())
		case <-tick.C:
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Address+"/v2/", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				continue // not listening yet; the deadline above ends this
			}
			if err := resp.Body.Close(); err != nil {
				return err
			}
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
}

// Ended is closed when the registry has ended.
func (r *Registry) Ended() <-chan struct{} { return r.ended }

// Stop ends the registry and waits for it.
func (r *Registry) Stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-r.ended
	}
	return os.RemoveAll(r.dir)
}
