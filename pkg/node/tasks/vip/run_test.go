package vip

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/node"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/host/hosttest"
)

const addresses = `[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},
{"ifname":"eth0","addr_info":[{"local":"10.0.0.1","prefixlen":24},{"local":"fd00::1","prefixlen":64}]},
{"ifname":"eth1","addr_info":[{"local":"192.168.5.1","prefixlen":16}]}]`

func testSpec() Spec {
	return Spec{VirtualIP: "10.0.0.100", RouterID: 51, AdvertisementMilliseconds: 200, Address: "10.0.0.1",
		Peers: []string{"10.0.0.3", "10.0.0.2"}, Priority: 190, APIServerPort: 6443}
}

// machine is a fake host whose units start when they are told to.
type machine struct {
	*hosttest.Commander
	root string
}

func newMachine(t *testing.T) *machine {
	m := &machine{hosttest.NewCommander(t), t.TempDir()}
	h := hosttest.Open(t, m.root, m)
	hosttest.Write(t, h, "/usr/sbin/keepalived", "", 0o755)
	hosttest.Write(t, h, host.AgentPath, "the agent", 0o755)
	m.On("ip -json address show", addresses).On("systemctl daemon-reload", "")
	m.OnFunc("systemd-tmpfiles --create "+tmpfilesPath, func(host.Command) (host.Output, error) {
		hosttest.Write(t, h, HealthFile, "3\n", 0o644)
		hosttest.Write(t, h, DrainFile, "0\n", 0o644)
		return host.Output{}, nil
	})
	m.On("keepalived --config-test --use-file "+candidatePath, "")
	for _, unit := range []string{WatchUnit, keepalivedUnit} {
		m.OnUnit(unit, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=disabled")
		m.On("systemctl enable "+unit, "")
		m.OnFunc("systemctl start "+unit, func(host.Command) (host.Output, error) {
			m.OnUnit(unit, "LoadState=loaded", "ActiveState=active", "UnitFileState=enabled")
			return host.Output{}, nil
		})
	}
	return m
}

func (m *machine) env(t *testing.T, options ...hosttest.Options) node.Env {
	m.Reset()
	return node.Env{Host: hosttest.Open(t, m.root, m, options...), Progress: func(string, ...any) {}}
}

// mutations are the commands run that change something.
func (m *machine) mutations() string {
	var out []string
	for _, l := range m.Lines() {
		if !strings.HasPrefix(l, "ip ") && !strings.HasPrefix(l, "keepalived ") && !strings.HasPrefix(l, "rpm ") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "|")
}

func TestRunTwiceAndChange(t *testing.T) {
	m := newMachine(t)
	if _, err := Run(t.Context(), m.env(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	want := "systemd-tmpfiles --create " + tmpfilesPath + "|systemctl enable kubectl-ha-vip.service|systemctl start kubectl-ha-vip.service" +
		"|systemctl enable keepalived.service|systemctl start keepalived.service"
	if got := m.mutations(); got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	env := m.env(t)
	if _, err := Run(t.Context(), env, testSpec()); err != nil || len(env.Host.Changes()) != 0 {
		t.Errorf("a second run: %v, changed %v", err, env.Host.Changes())
	}
	// A changed setting is read in without a restart, which would drop the address.
	m.On("systemctl reload keepalived.service", "")
	spec := testSpec()
	spec.Priority = 180
	if _, err := Run(t.Context(), m.env(t), spec); err != nil || m.mutations() != "systemctl reload keepalived.service" {
		t.Errorf("a changed priority: %v, ran %s", err, m.mutations())
	}
}

// A host that an earlier version has prepared gets the agent where the watch is started from.
func TestHaveAgent(t *testing.T) {
	program := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(program, []byte("this agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		remove string
		want   string
	}{
		"it is there": {"", "the agent"},
		"it is not":   {host.ProgramsRoot, "this agent"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			h := m.env(t).Host
			if c.remove != "" {
				if err := os.RemoveAll(h.Path(c.remove)); err != nil {
					t.Fatal(err)
				}
			}
			if err := haveAgent(t.Context(), h, program); err != nil {
				t.Fatal(err)
			}
			if got, err := h.ReadFile(host.AgentPath); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if !strings.Contains(watchUnit, "ExecStart="+host.AgentPath+" ") || strings.Contains(watchUnit, host.StateDir) {
		t.Errorf("the watch is started from elsewhere:\n%s", watchUnit)
	}
}

func TestInterruptedBeforeTheReload(t *testing.T) {
	m := newMachine(t)
	if _, err := Run(t.Context(), m.env(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	spec := testSpec()
	spec.Priority = 180
	m.Fail("systemctl reload keepalived.service", 1, "no")
	if _, err := Run(t.Context(), m.env(t), spec); err == nil {
		t.Fatal("a failed reload is no error")
	}
	m.On("systemctl reload keepalived.service", "")
	if _, err := Run(t.Context(), m.env(t), spec); err != nil || m.mutations() != "systemctl reload keepalived.service" {
		t.Errorf("the reload that was owed: %v, ran %q", err, m.mutations())
	}
}

func TestForeignConfigIsNotTouched(t *testing.T) {
	for name, rpm := range map[string]string{"no package manager": "", "changed since its package brought it": "S.5....T.  c " + ConfigPath + "\n"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			env := m.env(t)
			hosttest.Write(t, env.Host, ConfigPath, "vrrp_instance theirs {}\n", 0o644)
			if rpm != "" {
				hosttest.Write(t, env.Host, "/usr/bin/rpm", "", 0o755)
				m.On("rpm --query --file "+ConfigPath, "keepalived-2.2.8\n")
				m.OnFunc("rpm --verify keepalived", func(c host.Command) (host.Output, error) {
					out := host.Output{Stdout: []byte(rpm), ExitCode: 1}
					return out, &host.CommandError{Argv: c.Argv, Output: out, Err: errors.New("exit status 1")}
				})
			}
			_, err := Run(t.Context(), env, testSpec())
			if err == nil || !strings.Contains(err.Error(), "written by somebody else") || host.Hint(err) == "" {
				t.Errorf("error %v", err)
			}
			if len(env.Host.Changes()) != 0 {
				t.Errorf("changed %v", env.Host.Changes())
			}
		})
	}
}

func TestPristineExampleIsReplaced(t *testing.T) {
	m := newMachine(t)
	env := m.env(t)
	hosttest.Write(t, env.Host, ConfigPath, "! Configuration File for keepalived\n", 0o644)
	hosttest.Write(t, env.Host, "/usr/bin/rpm", "", 0o755)
	m.On("rpm --query --file "+ConfigPath, "keepalived-2.2.8\n").On("rpm --verify keepalived", "")
	if _, err := Run(t.Context(), env, testSpec()); err != nil {
		t.Fatal(err)
	}
	if conf, err := env.Host.ReadFile(ConfigPath); err != nil || !ours(conf) {
		t.Errorf("the configuration is %q, %v", conf, err)
	}
}

func TestRefusedConfigLeavesTheLiveOne(t *testing.T) {
	m := newMachine(t)
	if _, err := Run(t.Context(), m.env(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	env := m.env(t)
	before, err := env.Host.ReadFile(ConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	m.Fail("keepalived --config-test --use-file "+candidatePath, 4, "Unknown keyword")
	spec := testSpec()
	spec.Priority = 180
	_, err = Run(t.Context(), env, spec)
	var f *node.Failure
	if !errors.As(err, &f) || !strings.Contains(f.Output, "Unknown keyword") || f.Hint == "" {
		t.Errorf("error %#v", err)
	}
	if after, err := env.Host.ReadFile(ConfigPath); err != nil || string(after) != string(before) {
		t.Errorf("the live configuration changed: %v", err)
	}
	if m.mutations() != "" {
		t.Errorf("ran %s", m.mutations())
	}
}

func TestInstall(t *testing.T) {
	apt := "apt-get -y -qq -o DPkg::Lock::Timeout=120 "
	tests := []struct {
		name    string
		tools   []string
		answers func(*machine, func())
		want    string // what runs
		err     string
	}{
		{"apt", []string{"apt-get", "dnf"}, func(m *machine, arrive func()) {
			m.On(apt+"update", "")
			m.OnFunc(apt+"install --no-install-recommends keepalived", func(c host.Command) (host.Output, error) {
				if strings.Join(c.Env, " ") != "DEBIAN_FRONTEND=noninteractive" {
					t.Errorf("apt-get may ask questions: %v", c.Env)
				}
				arrive()
				return host.Output{}, nil
			})
		}, apt + "update|" + apt + "install --no-install-recommends keepalived", ""},
		{"apt without a network but with a cache", []string{"apt-get"}, func(m *machine, arrive func()) {
			m.Fail(apt+"update", 100, "no network")
			m.OnFunc(apt+"install --no-install-recommends keepalived", func(host.Command) (host.Output, error) { arrive(); return host.Output{}, nil })
		}, apt + "update|" + apt + "install --no-install-recommends keepalived", ""},
		{"dnf", []string{"dnf", "yum"}, func(m *machine, arrive func()) {
			m.OnFunc("dnf -y -q install keepalived", func(host.Command) (host.Output, error) { arrive(); return host.Output{}, nil })
		}, "dnf -y -q install keepalived", ""},
		{"zypper fails", []string{"zypper"}, func(m *machine, _ func()) {
			m.Fail("zypper --non-interactive --quiet install --no-recommends keepalived", 4, "nothing provides it")
		}, "zypper --non-interactive --quiet install --no-recommends keepalived", "can't be installed with zypper"},
		{"a package manager that lies", []string{"yum"}, func(m *machine, _ func()) { m.On("yum -y -q install keepalived", "") },
			"yum -y -q install keepalived", "yum says that keepalived is installed"},
		{"none", nil, func(*machine, func()) {}, "", "neither apt-get, dnf, yum nor zypper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &machine{hosttest.NewCommander(t), t.TempDir()}
			env := m.env(t)
			for _, tool := range tt.tools {
				hosttest.Write(t, env.Host, "/usr/bin/"+tool, "", 0o755)
			}
			tt.answers(m, func() { hosttest.Write(t, env.Host, "/usr/sbin/keepalived", "", 0o755) })
			err := install(t.Context(), env)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if got := m.mutations(); got != tt.want {
				t.Errorf("ran %s, want %s", got, tt.want)
			}
			if ledger, err := env.Host.Ledger(); err != nil || ledger.Knows("package", "keepalived") != (tt.want != "") {
				t.Errorf("the ledger knows of a package: %v", err)
			}
		})
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	m := newMachine(t)
	env := m.env(t, hosttest.DryRun)
	if _, err := Run(t.Context(), env, testSpec()); err != nil {
		t.Fatal(err)
	}
	if m.mutations() != "" || len(env.Host.Changes()) < 8 {
		t.Errorf("ran %q, would change %v", m.mutations(), env.Host.Changes())
	}
	if _, err := os.Stat(env.Host.Path(ConfigPath)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left a configuration: %v", err)
	}
}

func TestDrain(t *testing.T) {
	m := newMachine(t)
	env := m.env(t)
	var log []string
	record := func(a netip.Addr) (func() error, error) {
		log = append(log, "hold "+a.String())
		return func() error { log = append(log, "release"); return nil }, nil
	}
	if _, err := drain(t.Context(), env, DrainSpec{Drain: true}, record); err == nil || host.Hint(err) == "" {
		t.Errorf("on a host without the virtual IP: %v", err)
	}
	if _, err := Run(t.Context(), env, testSpec()); err != nil {
		t.Fatal(err)
	}
	held := strings.Replace(addresses, `{"local":"10.0.0.1","prefixlen":24}`, `{"local":"10.0.0.1","prefixlen":24},{"local":"10.0.0.100","prefixlen":24}`, 1)
	asked := 0
	m.OnFunc("ip -json address show", func(host.Command) (host.Output, error) {
		want := "1\n"
		if asked == 0 {
			want = "0\n" // Connections are held before anything moves.
		}
		if raw, err := env.Host.ReadFile(DrainFile); err != nil || string(raw) != want {
			t.Errorf("the switch holds %q, %v", raw, err)
		}
		if asked++; asked < 4 {
			return host.Output{Stdout: []byte(held)}, nil
		}
		return host.Output{Stdout: []byte(addresses)}, nil
	})
	data, err := drain(t.Context(), env, DrainSpec{Drain: true}, record)
	if err != nil || data.(DrainData).Held || asked != 4 {
		t.Errorf("Drain = %+v, %v after %d looks", data, err, asked)
	}
	if got := strings.Join(log, ", "); got != "hold 10.0.0.100, release" {
		t.Errorf("done: %s", got)
	}
	// A host that has not the address holds nobody, and a kernel that can't does not stop the move.
	data, err = drain(t.Context(), env, DrainSpec{Drain: true}, record)
	if err != nil || data.(DrainData).Held || len(log) != 2 {
		t.Errorf("drained again: %+v, %v, %q", data, err, log)
	}
	asked = 0
	m.OnFunc("ip -json address show", func(host.Command) (host.Output, error) {
		if asked++; asked < 2 {
			return host.Output{Stdout: []byte(held)}, nil
		}
		return host.Output{Stdout: []byte(addresses)}, nil
	})
	data, err = drain(t.Context(), env, DrainSpec{Drain: true}, func(netip.Addr) (func() error, error) { return nil, errors.New("no nf_tables") })
	if err != nil || data.(DrainData).Held || asked != 2 {
		t.Errorf("without nftables: %+v, %v after %d looks", data, err, asked)
	}
	m.On("ip -json address show", held)
	data, err = drain(t.Context(), env, DrainSpec{}, record)
	if err != nil || !data.(DrainData).Held {
		t.Errorf("taken back: %+v, %v", data, err)
	}
	if raw, err := env.Host.ReadFile(DrainFile); err != nil || string(raw) != "0\n" {
		t.Errorf("the switch holds %q, %v", raw, err)
	}
}

// TestRemove: what Run has made goes, keepalived first, and what was there before is there again;
// a keepalived of somebody else's stays.
func TestRemove(t *testing.T) {
	m := newMachine(t)
	before := hosttest.Open(t, m.root, m)
	hosttest.Write(t, before, ConfigPath, "", 0o644)
	if _, err := Run(t.Context(), m.env(t), testSpec()); err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{WatchUnit, keepalivedUnit} {
		m.OnFunc("systemctl stop "+unit, func(host.Command) (host.Output, error) {
			m.OnUnit(unit, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=enabled")
			return host.Output{}, nil
		})
		m.OnFunc("systemctl disable "+unit, func(host.Command) (host.Output, error) {
			m.OnUnit(unit, "LoadState=loaded", "ActiveState=inactive", "UnitFileState=disabled")
			return host.Output{}, nil
		})
	}
	env := m.env(t)
	data, err := Remove(t.Context(), env, RemoveSpec{})
	if err != nil || !data.(RemoveData).Removed {
		t.Fatalf("%+v %v", data, err)
	}
	want := "systemctl stop keepalived.service|systemctl disable keepalived.service|systemctl stop kubectl-ha-vip.service|systemctl disable kubectl-ha-vip.service|systemctl daemon-reload"
	if got := m.mutations(); got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	if raw, err := env.Host.ReadFile(ConfigPath); err != nil || len(raw) > 0 {
		t.Errorf("keepalived's configuration was not put back: %v %s", err, raw)
	}
	for _, path := range []string{WatchConfigPath, watchUnitPath, dropInPath, tmpfilesPath, HealthFile, DrainFile} {
		if there, err := env.Host.Exists(path); there || err != nil {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	env = m.env(t)
	if data, err := Remove(t.Context(), env, RemoveSpec{}); err != nil || data.(RemoveData).Removed || m.mutations() != "" {
		t.Errorf("again: %+v %v, ran %s", data, err, m.mutations())
	}
	// And it can be had again.
	if _, err := Run(t.Context(), m.env(t), testSpec()); err != nil || !strings.Contains(m.mutations(), "systemctl start keepalived.service") {
		t.Errorf("%v: ran %s", err, m.mutations())
	}
}

// TestRemoveForeign: nothing is stopped that somebody else configured.
func TestRemoveForeign(t *testing.T) {
	m := newMachine(t)
	env := m.env(t)
	hosttest.Write(t, env.Host, ConfigPath, "vrrp_instance theirs {}\n", 0o644)
	if data, err := Remove(t.Context(), env, RemoveSpec{}); err != nil || data.(RemoveData).Removed || m.mutations() != "" {
		t.Errorf("%+v %v, ran %s", data, err, m.mutations())
	}
	if there, err := env.Host.Exists(ConfigPath); !there || err != nil {
		t.Errorf("the configuration is gone: %v", err)
	}
}
