//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sharedCluster is the cluster (three control planes, one worker) for tests that leave it as
// they found it. TestBootstrapInterrupted makes it, interrupted on its way, and has it frozen;
// any other test that runs without it takes what an earlier run of the same program has frozen,
// and bootstraps only when there is none.
func sharedCluster(t testing.TB) *cluster {
	t.Helper()
	if suite.shared != nil {
		return suite.shared
	}
	if dir := os.Getenv("E2E_REUSE"); dir != "" {
		suite.shared = reuse(t, dir)
		return suite.shared
	}
	if t.Name() != "TestBootstrapInterrupted" && isFrozen(t) {
		suite.shared = thaw(t, 3)
		return suite.shared
	}
	l := upLab(t, "e2e", 3, 1)
	c := l.cluster(t, "e2e", "")
	c.bundle(t)
	c.bootstrapInterrupted(t, interruptions())
	c.connect(t)
	suite.shared = c
	c.settled(t)
	l.run(t, "save", frozenName(t), "--files", l.dir)
	return c
}

// copyCluster is a copy of the shared cluster as it was when it was new, for tests that break
// something. The next test gets the same copy, unless this one fails.
func copyCluster(t testing.TB) *cluster {
	t.Helper()
	return copyWithHosts(t, 3)
}

// copyWithHosts is copyCluster in a lab with more hosts for control planes, which are bare.
func copyWithHosts(t testing.TB, controlPlanes int) *cluster {
	t.Helper()
	if suite.copied != nil {
		return suite.copied
	}
	if dir := os.Getenv("E2E_REUSE"); dir != "" {
		suite.copied = reuse(t, dir)
		return suite.copied
	}
	if !isFrozen(t) {
		sharedCluster(t)
	}
	if err := suite.dropShared(false); err != nil {
		t.Fatal(err)
	}
	suite.copied = thaw(t, controlPlanes)
	return suite.copied
}

// thaw has the frozen cluster up again, and waits until all of it is well.
func thaw(t testing.TB, controlPlanes int) *cluster {
	t.Helper()
	start := time.Now()
	name := labName("e2e")
	l := &lab{name: name, dir: filepath.Join(suite.dir, "thawed-"+fmt.Sprint(start.UnixNano())), version: suite.version}
	l.run(t, "down")
	l.run(t, "up", "--from", frozenName(t), "--files", l.dir, "--control-planes", fmt.Sprint(controlPlanes))
	suite.labs[name] = l
	l.cached = l.status(t)
	files, err := filepath.Glob(filepath.Join(l.dir, "cluster-*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Cluster file was frozen: %v", err)
	}
	c := l.cluster(t, "e2e", files[0])
	c.bundle(t)
	c.connect(t)
	up := time.Since(start)
	for i := 4; i <= controlPlanes; i++ {
		c.spare = append(c.spare, fmt.Sprintf("cp%d", i))
	}
	c.settled(t)
	c.spare = nil // tests add them
	t.Logf("the frozen cluster was up after %s, and well after %s", up.Round(100*time.Millisecond), time.Since(start).Round(100*time.Millisecond))
	return c
}

// frozenName is the name of the frozen shared cluster: of this very program, since it
// makes the cluster, of the lab, which makes the hosts, and of the Kubernetes version.
func frozenName(t testing.TB) string {
	t.Helper()
	sum := sha256.New()
	for _, program := range []string{"kubectl-ha", "lab"} {
		f, err := os.Open(filepath.Join(suite.root, "bin", program))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(sum, f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%s-%s-%s-%s-3-1", labName("e2e"), suite.os, suite.version, hex.EncodeToString(sum.Sum(nil))[:12])
}

// isFrozen tells whether there is one.
func isFrozen(t testing.TB) bool {
	t.Helper()
	list := must(t, suiteDeadline, filepath.Join(suite.root, "bin/lab"), "saves")
	return strings.Contains(list, "\n"+frozenName(t)+" ")
}

// dropShared takes the shared cluster down, unless a test failed on it and it is to be kept:
// then it is frozen under a name of its own, so that the copies can have its addresses.
func (e *env) dropShared(failed bool) error {
	c := e.shared
	e.shared = nil
	return e.drop(c, "shared", failed)
}

// dropCopy does the same to the copy.
func (e *env) dropCopy(test string, failed bool) error {
	c := e.copied
	e.copied = nil
	return e.drop(c, test, failed)
}

func (e *env) drop(c *cluster, test string, failed bool) error {
	if c == nil || os.Getenv("E2E_REUSE") != "" {
		return nil
	}
	if failed && e.keep {
		name := "failed-" + strings.ToLower(test)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		kept, err := command(ctx, "", nil, c.argv("save", name, "--files", c.dir)...)
		if err != nil || kept.code != 0 {
			return fmt.Errorf("the cluster on which %s failed can't be frozen, and is left up as lab %s: %w %s", test, c.name, err, kept)
		}
		fmt.Printf("e2e: the cluster on which %s failed is kept: bin/lab up --from %s\n", test, name)
	}
	delete(e.labs, c.name)
	return c.down()
}
