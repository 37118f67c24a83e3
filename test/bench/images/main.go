// Command images measures `kubectl ha images push` in the lab: the workstation's
// link shaped to 100 Mbit/s, the hosts' to 1 Gbit/s. It prints, for each number
// of nodes, what left the workstation as a ratio to the bundle's size, how long
// it took until every node held every blob, as a ratio to the time for one node, and what it
// cost in memory; then a second push, and the predecessor's way (archives copied
// to every node by scp, then imported).
//
// It uses the programs bin/lab and bin/kubectl-ha. A missed aim is named at the
// end, and the exit code is then 1, as it is when something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// labName is the lab that the benchmark makes and takes down.
const labName = "bench-images"

const (
	uplinkRate = "100mbit"
	hostRate   = "1gbit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{}
	flag.StringVar(&b.root, "root", ".", "the repository's root")
	flag.StringVar(&b.version, "kubernetes-version", "v1.36.3", "version of the cluster")
	flag.Int64Var(&b.size, "size", 300e6, "bytes of each bundle")
	counts := flag.String("nodes", "1,4,8", "numbers of nodes to push to")
	flag.BoolVar(&b.predecessor, "predecessor", true, "measure scp and ctr import as well")
	flag.BoolVar(&b.keep, "keep", false, "leave the lab, or go on with the one that was left")
	flag.Parse()
	for _, s := range strings.Split(*counts, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench-images: --nodes %q\n", *counts)
			os.Exit(2)
		}
		b.counts = append(b.counts, n)
	}
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-images:", err)
		os.Exit(1)
	}
}

type bench struct {
	root, version     string
	size              int64
	counts            []int
	predecessor, keep bool

	dir        string
	kubeconfig string
	st         status
}

// status is what the benchmark needs of `lab status -o json`.
type status struct {
	VirtualIP  string `json:"virtualIP"`
	Mirror     string `json:"mirrorURL"`
	SSHKey     string `json:"sshKey"`
	KnownHosts string `json:"knownHosts"`
	Hosts      []struct{ Name, Role, Address string }
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.root, err = filepath.Abs(b.root); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "kubectl-ha-bench-images-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if !b.keep {
		defer func() { err = errors.Join(err, b.down(ctx)) }()
	}
	if err := b.cluster(ctx); err != nil {
		return err
	}
	missed, err := b.measure(ctx)
	if err == nil && len(missed) > 0 {
		err = &missedError{missed}
	}
	return err
}

// downTimeout bounds the removal of the lab, which is done after an interrupt too.
const downTimeout = 5 * time.Minute

func (b *bench) down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
	defer cancel()
	if err := b.command(ctx, "bin/lab", "down", "--name", labName).Run(); err != nil {
		return fmt.Errorf("take the lab down: %w", err)
	}
	return nil
}

// measure does and prints all measurements, and returns the aims that were missed.
func (b *bench) measure(ctx context.Context) (missed []string, err error) {
	results := make([]pushed, len(b.counts))
	for i, n := range b.counts {
		if results[i], err = b.push(ctx, n, rand.Uint64()); err != nil {
			return missed, fmt.Errorf("push to %d nodes: %w", n, err)
		}
		results[i].print(results[0])
		missed = append(missed, results[i].missed(results[0])...)
	}
	last := results[len(results)-1]
	again, err := b.again(ctx, last)
	if err != nil {
		return missed, fmt.Errorf("second push: %w", err)
	}
	fmt.Printf("again to %d nodes: %.1f s, %.2f MB left the workstation (aim: %.0f s, %.0f MB)\n",
		last.nodes, again.all.Seconds(), float64(again.uplink)/1e6, aimAgain.Seconds(), aimAgainBytes/1e6)
	missed = append(missed, again.missedAgain()...)
	if b.predecessor {
		if err := b.copies(ctx, last); err != nil {
			return missed, fmt.Errorf("the predecessor's way: %w", err)
		}
	}
	return missed, nil
}

// cluster makes a lab with as many hosts as needed, bootstraps it, and shapes
// its links.
func (b *bench) cluster(ctx context.Context) error {
	most := slices.Max(b.counts)
	kept := filepath.Join(os.TempDir(), "kubectl-ha-"+labName+".kubeconfig")
	b.kubeconfig = filepath.Join(b.dir, "kubeconfig")
	if b.keep {
		b.kubeconfig = kept
		if st, err := b.status(ctx); err == nil && len(st.Hosts) > most {
			b.st = st
			return nil
		}
	}
	for _, argv := range [][]string{
		{"bin/lab", "build", "--kubernetes", b.version},
		{"bin/lab", "down", "--name", labName},
		{"bin/lab", "up", "--name", labName, "--control-planes", "1", "--workers", strconv.Itoa(most - 1)},
	} {
		if err := b.command(ctx, argv[0], argv[1:]...).Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
		}
	}
	st, err := b.status(ctx)
	if err != nil {
		return err
	}
	b.st = st
	config, err := b.output(ctx, "bin/lab", "config", "--name", labName, "--kubernetes-version", b.version, "--user", "root")
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "cluster.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	bundle := filepath.Join(b.dir, "cluster.tar")
	if err := b.command(ctx, "bin/kubectl-ha", "bundle", "create", "--kubernetes-version", b.version, "--mirror", st.Mirror, "--trust-mirror", "--out", bundle).Run(); err != nil {
		return err
	}
	if err := b.command(ctx, "bin/kubectl-ha", "bootstrap", "-f", file, "--bundle", bundle, "--yes", "--kubeconfig-out", b.kubeconfig).Run(); err != nil {
		return err
	}
	if err := b.command(ctx, "bin/lab", "shape", "--name", labName, "uplink", "--rate", uplinkRate).Run(); err != nil {
		return err
	}
	for _, h := range st.Hosts {
		if h.Role == "mirror" {
			continue
		}
		if err := b.command(ctx, "bin/lab", "shape", "--name", labName, h.Name, "--rate", hostRate).Run(); err != nil {
			return err
		}
	}
	return nil
}

// nodes are the names of the first n nodes.
func (b *bench) nodes(n int) []string {
	var out []string
	for _, h := range b.st.Hosts {
		if h.Role != "mirror" && len(out) < n {
			out = append(out, h.Name)
		}
	}
	return out
}

// command prepares a program of the repository; what it prints is shown.
func (b *bench) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(b.root, program), args...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(b.dir, "state"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

func (b *bench) output(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := b.command(ctx, program, args...)
	cmd.Stdout = nil
	return cmd.Output()
}
