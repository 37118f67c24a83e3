// Command upgrade times the product's upgrade against the floor (floor.sh, an
// expert's script of the same kubeadm commands and drains), in turns. Before each
// run the lab is made anew, and the product bootstraps the older version there,
// which is not timed. It prints each time, the medians and their ratio.
//
// It uses the programs bin/lab and bin/kubectl-ha.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/bench/artifacts"
)

// labName is the lab that the benchmark makes and takes down.
const labName = "bench-upgrade"

type bench struct {
	root, from, to         string
	controlPlanes, workers int
	rounds                 int
	which                  []string
	dir                    string
	took                   map[string][]time.Duration
}

// status is what the benchmark needs of `lab status -o json`.
type status struct {
	Mirror     string `json:"mirrorURL"`
	SSHKey     string `json:"sshKey"`
	KnownHosts string `json:"knownHosts"`
	Hosts      []struct{ Name, Role, Address string }
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{took: map[string][]time.Duration{}}
	flag.StringVar(&b.root, "root", ".", "the repository's root")
	flag.StringVar(&b.from, "from", "v1.35.4", "version to begin with")
	flag.StringVar(&b.to, "to", "v1.36.3", "version to upgrade to")
	flag.IntVar(&b.controlPlanes, "control-planes", 3, "control planes")
	flag.IntVar(&b.workers, "workers", 2, "workers")
	flag.IntVar(&b.rounds, "rounds", 1, "runs of each")
	only := flag.String("only", "", "run only this: product or floor")
	flag.Parse()
	b.which = []string{"product", "floor"}
	if *only != "" {
		b.which = []string{*only}
	}
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-upgrade:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.root, err = filepath.Abs(b.root); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "kubectl-ha-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.command(ctx, nil, "bin/lab", "build", "--kubernetes", b.from+","+b.to).Run(); err != nil {
		return fmt.Errorf("lab build: %w", err)
	}
	for i := range b.rounds {
		for _, which := range b.which {
			if err := b.once(ctx, i, which); err != nil {
				return fmt.Errorf("%s, round %d: %w", which, i+1, err)
			}
		}
	}
	if p, f := b.took["product"], b.took["floor"]; len(p) > 0 && len(f) > 0 {
		fmt.Printf("\nmedian of %d: product %.1f s, floor %.1f s, ratio %.2f\n", b.rounds, median(p).Seconds(), median(f).Seconds(),
			median(p).Seconds()/median(f).Seconds())
	}
	return b.command(ctx, nil, "bin/lab", "down", "--name", labName).Run()
}

// once makes a cluster of the older version and times one upgrade of it.
func (b *bench) once(ctx context.Context, round int, which string) error {
	st, err := b.bare(ctx)
	if err != nil {
		return err
	}
	older, newer := filepath.Join(b.dir, b.from+".tar"), filepath.Join(b.dir, b.to+".tar")
	for path, version := range map[string]string{older: b.from, newer: b.to} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := b.command(ctx, nil, "bin/kubectl-ha", "bundle", "create", "--kubernetes-version", version, "--mirror", st.Mirror, "-o", path).Run(); err != nil {
			return fmt.Errorf("bundle create: %w", err)
		}
	}
	kubeconfig := filepath.Join(b.dir, fmt.Sprintf("kubeconfig-%s-%d", which, round))
	state := []string{"XDG_STATE_HOME=" + filepath.Join(b.dir, fmt.Sprintf("state-%s-%d", which, round))}
	file, err := b.config(ctx)
	if err != nil {
		return err
	}
	if err := b.command(ctx, state, "bin/kubectl-ha", "bootstrap", "-f", file, "--bundle", older, "--yes", "--kubeconfig-out", kubeconfig).Run(); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	folder := filepath.Join(b.dir, "artifacts")
	if _, err := artifacts.Write(ctx, newer, folder, filepath.Join(b.root, "manifests/network/flannel.yaml")); err != nil {
		return err
	}
	start := time.Now()
	if which == "product" {
		err = b.command(ctx, state, "bin/kubectl-ha", "upgrade", b.to, "--bundle", newer, "--kubeconfig", kubeconfig, "--yes").Run()
	} else {
		err = b.floor(ctx, st, folder, kubeconfig)
	}
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	b.took[which] = append(b.took[which], elapsed)
	fmt.Printf("round %d  %-8s %6.1f s\n", round+1, which, elapsed.Seconds())
	return nil
}

// bare makes the lab anew and returns its status.
func (b *bench) bare(ctx context.Context) (status, error) {
	var st status
	if err := b.command(ctx, nil, "bin/lab", "down", "--name", labName).Run(); err != nil {
		return st, err
	}
	if err := b.command(ctx, nil, "bin/lab", "up", "--name", labName, "--control-planes", fmt.Sprint(b.controlPlanes), "--workers", fmt.Sprint(b.workers)).Run(); err != nil {
		return st, err
	}
	cmd := b.command(ctx, nil, "bin/lab", "status", "--name", labName, "-o", "json")
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(out, &st)
}

// config writes the lab's Cluster file and returns its path.
func (b *bench) config(ctx context.Context) (string, error) {
	cmd := b.command(ctx, nil, "bin/lab", "config", "--name", labName, "--kubernetes-version", b.from, "--user", "root")
	cmd.Stdout = nil
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "cluster.yaml")
	return path, os.WriteFile(path, out, 0o600)
}

func (b *bench) floor(ctx context.Context, st status, folder, kubeconfig string) error {
	var hosts []string
	for _, role := range []string{"control-plane", "worker"} {
		for _, h := range st.Hosts {
			if h.Role == role {
				hosts = append(hosts, h.Name+"="+h.Address)
			}
		}
	}
	return b.command(ctx, []string{
		"ARTIFACTS=" + folder, "HOSTS=" + strings.Join(hosts, " "), fmt.Sprintf("CPS=%d", b.controlPlanes), "KEY=" + st.SSHKey,
		"KNOWN_HOSTS=" + st.KnownHosts, "VERSION=" + b.to, "KUBECTL=" + filepath.Join(folder, "kubectl"), "KUBECONFIG=" + kubeconfig,
	}, "test/bench/upgrade/floor.sh").Run()
}

// command prepares a program of the repository; what it prints is shown.
func (b *bench) command(ctx context.Context, env []string, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.root, program), args...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

func median(d []time.Duration) time.Duration {
	s := slices.Clone(d)
	slices.Sort(s)
	return s[len(s)/2]
}
