//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// env is what all tests share: where the programs are, and the clusters that
// were made so far.
type env struct {
	root string
	// version is that of most clusters, other is an older one.
	version, other string
	keep           bool
	// dir is for files that all tests share; bundles are among them, by version.
	dir     string
	bundles map[string]string
	labs    map[string]*lab
	shared  *cluster
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

func run(m *testing.M) (int, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	suite = &env{root: root, version: "v1.36.3", other: "v1.35.4", keep: os.Getenv("E2E_KEEP") != "",
		bundles: map[string]string{}, labs: map[string]*lab{}}
	for name, version := range map[string]*string{"E2E_KUBERNETES_VERSION": &suite.version, "E2E_OLDER_KUBERNETES_VERSION": &suite.other} {
		if v := os.Getenv(name); v != "" {
			*version = v
		}
	}
	if suite.dir, err = os.MkdirTemp("", "kubectl-ha-e2e-"); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, filepath.Join(root, "bin/lab"), "build", "--kubernetes", suite.version+","+suite.other)
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return 1, fmt.Errorf("lab build: %w (run `make build` first)", err)
	}
	code := m.Run()
	if !suite.keep {
		if err := os.RemoveAll(suite.dir); err != nil {
			return 1, err
		}
		for _, l := range suite.labs {
			if err := l.down(); err != nil {
				return 1, err
			}
		}
	}
	return code, nil
}

// soak tells whether tests run that are not in `make test`, since they take too long.
func soak() bool { return os.Getenv("E2E_SOAK") != "" }
