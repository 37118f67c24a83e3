package etcdmember

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/etcd"
	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

// These tests run three real members, each on a host below a directory, on 127.78.0.1 to 3: the
// ports are etcd's own. ETCD is 3.6, ETCD_OLDER is 3.5 (3.5.26 or later), ETCD_NEWER is 3.7; what
// is not named is skipped.

// realMember is one host with its real etcd, and a systemd of a few lines.
type realMember struct {
	t       *testing.T
	root    string
	name    string
	address string
	members map[string]string
	h       *host.Host

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	// restarts counts them.
	restarts int
}

// Run answers commands: systemctl starts and ends a real process.
func (m *realMember) Run(ctx context.Context, c host.Command) (host.Output, error) {
	line := strings.Join(c.Argv, " ")
	switch {
	case strings.HasPrefix(line, "systemctl show") && strings.HasSuffix(line, UnitName):
		state, pid := "inactive", 0
		m.mu.Lock()
		if m.cmd != nil {
			select {
			case <-m.done:
				state = "failed"
			default:
				state, pid = "active", m.cmd.Process.Pid
			}
		}
		m.mu.Unlock()
		return host.Output{Stdout: fmt.Appendf(nil, "LoadState=loaded\nActiveState=%s\nSubState=running\nUnitFileState=enabled\nMainPID=%d\n", state, pid)}, nil
	case strings.HasPrefix(line, "systemctl show"):
		return host.Output{Stdout: []byte("LoadState=loaded\nActiveState=active\nUnitFileState=static\n")}, nil
	case line == "systemctl restart --no-block etcd.service", line == "systemctl start --no-block etcd.service":
		m.restarts++
		return host.Output{}, m.start()
	case line == "systemctl reset-failed etcd.service":
		return host.Output{}, nil
	case c.Argv[0] == "journalctl":
		text, err := os.ReadFile(filepath.Join(m.root, "log"))
		return host.Output{Stdout: text[max(0, len(text)-2000):]}, err
	case strings.HasSuffix(c.Argv[0], "/etcd"):
		out, err := exec.CommandContext(ctx, filepath.Join(m.root, c.Argv[0]), c.Argv[1:]...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return host.Output{Stdout: out, Stderr: exit.Stderr}, &host.CommandError{Argv: c.Argv, Output: host.Output{Stderr: exit.Stderr}, Err: err}
		}
		return host.Output{Stdout: out}, err
	}
	m.t.Errorf("unexpected command: %s", line)
	return host.Output{}, errors.New("unexpected command")
}

// start starts the program that is in place, with the settings of the file.
func (m *realMember) start() error {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(m.root, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(m.root, ConfigPath))
	if err != nil {
		return err
	}
	m.cmd, m.done = exec.Command(filepath.Join(m.root, binary)), make(chan struct{})
	for flag, value := range flags(config) {
		m.cmd.Env = append(m.cmd.Env, variable(flag)+"="+value)
	}
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		return err
	}
	done, cmd := m.done, m.cmd
	go func() { _ = cmd.Wait(); _ = log.Close(); close(done) }() // It is killed: how it ends is of no interest.
	return nil
}

func (m *realMember) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		<-m.done
	}
}

func (m *realMember) spec(version string) UpgradeSpec {
	return UpgradeSpec{Version: version, Name: m.name, Address: m.address, Members: m.members}
}

func (m *realMember) upgrade(version string) (UpgradeData, error) {
	m.restarts = 0
	env := node.Env{Host: m.h, Progress: func(format string, args ...any) { m.t.Logf(m.name+": "+format, args...) }}
	// The addresses are this machine's own, and may be dialled from any.
	p := upgradeProbes{dial: dialPeer, connect: connectAll, up: time.Minute}
	data, err := upgrade(m.t.Context(), env, m.spec(version), p)
	got, _ := data.(UpgradeData)
	return got, err
}

// bring puts an etcd where an upgrade finds it, and returns its version.
func (m *realMember) bring(program string) string {
	m.t.Helper()
	version, err := versionOf(m.t.Context(), hosttest.Open(m.t, m.t.TempDir(), plainCommands{}), program, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	m.bringAs(program, version)
	return version
}

func (m *realMember) bringAs(program, version string) {
	m.t.Helper()
	dir := filepath.Join(m.root, ReleasesDir, version)
	sum := copyFile(m.t, program, filepath.Join(dir, "etcd"))
	raw, err := json.Marshal(map[string]string{"etcd": sum})
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, releaseList), raw, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

type plainCommands struct{}

func (plainCommands) Run(ctx context.Context, c host.Command) (host.Output, error) {
	out, err := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...).Output()
	return host.Output{Stdout: out}, err
}

func copyFile(t *testing.T, from, to string) (sum string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // only read
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, hash), in)
	if err = errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// startMembers runs three members with a program, and returns them when they are well.
func startMembers(t *testing.T, program string) []*realMember {
	t.Helper()
	ca := authority(t)
	addresses := map[string]string{"m1": "127.78.0.1", "m2": "127.78.0.2", "m3": "127.78.0.3"}
	var out []*realMember
	for _, name := range []string{"m1", "m2", "m3"} {
		m := &realMember{t: t, root: t.TempDir(), name: name, address: addresses[name], members: addresses}
		m.h = hosttest.Open(t, m.root, m)
		pair := issue(t, ca, m.address)
		s := Spec{Name: name, Address: m.address, Token: "t", New: true, DataDir: "/var/lib/etcd", Members: addresses,
			CA: ca.CertPEM, ServerCert: pair.CertPEM, ServerKey: pair.KeyPEM, PeerCert: pair.CertPEM, PeerKey: pair.KeyPEM}
		for file, content := range map[string][]byte{caFile: s.CA, serverCert: s.ServerCert, serverKey: s.ServerKey, peerCert: s.PeerCert, peerKey: s.PeerKey} {
			hosttest.Write(t, m.h, file, string(content), 0o600)
		}
		if err := s.writeMark(t.Context(), m.h); err != nil {
			t.Fatal(err)
		}
		settings := s.settings()
		// Three members on one machine have no loopback of their own.
		settings["listen-client-urls"] = httpsURL(m.address, ClientPort)
		settings["listen-metrics-urls"] = ""
		settings["data-dir"] = filepath.Join(m.root, s.DataDir)
		for flag, file := range map[string]string{"cert-file": serverCert, "key-file": serverKey, "trusted-ca-file": caFile, "peer-cert-file": peerCert, "peer-key-file": peerKey, "peer-trusted-ca-file": caFile} {
			settings[flag] = filepath.Join(m.root, file)
		}
		delete(settings, "listen-metrics-urls")
		hosttest.Write(t, m.h, ConfigPath, string(environment(settings)), 0o644)
		copyFile(t, program, filepath.Join(m.root, binary))
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			m.stop()
			if t.Failed() {
				text, _ := os.ReadFile(filepath.Join(m.root, "log")) // Only for the message.
				t.Logf("%s:\n%s", m.name, text[max(0, len(text)-3000):])
			}
		})
		out = append(out, m)
	}
	if _, err := client(t, out[0]).WaitHealthy(t.Context(), 2*time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

func client(t *testing.T, m *realMember) *etcd.Client {
	t.Helper()
	c, err := connectAll(t.Context(), m.h, Spec{Members: m.members})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func named(t *testing.T, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skip(variable + " does not name an etcd")
	}
	return program
}

// inOrder are the members with who leads last.
func inOrder(t *testing.T, all []*realMember) []*realMember {
	t.Helper()
	var out []*realMember
	for _, turn := range etcd.Order(client(t, all[0]).View(t.Context())) {
		i := slices.IndexFunc(all, func(m *realMember) bool { return httpsURL(m.address, ClientPort) == turn.Endpoint })
		out = append(out, all[i])
	}
	if len(out) != len(all) {
		t.Fatalf("%d of %d members have a turn", len(out), len(all))
	}
	return out
}

// TestRealUpgrade brings three members from one minor version to the next, the leader last; a
// member that does not come up is put back; and etcd's own downgrade brings all of them back.
func TestRealUpgrade(t *testing.T) {
	for _, way := range []struct{ from, to string }{{"ETCD_OLDER", "ETCD"}, {"ETCD", "ETCD_NEWER"}} {
		t.Run(way.from+" to "+way.to, func(t *testing.T) {
			older, newer := named(t, way.from), named(t, way.to)
			all := startMembers(t, older)
			var from, to string
			for _, m := range all {
				from, to = m.bring(older), m.bring(newer)
			}
			c := client(t, all[0])
			order := inOrder(t, all)
			broken(t, order[0], from, to, c)
			for i, m := range order {
				if wrong := etcd.CheckUpgrade(c.View(t.Context()), to); len(wrong) > 0 {
					t.Fatalf("before %s: %+v", m.name, wrong)
				}
				data, err := m.upgrade(to)
				if err != nil {
					t.Fatal(err)
				}
				if data.From != from || data.Already || data.Led != (i == 2) || m.restarts != 1 {
					t.Errorf("%s: %+v, %d restarts", m.name, data, m.restarts)
				}
				same(t, c)
				if again, err := m.upgrade(to); err != nil || !again.Already || m.restarts != 0 {
					t.Errorf("%s, again: %+v %v", m.name, again, err)
				}
			}
			settled(t, c, to)
			if err := c.Lower(t.Context(), from, 2*time.Minute, nil); err != nil {
				t.Fatal(err)
			}
			for _, m := range inOrder(t, all) {
				if wrong := etcd.CheckDowngrade(c.View(t.Context()), from); len(wrong) > 0 {
					t.Fatalf("before %s: %+v", m.name, wrong)
				}
				if data, err := m.upgrade(from); err != nil || data.From != to {
					t.Fatalf("back: %+v, %v", data, err)
				}
				same(t, c)
			}
			settled(t, c, from)
		})
	}
}

// TestRealLogOfBefore goes from 3.5 to 3.7 in two rounds, one right after the other, as a plan with --via
// does: what 3.5 has written to its log is not read any more by 3.7.
func TestRealLogOfBefore(t *testing.T) {
	programs := []string{named(t, "ETCD_OLDER"), named(t, "ETCD"), named(t, "ETCD_NEWER")}
	all := startMembers(t, programs[0])
	versions := make([]string, len(programs))
	for _, m := range all {
		for i, program := range programs {
			versions[i] = m.bring(program)
		}
	}
	c := client(t, all[0])
	for _, to := range versions[1:] {
		if want := to == versions[2]; etcd.NeedsNewLog(c.View(t.Context()), to) != want {
			t.Errorf("before %s a new log is wanted: %v", to, !want)
		} else if want {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if err := c.RenewLog(ctx, etcd.DefaultSnapshotCount, func(int) {}); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range inOrder(t, all) {
			if data, err := m.upgrade(to); err != nil {
				t.Fatalf("to %s: %+v, %v", to, data, err)
			}
			same(t, c)
		}
		settled(t, c, to)
	}
	if etcd.NeedsNewLog(c.View(t.Context()), versions[2]) {
		t.Error("a new log is wanted although all are there")
	}
}

// broken has a member go to a program that does not start, and finds it as it was.
func broken(t *testing.T, m *realMember, from, to string, c *etcd.Client) {
	t.Helper()
	nothing, err := exec.LookPath("false")
	if err != nil {
		t.Skip(err)
	}
	bad := "v3.6.99"
	m.bringAs(nothing, bad)
	_, err = m.upgrade(bad)
	if err == nil || !strings.Contains(err.Error(), "the member has etcd "+from+" again") {
		t.Fatalf("one that does not come up: %v", err)
	}
	same(t, c)
	if there, err := m.h.Exists(unfinishedPath); there || err != nil {
		t.Errorf("it is still in the middle of something: %v", err)
	}
}

// same finds the members well, with the same data.
func same(t *testing.T, c *etcd.Client) {
	t.Helper()
	if _, err := c.WaitHealthy(t.Context(), time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	h, err := c.Compare(t.Context(), time.Minute)
	if err == nil {
		err = h.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func settled(t *testing.T, c *etcd.Client, version string) {
	t.Helper()
	if _, err := c.WaitFor(t.Context(), 2*time.Minute, "at "+version, func(v etcd.View) error { return etcd.Settled(v, version) }, nil); err != nil {
		t.Fatal(err)
	}
}

// TestRealUpgradeGoesOn: a run that was cut off between the program and the restart is gone on with.
func TestRealUpgradeGoesOn(t *testing.T) {
	program := named(t, "ETCD")
	all := startMembers(t, program)
	m := all[0]
	version := m.bring(program)
	raw, err := json.Marshal(unfinished{From: version, To: version})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keep(t.Context(), m.h, version); err != nil {
		t.Fatal(err)
	}
	hosttest.Write(t, m.h, unfinishedPath, string(raw), 0o600)
	m.stop()
	data, err := m.upgrade(version)
	if err != nil || !data.Resumed || m.restarts != 1 {
		t.Fatalf("%+v %d %v", data, m.restarts, err)
	}
	same(t, client(t, all[1]))
	all[1].stop()
	all[2].bringAs(program, "v3.6.98")
	if _, err := all[2].upgrade("v3.6.98"); err == nil || all[2].restarts != 0 {
		t.Errorf("it is restarted although another one is away: %v", err)
	}
}
