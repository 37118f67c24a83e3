// Command upgrade times the product's upgrade against the floor (floor.sh, an
// expert's script of the same kubeadm commands and drains), in turns. Before each
// run the lab is made anew, and the product bootstraps the older version there,
// which is not timed. It prints each time, the medians and their ratio.
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
	"strings"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/bench/artifacts"
	"github.com/kubectl-ha/kubectl-ha/test/bench/bed"
)

// labName is the lab that the benchmark makes and takes down.
const labName = "bench-upgrade"

type bench struct {
	bed.Bed
	from, to string
	rounds   int
	which    []string
	dir      string
	took     map[string][]time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{Bed: bed.Bed{Lab: labName}, took: map[string][]time.Duration{}}
	flag.StringVar(&b.Root, "root", ".", "the repository's root")
	flag.StringVar(&b.from, "from", "v1.35.4", "version to begin with")
	flag.StringVar(&b.to, "to", "v1.36.3", "version to upgrade to")
	flag.IntVar(&b.ControlPlanes, "control-planes", 3, "control planes")
	flag.IntVar(&b.Workers, "workers", 2, "workers")
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
	if b.Root, err = filepath.Abs(b.Root); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "kubectl-ha-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.Command(ctx, nil, "bin/lab", "build", "--kubernetes", b.from+","+b.to).Run(); err != nil {
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
		fmt.Printf("\nmedian of %d: product %.1f s, floor %.1f s, ratio %.2f\n", b.rounds, bed.Median(p).Seconds(), bed.Median(f).Seconds(),
			bed.Median(p).Seconds()/bed.Median(f).Seconds())
	}
	return b.Down(ctx)
}

// once makes a cluster of the older version and times one upgrade of it.
func (b *bench) once(ctx context.Context, round int, which string) error {
	st, err := b.Bare(ctx)
	if err != nil {
		return err
	}
	older, newer := filepath.Join(b.dir, b.from+".tar"), filepath.Join(b.dir, b.to+".tar")
	for path, version := range map[string]string{older: b.from, newer: b.to} {
		if err := b.Bundle(ctx, st, version, path); err != nil {
			return err
		}
	}
	kubeconfig := filepath.Join(b.dir, fmt.Sprintf("kubeconfig-%s-%d", which, round))
	state := []string{"XDG_STATE_HOME=" + filepath.Join(b.dir, fmt.Sprintf("state-%s-%d", which, round))}
	file, err := b.Config(ctx, b.dir, b.from)
	if err != nil {
		return err
	}
	if err := b.Command(ctx, state, "bin/kubectl-ha", "bootstrap", "-f", file, "--bundle", older, "--yes", "--kubeconfig-out", kubeconfig).Run(); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	folder := filepath.Join(b.dir, "artifacts")
	if _, err := artifacts.Write(ctx, newer, folder, filepath.Join(b.Root, "manifests/network/flannel.yaml")); err != nil {
		return err
	}
	start := time.Now()
	if which == "product" {
		err = b.Command(ctx, state, "bin/kubectl-ha", "upgrade", b.to, "--bundle", newer, "--kubeconfig", kubeconfig, "--yes").Run()
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

func (b *bench) floor(ctx context.Context, st bed.Status, folder, kubeconfig string) error {
	return b.Command(ctx, []string{
		"ARTIFACTS=" + folder, "HOSTS=" + strings.Join(st.Nodes(), " "), fmt.Sprintf("CPS=%d", b.ControlPlanes), "KEY=" + st.SSHKey,
		"KNOWN_HOSTS=" + st.KnownHosts, "VERSION=" + b.to, "KUBECTL=" + filepath.Join(folder, "kubectl"), "KUBECONFIG=" + kubeconfig,
	}, "test/bench/upgrade/floor.sh").Run()
}
