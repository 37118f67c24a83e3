package etcdmember

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

func testSpec() Spec {
	return Spec{Name: "a", Address: "10.0.0.1", Token: "t1", New: true, DataDir: "/var/lib/etcd",
		Members: map[string]string{"b": "10.0.0.2", "a": "10.0.0.1", "c": "10.0.0.3"},
		CA:      []byte("ca"), ServerCert: []byte("sc"), ServerKey: []byte("sk"), PeerCert: []byte("pc"), PeerKey: []byte("pk")}
}

// machine is a fake systemd that remembers whether etcd was started.
type machine struct {
	*hosttest.Commander
	root string
	up   bool
	// asked are the looks at the other members; sick is what the first of them sees.
	asked []string
	sick  error
}

func newMachine(t *testing.T) *machine {
	m := &machine{Commander: hosttest.NewCommander(t), root: t.TempDir()}
	m.On("getent passwd etcd", fmt.Sprintf("etcd:x:%d:%d::/:/x\n", os.Getuid(), os.Getgid()))
	m.On("systemctl daemon-reload", "").On("systemctl enable etcd.service", "")
	m.On("/usr/local/bin/etcd --heartbeat-interval=200 --version", "etcd Version: 3.6.16\n")
	m.OnUnit("network-online.target", "LoadState=loaded", "ActiveState=inactive", "UnitFileState=static")
	m.OnUnit(UnitName, "LoadState=not-found", "ActiveState=inactive")
	m.OnFunc("systemctl daemon-reload", func(host.Command) (host.Output, error) {
		m.OnUnit(UnitName, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=disabled")
		return host.Output{}, nil
	})
	start := func(host.Command) (host.Output, error) {
		m.up = true
		m.OnUnit(UnitName, "LoadState=loaded", "ActiveState=activating", "SubState=start", "UnitFileState=enabled", "MainPID=9")
		return host.Output{}, os.MkdirAll(filepath.Join(m.root, "var/lib/etcd/member"), 0o700)
	}
	m.OnFunc("systemctl start --no-block etcd.service", start)
	m.OnFunc("systemctl restart --no-block etcd.service", start)
	return m
}

func (m *machine) run(t *testing.T, spec Spec, options ...hosttest.Options) (*host.Host, error) {
	t.Helper()
	h := hosttest.Open(t, m.root, m, options...)
	m.Reset()
	m.asked = nil
	_, err := run(t.Context(), node.Env{Host: h, Progress: func(string, ...any) {}}, spec, probes{
		dial: func(context.Context, string) error {
			if !m.up {
				return errors.New("refused")
			}
			return nil
		},
		spare: func(context.Context, node.Env, Spec) error {
			m.asked = append(m.asked, "spare")
			return m.sick
		},
		healthy: func(context.Context, node.Env, Spec) error {
			m.asked = append(m.asked, "healthy")
			return nil
		},
	})
	return h, err
}

func TestRunTwiceAndChange(t *testing.T) {
	m := newMachine(t)
	h, err := m.run(t, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	want := "systemctl daemon-reload|systemctl enable etcd.service|systemctl start --no-block etcd.service"
	if got := mutations(m); got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	for path, mode := range map[string]os.FileMode{PKIDir: os.ModeDir | 0o700, "/var/lib/etcd": os.ModeDir | 0o700, serverKey: 0o600, peerKey: 0o600, markPath: 0o600} {
		info, err := h.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode(), mode)
		}
	}

	// Data is there now, and New may be true or false: nothing changes.
	for _, isNew := range []bool{true, false} {
		spec := testSpec()
		spec.New = isNew
		h, err := m.run(t, spec)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Changes()) != 0 {
			t.Errorf("a second run changed %v", h.Changes())
		}
	}

	// New certificates need no restart, a changed setting does.
	spec := testSpec()
	spec.ServerCert = []byte("renewed")
	if _, err := m.run(t, spec); err != nil || mutations(m) != "" {
		t.Errorf("a renewed certificate: %v, ran %q", err, mutations(m))
	}
	spec.Args = map[string]string{"heartbeat-interval": "200"}
	if _, err := m.run(t, spec); err != nil || mutations(m) != "systemctl restart --no-block etcd.service" {
		t.Errorf("a changed setting: %v, ran %q", err, mutations(m))
	}
	if m.asked != nil {
		t.Errorf("a new cluster was asked %v", m.asked)
	}
}

// TestRestartInUse changes a setting of a cluster that is in use: only with the
// others' quorum, and once.
func TestRestartInUse(t *testing.T) {
	m := newMachine(t)
	if _, err := m.run(t, testSpec()); err != nil {
		t.Fatal(err)
	}
	spec := testSpec()
	spec.New = false
	spec.Args = map[string]string{"heartbeat-interval": "200"}
	m.sick = errors.New("b is away")
	if _, err := m.run(t, spec); !errors.Is(err, m.sick) || mutations(m) != "" || !slices.Equal(m.asked, []string{"spare"}) {
		t.Errorf("without a quorum of the others: %v, ran %q, asked %v", err, mutations(m), m.asked)
	}
	// The restart is still owed: the file is newer than the process.
	m.sick = nil
	m.OnUnit(UnitName, "LoadState=loaded", "ActiveState=active", "SubState=running", "UnitFileState=enabled", "MainPID=9", "ExecMainStartTimestampMonotonic=1")
	if _, err := m.run(t, spec); err != nil || mutations(m) != "systemctl restart --no-block etcd.service" || !slices.Equal(m.asked, []string{"spare", "healthy"}) {
		t.Errorf("with a quorum: %v, ran %q, asked %v", err, mutations(m), m.asked)
	}
	if _, err := m.run(t, spec); err != nil || mutations(m) != "" || m.asked != nil {
		t.Errorf("once more: %v, ran %q, asked %v", err, mutations(m), m.asked)
	}
}

// mutations are the commands run so far that change something.
func mutations(m *machine) string {
	var out []string
	for _, line := range m.Lines() {
		if !strings.HasPrefix(line, "getent ") && !strings.HasSuffix(line, " --version") && !strings.HasPrefix(line, "journalctl ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "|")
}

func TestDryRunChangesNothing(t *testing.T) {
	m := newMachine(t)
	m.Fail("getent passwd etcd", 2, "")
	h, err := m.run(t, testSpec(), hosttest.DryRun)
	if err != nil {
		t.Fatal(err)
	}
	if mutations(m) != "" {
		t.Errorf("a dry run ran %s", mutations(m))
	}
	if _, err := h.Stat(ConfigPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dry run left a configuration: %v", err)
	}
	if len(h.Changes()) < 10 {
		t.Errorf("a dry run tells only of %v", h.Changes())
	}
}

func TestMakesUser(t *testing.T) {
	tests := map[string]struct {
		sysusers bool
		want     string
	}{
		"systemd-sysusers": {true, "systemd-sysusers /etc/sysusers.d/kubectl-ha-etcd.conf"},
		"useradd":          {false, "useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin etcd"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Fail("getent passwd etcd", 2, "")
			m.OnFunc(tt.want, func(host.Command) (host.Output, error) {
				m.On("getent passwd etcd", "etcd:x:42:43::/:/x\n")
				return host.Output{}, nil
			})
			h := hosttest.Open(t, m.root, m)
			if tt.sysusers {
				hosttest.Write(t, h, "/usr/bin/systemd-sysusers", "", 0o755)
			}
			uid, gid, err := ensureUser(t.Context(), h)
			if err != nil || uid != 42 || gid != 43 {
				t.Errorf("ensureUser = %d, %d, %v", uid, gid, err)
			}
		})
	}
}

func TestDeadEtcdIsAnErrorWithItsLog(t *testing.T) {
	m := newMachine(t)
	m.OnFunc("systemctl start --no-block etcd.service", func(host.Command) (host.Output, error) {
		m.OnUnit(UnitName, "LoadState=loaded", "ActiveState=failed", "SubState=failed", "UnitFileState=enabled")
		return host.Output{}, nil
	})
	m.On("journalctl --unit etcd.service --lines 30 --no-pager --output cat", "panic: bad luck\n")
	_, err := m.run(t, testSpec())
	var failure *node.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Output, "bad luck") || failure.Hint == "" {
		t.Errorf("error %#v, want a failure with etcd's log and a hint", err)
	}
}

func TestAdmit(t *testing.T) {
	ours := &mark{Name: "a", Token: "t1", DataDir: "/var/lib/etcd"}
	tests := []struct {
		name    string
		mark    *mark
		hasData bool
		isNew   bool
		want    string
	}{
		{"new", nil, false, true, ""},
		{"interrupted before it was started", ours, false, true, ""},
		{"runs already", ours, true, false, ""},
		{"runs already, the cluster is not complete yet", ours, true, true, ""},
		{"foreign data", nil, true, true, "did not make"},
		{"foreign data in an old cluster", nil, true, false, "did not make"},
		{"lost data", ours, false, false, "has no data"},
		{"reinstalled host", nil, false, false, "has no data"},
		{"another cluster's", &mark{Name: "a", Token: "t0", DataDir: "/var/lib/etcd"}, true, false, "another etcd cluster"},
		{"another member's", &mark{Name: "b", Token: "t1", DataDir: "/var/lib/etcd"}, true, false, "the member b, not of a"},
		{"moved directory", &mark{Name: "a", Token: "t1", DataDir: "/data"}, false, true, "in /data, not in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := testSpec()
			spec.New = tt.isNew
			err := admit(spec, tt.mark, tt.hasData)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("admit: %v, want %q", err, tt.want)
			}
			if err != nil && host.Hint(err) == "" {
				t.Error("the error has no hint")
			}
		})
	}
}

func TestForeignDataIsNotTouched(t *testing.T) {
	m := newMachine(t)
	h := hosttest.Open(t, m.root, m)
	hosttest.Write(t, h, "/var/lib/etcd/member/snap/db", "precious", 0o600)
	h, err := m.run(t, testSpec())
	if err == nil || len(h.Changes()) != 0 || len(m.Calls()) != 0 {
		t.Errorf("error %v, changes %v, commands %v", err, h.Changes(), m.Lines())
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Spec)
		want  string
	}{
		{"good", func(*Spec) {}, ""},
		{"no token", func(s *Spec) { s.Token = "" }, "token"},
		{"relative data directory", func(s *Spec) { s.DataDir = "etcd" }, "not a clean absolute path"},
		{"root as data directory", func(s *Spec) { s.DataDir = "/" }, "not a clean absolute path"},
		{"not a member", func(s *Spec) { s.Name = "d" }, "this host is"},
		{"another address", func(s *Spec) { s.Address = "10.0.0.2" }, "this host is"},
		{"two with one address", func(s *Spec) { s.Members["c"] = "10.0.0.2" }, "b and c have the same address"},
		{"no address", func(s *Spec) { s.Members["c"] = "host" }, "not an IP address"},
		{"argument of ours", func(s *Spec) { s.Args = map[string]string{"initial-cluster": "x"} }, `"initial-cluster" is set by`},
		{"guard of ours", func(s *Spec) { s.Args = map[string]string{"strict-reconfig-check": "false"} }, `"strict-reconfig-check" is set by`},
		{"line break in an argument", func(s *Spec) { s.Args = map[string]string{"wal-dir": "/a\nETCD_NAME=b"} }, "line break"},
		{"dashes", func(s *Spec) { s.Args = map[string]string{"--debug": "true"} }, "leading dashes"},
		{"no key", func(s *Spec) { s.PeerKey = nil }, "the peer key is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testSpec()
			tt.spoil(&s)
			err := s.validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("validate: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	s := testSpec()
	s.Args = map[string]string{"cipher-suites": "A,B", "corrupt-check-time": "1h", "client-crl-file": `/etc/etcd/a "$b`, "quota-backend-bytes": "4294967296"}
	raw := s.config()
	for flag, want := range map[string]string{
		"initial-cluster":     "a=https://10.0.0.1:2380,b=https://10.0.0.2:2380,c=https://10.0.0.3:2380",
		"listen-client-urls":  "https://10.0.0.1:2379,https://127.0.0.1:2379",
		"cipher-suites":       "A,B",
		"corrupt-check-time":  "1h",
		"client-crl-file":     `/etc/etcd/a "$b`,
		"quota-backend-bytes": "4294967296",
		"peer-key-file":       "/etc/etcd/pki/peer.key",
		"client-cert-auth":    "true",
		"unset":               "",
	} {
		if got := Setting(raw, flag); got != want {
			t.Errorf("%s is %q, want %q", flag, got, want)
		}
	}
	if line := "ETCD_CLIENT_CRL_FILE=\"/etc/etcd/a \\\"\\$b\"\n"; !strings.Contains(string(raw), line) {
		t.Errorf("no line %s in\n%s", line, raw)
	}
	// A shell reads what systemd reads.
	file := filepath.Join(t.TempDir(), "etcd.env")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", `. "$0"; printf %s "$ETCD_CLIENT_CRL_FILE"`, file).CombinedOutput()
	if err != nil || string(out) != `/etc/etcd/a "$b` {
		t.Errorf("a shell reads %q, %v", out, err)
	}
	s.Members, s.Address = map[string]string{"a": "fd00::1"}, "fd00::1"
	if got := Setting(s.config(), "listen-client-urls"); got != "https://[fd00::1]:2379,https://[::1]:2379" {
		t.Errorf("IPv6: %s", got)
	}
}

// TestArgsThatEtcdRefuses: etcd itself is asked before anything is written.
func TestArgsThatEtcdRefuses(t *testing.T) {
	m := newMachine(t)
	m.Fail("/usr/local/bin/etcd --pre-vot=true --version", 2, "flag provided but not defined: -pre-vot\nUsage:\n")
	spec := testSpec()
	spec.Args = map[string]string{"pre-vot": "true"}
	h, err := m.run(t, spec)
	if err == nil || !strings.Contains(err.Error(), "spec.etcd.extraArgs: flag provided but not defined: -pre-vot") || len(h.Changes()) != 0 {
		t.Errorf("error %v, changes %v", err, h.Changes())
	}
	if host.Hint(err) == "" {
		t.Error("the error has no hint")
	}
}

// TestOldConfigurationFileGoes: a member that was set up with a file of YAML, which
// etcd reads durations and unknown keys from in its own way, has it no more.
func TestOldConfigurationFileGoes(t *testing.T) {
	m := newMachine(t)
	h, err := m.run(t, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteFile(t.Context(), host.File{Path: YAMLPath, Mode: 0o644, UID: os.Getuid(), GID: os.Getgid(), Content: []byte("name: a\n"), Note: "etcd's configuration"}); err != nil {
		t.Fatal(err)
	}
	if h, err = m.run(t, testSpec()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Stat(YAMLPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, err := m.run(t, testSpec()); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestLimitsOnlyWithTheCapability(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsystemd\nCapBnd:\t000001ffffffffff\n": true,
		"Name:\tsystemd\nCapBnd:\t000001fffeffffff\n": false,
		"Name:\tsystemd\n":                            false,
	} {
		h := hosttest.New(t, hosttest.NewCommander(t))
		hosttest.Write(t, h, "/proc/1/status", status, 0o444)
		if got := mayRaiseLimits(h); got != want {
			t.Errorf("%q: %v, want %v", status, got, want)
		}
		if got := strings.Contains(string(unit(want)), "OOMScoreAdjust"); got != want {
			t.Errorf("the unit lowers the OOM score: %v, want %v", got, want)
		}
	}
}

func TestDialPeerOnlyReachesItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	if err := dialPeer(t.Context(), l.Addr().String()); err != nil {
		t.Errorf("its own address: %v", err)
	}
	// TEST-NET-1 is nobody's address (RFC 5737).
	if err := dialPeer(t.Context(), "192.0.2.1:2380"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address that the host does not have: %v", err)
	}
}
