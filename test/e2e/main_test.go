//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/test/lab/build"
)

// env is what all tests share: where the programs are, and the clusters that
// were made so far.
type env struct {
	root string
	// version is that of most clusters, other is an older one.
	version, other string
	// os is the hosts' operating system, as lab up names it.
	os string
	// keep leaves clusters for inspection, full is for long tests to be chosen, and for
	// others to do to all hosts what they do to one.
	keep, full bool
	// dir is for files that all tests share; bundles are among them, by version.
	dir     string
	bundles map[string]string
	labs    map[string]*lab
	// shared is the cluster for tests that only look, copied is a copy of it for those
	// that break something; one of them is up at a time, since they have the same addresses.
	shared, copied *cluster
}

// suiteDeadline bounds one command that has nothing to wait for.
const suiteDeadline = 2 * time.Minute

// suite is set once by TestMain, before any test runs.
var suite *env

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	flag.Parse()
	asked := flag.Lookup("test.run").Value.String()
	chosen, left, err := order(needs(), asked, os.Getenv("E2E_TIER") == "full")
	if err != nil {
		return 1, err
	}
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run(), nil
	}
	if len(chosen) == 0 {
		return 1, fmt.Errorf("no end-to-end test matches -run %s", asked)
	}
	if err := prepare(chosen); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, suite.end()) }()
	begin := time.Now()
	for i, n := range chosen {
		if err := flag.Set("test.run", pattern(n.test, asked)); err != nil {
			return 1, err
		}
		// Run more than once, which testing allows: a test program has no other way to say in
		// which order its tests run (https://go.dev/issue/23129).
		failed := m.Run()
		code = max(code, failed)
		if err := suite.after(n, failed != 0, i+1 == len(chosen) || chosen[i+1].on != n.on); err != nil {
			return 1, err
		}
	}
	tell(chosen, left, time.Since(begin))
	return code, nil
}

// tell prints how long it took, and which tests were left out, with what there was in their place.
func tell(chosen, left []need, took time.Duration) {
	name := "quick"
	if suite.full {
		name = "full"
	}
	fmt.Printf("e2e: %d tests, tier %s, took %s\n", len(chosen), name, took.Round(time.Second))
	for _, n := range left {
		fmt.Printf("e2e: left to make e2e-full: %s (here: %s)\n", n.test, n.left)
	}
}

// prepare makes the suite.
func prepare(chosen []need) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	suite = &env{root: root, version: "v1.36.3", other: "v1.35.4", os: cmp.Or(os.Getenv("E2E_OS"), "debian-12"), keep: os.Getenv("E2E_KEEP") != "", full: os.Getenv("E2E_TIER") == "full",
		bundles: map[string]string{}, labs: map[string]*lab{}}
	for name, version := range map[string]*string{"E2E_KUBERNETES_VERSION": &suite.version, "E2E_OLDER_KUBERNETES_VERSION": &suite.other} {
		if v := os.Getenv(name); v != "" {
			*version = v
		}
	}
	if suite.dir, err = os.MkdirTemp("", "kubectl-ha-e2e-"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Minute)
	defer cancel()
	args := []string{"build", "--os", suite.os, "--kubernetes", suite.version + "," + suite.other}
	if slices.ContainsFunc(chosen, func(n need) bool { return strings.HasPrefix(n.test, "TestEtcdUpgrade") }) {
		args = append(args, "--etcd", strings.Join(build.UpgradeEtcd(), ","))
	}
	lab := exec.CommandContext(ctx, filepath.Join(root, "bin/lab"), args...)
	lab.Stdout, lab.Stderr = os.Stdout, os.Stderr
	if err := lab.Run(); err != nil {
		return fmt.Errorf("lab build: %w (run `make build` first)", err)
	}
	return nil
}

// after takes down what the next test must not get: a copy on which a test failed, or that
// is no longer the same cluster, and with the last test of a place the lab of that place.
func (e *env) after(n need, failed, last bool) error {
	switch {
	case n.on == shared && last:
		return e.dropShared(failed)
	case n.on == consumed || n.on == disturbed && (failed || last):
		return e.dropCopy(n.test, failed)
	}
	return nil
}

// end takes down what is left.
func (e *env) end() error {
	if e.keep {
		return nil
	}
	errs := []error{os.RemoveAll(e.dir)}
	for _, l := range e.labs {
		errs = append(errs, l.down())
	}
	return errors.Join(errs...)
}
