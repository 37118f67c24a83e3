// Command bench times the product's bootstrap against the floor (floor/floor.sh,
// an expert's script), in turns, on the same lab made bare before each run, with
// the same artifacts, and prints each time, the medians and their ratio.
//
// It uses the programs bin/lab and bin/kubectl-ha.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/bench/artifacts"
	"github.com/kubectl-ha/kubectl-ha/test/bench/bed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{Bed: bed.Bed{Lab: labName, ControlPlanes: 3, Workers: 1}}
	flag.StringVar(&b.Root, "root", ".", "the repository's root")
	flag.StringVar(&b.version, "kubernetes-version", "v1.36.3", "version to bootstrap")
	flag.IntVar(&b.rounds, "rounds", 3, "runs of each")
	flag.StringVar(&b.bundle, "bundle", "", "bundle to work with; by default one is made from the lab's mirror")
	only := flag.String("only", "", "run only this: product or floor")
	flag.Parse()
	b.which = []string{"product", "floor"}
	if *only != "" {
		b.which = []string{*only}
	}
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// labName is the lab that the benchmark makes and takes down.
const labName = "bench"

type bench struct {
	bed.Bed
	version string
	rounds  int
	dir     string
	bundle  string
	which   []string
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.Root, err = filepath.Abs(b.Root); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "kubectl-ha-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.Command(ctx, nil, "bin/lab", "build", "--kubernetes", b.version).Run(); err != nil {
		return fmt.Errorf("lab build: %w", err)
	}
	st, err := b.Bare(ctx)
	if err != nil {
		return err
	}
	if b.bundle == "" {
		b.bundle = filepath.Join(b.dir, "bundle.tar")
	}
	if err := b.Bundle(ctx, st, b.version, b.bundle); err != nil {
		return err
	}
	sandbox, err := artifacts.Write(ctx, b.bundle, filepath.Join(b.dir, "artifacts"), filepath.Join(b.Root, "manifests/network/flannel.yaml"))
	if err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	fresh := true
	for i := range b.rounds {
		for _, which := range b.which {
			if !fresh {
				if st, err = b.Bare(ctx); err != nil {
					return err
				}
			}
			fresh = false
			start := time.Now()
			if which == "product" {
				err = b.product(ctx, i)
			} else {
				err = b.floor(ctx, st, sandbox)
			}
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", which, i+1, err)
			}
			elapsed := time.Since(start)
			took[which] = append(took[which], elapsed)
			cpu, err := b.cpu(ctx, st)
			if err != nil {
				return err
			}
			fmt.Printf("round %d  %-8s %6.1f s, of CPU on the hosts %.1f s\n", i+1, which, elapsed.Seconds(), cpu.Seconds())
		}
	}
	if p, f := took["product"], took["floor"]; len(p) > 0 && len(f) > 0 {
		fmt.Printf("\nmedian of %d: product %.1f s, floor %.1f s, ratio %.2f\n", b.rounds, bed.Median(p).Seconds(), bed.Median(f).Seconds(),
			bed.Median(p).Seconds()/bed.Median(f).Seconds())
	}
	return b.Down(ctx)
}

// cpu is the CPU time that all hosts have used since they were made: what a run
// costs on a machine that is busy with other things as well.
func (b *bench) cpu(ctx context.Context, st bed.Status) (time.Duration, error) {
	var all time.Duration
	for _, h := range st.Hosts {
		// cgroup v1 tells nanoseconds in a file of its own.
		cmd := b.Command(ctx, nil, "bin/lab", "exec", "--name", labName, h.Name, "--", "cat", "/sys/fs/cgroup/cpuacct/cpuacct.usage")
		cmd.Stdout, cmd.Stderr = nil, nil
		if out, err := cmd.Output(); err == nil {
			n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: CPU time: %w", h.Name, err)
			}
			all += time.Duration(n)
			continue
		}
		cmd = b.Command(ctx, nil, "bin/lab", "exec", "--name", labName, h.Name, "--", "cat", "/sys/fs/cgroup/cpu.stat")
		cmd.Stdout = nil
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("%s: CPU time: %w", h.Name, err)
		}
		var n int64
		if _, err := fmt.Sscanf(string(out), "usage_usec %d", &n); err != nil {
			return 0, fmt.Errorf("%s: CPU time: %w", h.Name, err)
		}
		all += time.Duration(n) * time.Microsecond
	}
	return all, nil
}

func (b *bench) product(ctx context.Context, round int) error {
	path, err := b.Config(ctx, b.dir, b.version)
	if err != nil {
		return err
	}
	state := []string{"XDG_STATE_HOME=" + filepath.Join(b.dir, fmt.Sprintf("state-%d", round))}
	return b.Command(ctx, state, "bin/kubectl-ha", "bootstrap", "-f", path, "--bundle", b.bundle, "--yes", "--timings",
		"--kubeconfig-out", filepath.Join(b.dir, "kubeconfig")).Run()
}

func (b *bench) floor(ctx context.Context, st bed.Status, sandbox string) error {
	return b.Command(ctx, []string{
		"ARTIFACTS=" + filepath.Join(b.dir, "artifacts"), "HOSTS=" + strings.Join(st.Nodes(), " "), fmt.Sprintf("CPS=%d", b.ControlPlanes),
		"VIP=" + st.VirtualIP, "KEY=" + st.SSHKey, "KNOWN_HOSTS=" + st.KnownHosts, "VERSION=" + b.version, "SANDBOX=" + sandbox, "KUBECTL=" + filepath.Join(b.dir, "artifacts/kubectl"),
	}, "test/bench/floor/floor.sh").Run()
}
