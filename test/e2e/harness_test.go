//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// result is how a program ended.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s\n--- stderr\n%s", r.code, r.stdout, r.stderr)
}

// command runs a program and returns how it ended, whatever its exit code.
func command(ctx context.Context, dir string, stdin []byte, argv ...string) (result, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	r := result{stdout: out.String(), stderr: errb.String()}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && ctx.Err() == nil:
		r.code = exit.ExitCode()
	default:
		return r, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, r)
	}
	return r, nil
}

// must runs a program that has to exit with 0 within the deadline.
func must(t testing.TB, deadline time.Duration, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	r, err := command(ctx, "", nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	if r.code != 0 {
		t.Fatalf("%s: %s", strings.Join(argv, " "), r)
	}
	return r.stdout
}

// eventually polls a condition until it holds; the deadline's failure shows
// what was seen last.
func eventually(t testing.TB, deadline time.Duration, what string, cond func() (bool, string)) {
	t.Helper()
	end := time.Now().Add(deadline)
	last := ""
	for time.Now().Before(end) {
		ok, seen := cond()
		if ok {
			return
		}
		last = seen
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not within %s: %s; last seen: %s", deadline, what, last)
}

// lab is one named lab.
type lab struct {
	name string
	dir  string
	// version is the Kubernetes version of its Cluster file.
	version string
	// stacked: etcd is kubeadm's own in its Cluster file.
	stacked bool
	// cached is what `lab status` said when the lab came up: names and addresses.
	cached labStatus
}

// labHost is a host as `lab status -o json` tells.
type labHost struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Address string `json:"address"`
	State   string `json:"state"`
}

// labStatus is the part of `lab status -o json` that the tests need.
type labStatus struct {
	VirtualIP string    `json:"virtualIP"`
	Mirror    string    `json:"mirrorURL"`
	Hosts     []labHost `json:"hosts"`
}

// labSize is how many hosts a lab has.
type labSize struct {
	controlPlanes, workers int
	// etcd are hosts for etcd alone; none: the members are on the control planes.
	etcd int
}

// upLab brings a lab up, or returns the one that is.
func upLab(t testing.TB, name string, controlPlanes, workers int) *lab {
	t.Helper()
	return upLabOf(t, name, suite.version, labSize{controlPlanes: controlPlanes, workers: workers})
}

// upLabOf is upLab for a Kubernetes version, with etcd hosts, and with further flags of `lab up`.
func upLabOf(t testing.TB, name, version string, size labSize, flags ...string) *lab {
	t.Helper()
	name = labName(name)
	if l, ok := suite.labs[name]; ok {
		return l
	}
	dir, err := os.MkdirTemp("", "kubectl-ha-e2e-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{name: name, dir: dir, version: version}
	suite.labs[name] = l
	l.run(t, "down")
	l.run(t, append([]string{"up", "--os", suite.os, "--control-planes", fmt.Sprint(size.controlPlanes), "--workers", fmt.Sprint(size.workers),
		"--etcd", fmt.Sprint(size.etcd)}, flags...)...)
	l.cached = l.status(t)
	return l
}

// labName is the name of a lab in this run: two suites on one machine need different ones.
func labName(name string) string {
	return strings.Replace(name, "e2e", cmp.Or(os.Getenv("E2E_LAB"), "e2e"), 1)
}

func (l *lab) argv(args ...string) []string {
	// The verb comes first; the name follows it, before any `--`.
	return append([]string{filepath.Join(suite.root, "bin/lab"), args[0], "--name", l.name}, args[1:]...)
}

// run runs a verb of the lab that has to succeed.
func (l *lab) run(t testing.TB, args ...string) string {
	t.Helper()
	return must(t, 5*time.Minute, l.argv(args...)...)
}

// exec runs a command on a host that has to succeed.
func (l *lab) exec(t testing.TB, host string, argv ...string) string {
	t.Helper()
	return l.run(t, append([]string{"exec", host, "--"}, argv...)...)
}

// try runs a command on a host and returns how it ended.
func (l *lab) try(t testing.TB, host string, stdin []byte, argv ...string) result {
	t.Helper()
	return l.tryFor(t, host, suiteDeadline, stdin, argv...)
}

// tryFor is try for what takes longer.
func (l *lab) tryFor(t testing.TB, host string, deadline time.Duration, stdin []byte, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	r, err := command(ctx, "", stdin, l.argv(append([]string{"exec", host, "--"}, argv...)...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (l *lab) status(t testing.TB) labStatus {
	t.Helper()
	var s labStatus
	if err := json.Unmarshal([]byte(l.run(t, "status", "-o", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// names returns the names of the hosts with one of the roles, or of all hosts
// but the mirror.
func (l *lab) names(roles ...string) []string {
	var out []string
	for _, h := range l.cached.Hosts {
		for _, r := range roles {
			if h.Role == r {
				out = append(out, h.Name)
			}
		}
		if len(roles) == 0 && h.Role != "mirror" {
			out = append(out, h.Name)
		}
	}
	return out
}

// drop takes a lab down that no other test needs, unless labs are kept.
func (l *lab) drop(t testing.TB) {
	t.Helper()
	if suite.keep {
		return
	}
	delete(suite.labs, l.name)
	if err := l.down(); err != nil {
		t.Error(err)
	}
}

func (l *lab) down() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	r, err := command(ctx, "", nil, l.argv("down")...)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("lab down: %s", r)
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// file writes the lab's Cluster file, changed by edit, and returns its path.
func (l *lab) file(t testing.TB, edit func(string) string) string {
	t.Helper()
	text := l.run(t, "config", "--kubernetes-version", l.version)
	if l.stacked {
		text = strings.Replace(text, "\nspec:\n", "\nspec:\n  etcd: {topology: stacked}\n", 1)
	}
	if edit != nil {
		changed := edit(text)
		if changed == text {
			t.Fatal("the edit of the Cluster file changed nothing")
		}
		text = changed
	}
	f, err := os.CreateTemp(l.dir, "cluster-*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// ha runs kubectl-ha in the lab's own folder with a state directory of its own.
func (l *lab) ha(t testing.TB, deadline time.Duration, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	r, err := command(ctx, l.dir, nil, l.haArgv(args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// haArgv keeps the workstation's state inside the lab's folder, so that two
// labs are two workstations; bundles are shared through the cache.
func (l *lab) haArgv(args ...string) []string {
	return append([]string{"env", "XDG_STATE_HOME=" + filepath.Join(l.dir, "state"),
		cmp.Or(os.Getenv("E2E_BINARY"), filepath.Join(suite.root, "bin/kubectl-ha"))}, args...)
}
