// Package bed is what benchmarks of whole clusters share: a lab that is made anew
// before each run, and the programs of the repository.
package bed

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Bed is one lab, and where the repository is.
type Bed struct {
	// Root is the repository's, absolute. Lab is the lab's name.
	Root, Lab string
	// ControlPlanes and Workers are its hosts.
	ControlPlanes, Workers int
}

// Status is what benchmarks need of `lab status -o json`.
type Status struct {
	VirtualIP  string `json:"virtualIP"`
	Mirror     string `json:"mirrorURL"`
	SSHKey     string `json:"sshKey"`
	KnownHosts string `json:"knownHosts"`
	Hosts      []Host
}

// Host is one of the lab's.
type Host struct{ Name, Role, Address string }

// Nodes are the control planes and then the workers, as "name=address".
func (s Status) Nodes() []string {
	var out []string
	for _, role := range []string{"control-plane", "worker"} {
		for _, h := range s.Hosts {
			if h.Role == role {
				out = append(out, h.Name+"="+h.Address)
			}
		}
	}
	return out
}

// Command prepares a program of the repository; what it prints is shown.
func (b Bed) Command(ctx context.Context, env []string, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.Root, program), args...)
	cmd.Dir = b.Root
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// Bare makes the lab anew and returns its status.
func (b Bed) Bare(ctx context.Context) (Status, error) {
	var st Status
	if err := b.Down(ctx); err != nil {
		return st, err
	}
	if err := b.Command(ctx, nil, "bin/lab", "up", "--name", b.Lab, "--control-planes", fmt.Sprint(b.ControlPlanes), "--workers", fmt.Sprint(b.Workers)).Run(); err != nil {
		return st, err
	}
	cmd := b.Command(ctx, nil, "bin/lab", "status", "--name", b.Lab, "-o", "json")
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(out, &st)
}

// Down takes the lab away.
func (b Bed) Down(ctx context.Context) error {
	return b.Command(ctx, nil, "bin/lab", "down", "--name", b.Lab).Run()
}

// Config writes the lab's Cluster file for a version of Kubernetes into a folder, and
// returns its path.
func (b Bed) Config(ctx context.Context, dir, version string) (string, error) {
	cmd := b.Command(ctx, nil, "bin/lab", "config", "--name", b.Lab, "--kubernetes-version", version, "--user", "root")
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cluster.yaml")
	return path, os.WriteFile(path, out, 0o600)
}

// Bundle makes a bundle from the lab's mirror, unless it is there.
func (b Bed) Bundle(ctx context.Context, st Status, version, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := b.Command(ctx, nil, "bin/kubectl-ha", "bundle", "create", "--kubernetes-version", version, "--mirror", st.Mirror, "--trust-mirror", "--out", path).Run(); err != nil {
		return fmt.Errorf("bundle create: %w", err)
	}
	return nil
}

// Median of at least one duration.
func Median(d []time.Duration) time.Duration {
	s := slices.Clone(d)
	slices.Sort(s)
	return s[len(s)/2]
}
